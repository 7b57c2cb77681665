"""A page pool that is shrunk on purpose: dry is counted, what is put back is withheld, nothing is lost."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from nodes.netmem.binding import RxBinding
from nodes.syscall.process_calls import WithholdMemoryCall
from nodes.uapi.syscalls import Done, WithholdMemory
from tests.netmem.census import assert_conserved
from tests.nic.bench import Bench, Got
from tests.nic.frames import Tcp

NIOVS = 64  # of 4096 bytes; the ring has 16


def arrive(bench: Bench, count: int) -> list[Got]:
    """What the NIC receives of so many frames, each of which takes a net_iov."""
    got = []
    for seq in range(count):
        bench.wire.put(Tcp(bytes([seq]) * 4096, seq=seq).frame())
        got += bench.poll()
    return got


def conserved(bench: Bench, binding: RxBinding) -> None:
    held = [frag.netmem for skb in bench.held if skb.payload for frag in skb.payload.frags]
    assert_conserved(binding.provider, [bench.queue.pool], [bench.queue], held)


def test_a_queue_whose_pool_is_shrunk_runs_dry_counts_and_recovers(bench: Bench) -> None:
    binding = bench.bind(niovs=NIOVS)
    got = arrive(bench, 10)
    assert len(got) == 10
    bench.device.withhold(0.75)  # 16 are left, of which 10 are held
    conserved(bench, binding)
    assert bench.queue.counters.rx_alloc_fail == 0
    more = arrive(bench, 40)
    assert bench.queue.pool.inflight >= 16
    assert len(got) + len(more) < 50
    assert bench.queue.counters.rx_alloc_fail > 0
    assert bench.queue.counters.rx_hw_drop_overruns == 40 - len(more)
    for each in (*got, *more):
        bench.release(each.skb)
    assert bench.queue.pool.inflight == 16
    assert binding.provider.free == NIOVS - 16
    conserved(bench, binding)
    assert len(arrive(bench, 60)) == 16
    bench.device.withhold(0)
    assert len(arrive(bench, NIOVS)) == NIOVS - 16, "all of them, given back at its end"
    conserved(bench, binding)


def test_what_rests_is_withheld_at_once_and_what_is_held_when_it_is_put(bench: Bench) -> None:
    binding = bench.bind(niovs=NIOVS)
    for each in arrive(bench, 30):
        bench.release(each.skb)
    (held,) = arrive(bench, 1)
    posted = bench.queue.posted
    bench.device.withhold(1.0)
    assert bench.queue.pool.inflight == posted + 1
    bench.release(held.skb)
    assert bench.queue.pool.inflight == posted
    conserved(bench, binding)
    assert len(arrive(bench, 40)) == posted


def test_a_queue_that_is_bound_later_is_shrunk_and_host_pages_are_not(bench: Bench) -> None:
    bench.device.withhold(0.5)
    assert bench.queue.pool.alloc_netmem() is not None
    binding = bench.bind(niovs=NIOVS)
    bench.device.restart_queue(bench.queue, binding.page_pool(1024, bench.device.pool_context))
    assert bench.queue.pool.limit == NIOVS // 2


def test_queues_of_one_binding_have_equal_parts(bench: Bench) -> None:
    binding = bench.bind(niovs=NIOVS)
    other = bench.device.rx_queues[0]
    bench.device.restart_queue(other, binding.page_pool(1024, bench.device.pool_context))
    bench.device.withhold(0.25)
    assert [rxq.pool.limit for rxq in (other, bench.queue)] == [24, 24]
    bench.device.restart_queue(other, bench.device.host_pool())
    assert bench.queue.pool.limit == 48


def call(bench: Bench, share: float, privileged: bool = True) -> Done:
    host = SimpleNamespace(devices={2: bench.device})
    caller: Any = SimpleNamespace(kernel=SimpleNamespace(host=host), privileged=privileged)
    return WithholdMemoryCall(WithholdMemory(share), caller).attempt(0.0, False)


def test_an_administrator_may_withhold_and_others_may_not(bench: Bench) -> None:
    bench.bind(niovs=NIOVS)
    assert call(bench, 0.5) == Done()
    assert bench.queue.pool.limit == NIOVS // 2
    for share, privileged, number in ((0.9, False, errno.EPERM), (1.1, True, errno.EINVAL)):
        with pytest.raises(OSError) as refused:
            call(bench, share, privileged)
        assert refused.value.errno == number
    assert bench.queue.pool.limit == NIOVS // 2

"""The highest use of an rx queue's memory: what packets and applications held at once, at most."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from nodes.syscall.process_calls import GetStatsCall
from nodes.uapi.syscalls import GetStats, Stats
from tests.nic.bench import Bench
from tests.nic.test_pool_shrunk import NIOVS, arrive


def share(bench: Bench) -> float:
    return bench.queue.peak_share


def test_the_peak_is_what_was_held_at_once_and_not_what_rests(bench: Bench) -> None:
    bench.bind(niovs=NIOVS)
    assert share(bench) == 0
    held = arrive(bench, 10)
    assert share(bench) == 10 / NIOVS, "posted net_iovs and those in the pool are not in use"
    for each in held:
        bench.release(each.skb)
    for each in arrive(bench, 3):
        bench.release(each.skb)
    assert share(bench) == 10 / NIOVS, "fewer later do not lower it"
    held = arrive(bench, 20)
    assert share(bench) == 20 / NIOVS


def test_a_restarted_peak_begins_with_what_is_held(bench: Bench) -> None:
    bench.bind(niovs=NIOVS)
    first, *others = arrive(bench, 10)
    for each in others:
        bench.release(each.skb)
    bench.queue.restart_peak()
    assert share(bench) == 1 / NIOVS
    arrive(bench, 2)
    assert share(bench) == 3 / NIOVS
    bench.release(first.skb)


def test_all_in_use_is_a_share_of_one_also_of_a_pool_that_was_shrunk(bench: Bench) -> None:
    bench.bind(niovs=NIOVS)
    held = arrive(bench, 10)
    bench.device.withhold(0.75)
    held += arrive(bench, 40)
    assert share(bench) == 1.0
    bench.device.withhold(1.0)
    assert share(bench) == 1.0
    assert len(held) < 50


def test_two_who_look_at_their_own_times_do_not_disturb_each_other(bench: Bench) -> None:
    bench.bind(niovs=NIOVS)
    queue = bench.queue
    for count in (10, 4, 6):
        for each in arrive(bench, count):
            bench.release(each.skb)
        assert queue.recent_share == count / NIOVS
        queue.restart_recent()
        assert queue.peak_share == 10 / NIOVS, "who looks seldom sees what another has seen before"
    for each in arrive(bench, 3):
        bench.release(each.skb)
    queue.restart_peak()
    assert (queue.peak_share, queue.recent_share) == (0, 3 / NIOVS)
    queue.restart_recent()
    assert (queue.peak_share, queue.recent_share) == (0, 0)


def stats(bench: Bench, restart: bool, privileged: bool = True, recent: bool = False) -> Stats:
    host = SimpleNamespace(
        devices={1: bench.device}, ledger=bench.device.dma.ledger, impairments={},
        stack=SimpleNamespace(tcp=SimpleNamespace(mib=SimpleNamespace(TcpRetransSegs=0))),
    )  # fmt: skip
    kernel = SimpleNamespace(host=host, platform=SimpleNamespace(cpu_s=lambda: 0.0, switches=lambda: (0, 0)))
    caller: Any = SimpleNamespace(kernel=kernel, privileged=privileged)
    return GetStatsCall(GetStats(restart, recent), caller).attempt(0.0, False)


def test_statistics_tell_the_peak_until_it_is_restarted(bench: Bench) -> None:
    bench.bind(niovs=NIOVS)
    for each in arrive(bench, 16):
        bench.release(each.skb)
    assert stats(bench, restart=False).rx_pool_peak_share == 0.25
    found = stats(bench, restart=True)
    assert found.rx_pool_peak_share == 0.25, "a restart still tells what was before"
    assert stats(bench, restart=False).rx_pool_peak_share == 0
    assert stats(bench, restart=False, recent=True).rx_pool_recent_share == 0.25
    assert stats(bench, restart=False).rx_pool_recent_share == 0


def test_only_an_administrator_restarts_the_peak(bench: Bench) -> None:
    assert stats(bench, restart=False, privileged=False).rx_pool_peak_share == 0
    for restart, recent in ((True, False), (False, True)):
        with pytest.raises(OSError, match="needs CAP_NET_ADMIN") as refused:
            stats(bench, restart, privileged=False, recent=recent)
        assert refused.value.errno == errno.EPERM


def test_the_share_of_now_falls_when_something_is_given_back(bench: Bench) -> None:
    bench.bind(niovs=NIOVS)
    first, *others = arrive(bench, 10)
    assert bench.queue.share == 10 / NIOVS
    for each in others:
        bench.release(each.skb)
    assert bench.queue.share == 1 / NIOVS
    bench.release(first.skb)
    assert bench.queue.share == 0

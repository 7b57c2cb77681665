"""A flood of SYNs is dropped before the queues once the FIFO stands; nothing else ever is."""

from __future__ import annotations

import pytest

from nodes.nic.rx_overload import POLLS_IN_ONE, STANDING_FRAMES, SYNS_A_POLL
from nodes.wire import tcp
from tests.nic.bench import Bench
from tests.nic.frames import Tcp

BUDGET = 64
SYN, DATA = Tcp(flags=tcp.SYN).frame(), Tcp(b"payload").frame()


def poll(bench: Bench) -> int:
    """How many packets one poll hands up; their payload is released."""
    count = 0
    for skb in bench.device.poll(BUDGET):
        skb.release()
        count += 1
    return count


@pytest.fixture
def standing() -> Bench:
    """A NIC whose FIFO has not been empty for STANDING_FRAMES, with 10,000 SYNs in it."""
    bench = Bench()
    for _ in range(STANDING_FRAMES + 10_000):
        bench.wire.put(SYN, checksum_good=True)
    for _ in range(STANDING_FRAMES // BUDGET):
        assert poll(bench) == BUDGET  # so far nothing is dropped: it may be a burst of connections
    return bench


def test_a_poll_answers_a_few_syns_and_drops_the_others(standing: Bench) -> None:
    assert poll(standing) == SYNS_A_POLL
    dropped = BUDGET * POLLS_IN_ONE - SYNS_A_POLL
    assert (standing.wire.dropped, standing.device.overruns()) == (dropped, dropped)


def test_data_between_the_syns_is_received(standing: Bench) -> None:
    standing.wire.waiting.clear()
    for _ in range(100):
        standing.wire.put(SYN, checksum_good=True)
        standing.wire.put(DATA, checksum_good=True)
    assert poll(standing) == 100 + SYNS_A_POLL


def test_after_the_fifo_was_empty_syns_are_answered_again(standing: Bench) -> None:
    standing.wire.waiting.clear()
    assert poll(standing) == 0
    for _ in range(BUDGET):
        standing.wire.put(SYN, checksum_good=True)
    assert poll(standing) == BUDGET


def test_a_stream_that_keeps_the_fifo_full_loses_nothing() -> None:
    bench = Bench()
    for _ in range(4 * STANDING_FRAMES):
        bench.wire.put(DATA, checksum_good=True)
    received = 0
    while bench.wire.waiting:
        received += poll(bench)
    assert (received, bench.wire.dropped) == (4 * STANDING_FRAMES, 0)

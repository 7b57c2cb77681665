"""A flood of SYNs is dropped before the queues once the FIFO stands; nothing else ever is."""

from __future__ import annotations

import pytest

from nodes.nic.header_split import Parsed
from nodes.nic.rx_overload import (
    NEW_SYNS_A_POLL,
    POLLS_IN_ONE,
    REMEMBERED_SYNS,
    STANDING_SYNS,
    SYNS_A_POLL,
    RxOverload,
)
from nodes.wire import tcp
from tests.nic.bench import Bench
from tests.nic.frames import Tcp

BUDGET = 64
FULL_POLL = BUDGET * POLLS_IN_ONE  # frames that a poll takes while SYNs are dropped
SYN, DATA = Tcp(flags=tcp.SYN).frame(), Tcp(b"payload").frame()


def poll(bench: Bench) -> int:
    """How many packets one poll hands up; their payload is released."""
    count = 0
    for skb in bench.device.poll(BUDGET):
        skb.release()
        count += 1
    return count


def syns(bench: Bench, count: int, first: int = 0) -> None:
    """SYNs of so many connections wait."""
    for number in range(first, first + count):
        bench.wire.put(Tcp(flags=tcp.SYN, seq=number).frame(), checksum_good=True)


@pytest.fixture
def standing() -> Bench:
    """A NIC whose FIFO stands, has brought STANDING_SYNS since, and has more in it."""
    bench = Bench()
    syns(bench, BUDGET + STANDING_SYNS + 2 * FULL_POLL)
    for _ in range(1 + STANDING_SYNS // BUDGET):
        assert poll(bench) == BUDGET  # so far nothing is dropped: it may be a burst of connections
    return bench


def test_a_poll_answers_a_few_syns_and_drops_the_others(standing: Bench) -> None:
    assert poll(standing) == NEW_SYNS_A_POLL
    dropped = FULL_POLL - NEW_SYNS_A_POLL
    assert (standing.wire.dropped, standing.device.overruns()) == (dropped, dropped)


def test_a_syn_that_comes_again_is_answered_before_new_ones(standing: Bench) -> None:
    standing.wire.waiting.clear()
    syns(standing, FULL_POLL + 1, 20_000)
    assert poll(standing) == NEW_SYNS_A_POLL
    standing.wire.waiting.clear()
    syns(standing, 50, 30_000)
    syns(standing, 3, 20_000 + NEW_SYNS_A_POLL)
    syns(standing, FULL_POLL, 40_000)
    assert poll(standing) == NEW_SYNS_A_POLL + 3


def test_of_syns_that_come_again_a_poll_answers_some(standing: Bench) -> None:
    standing.wire.waiting.clear()
    for _ in range(FULL_POLL + 1):
        standing.wire.put(SYN, checksum_good=True)
    assert poll(standing) == SYNS_A_POLL


def test_a_syn_is_remembered_until_many_others_were_dropped() -> None:
    overload = RxOverload()
    overload.end_poll(emptied=False)

    def refused(first: int, count: int) -> int:
        """Of `count` SYNs, from number `first` on, in a poll."""
        assert overload.begin_poll()
        head = bytes(14) + bytes([tcp.SYN])
        parsed = (Parsed(0, 0, number.to_bytes(12, "big"), 1) for number in range(first, first + count))
        return sum(overload.refuses(head, each) for each in parsed)

    assert refused(0, STANDING_SYNS) == 0
    assert refused(1_000, 100) == 100 - NEW_SYNS_A_POLL
    assert refused(10_000, REMEMBERED_SYNS) == REMEMBERED_SYNS - NEW_SYNS_A_POLL
    assert refused(1_000 + NEW_SYNS_A_POLL, 10) == 0
    assert refused(200_000, 2 * REMEMBERED_SYNS) == 2 * REMEMBERED_SYNS - NEW_SYNS_A_POLL
    assert refused(1_000 + NEW_SYNS_A_POLL, 10) == 10 - NEW_SYNS_A_POLL


def test_data_between_the_syns_is_received(standing: Bench) -> None:
    standing.wire.waiting.clear()
    for number in range(100):
        syns(standing, 1, 20_000 + number)
        standing.wire.put(DATA, checksum_good=True)
    assert poll(standing) == 100 + NEW_SYNS_A_POLL


def test_after_the_fifo_was_empty_syns_are_answered_again(standing: Bench) -> None:
    standing.wire.waiting.clear()
    assert poll(standing) == 0
    syns(standing, STANDING_SYNS // 2, 20_000)
    answered = 0
    while standing.wire.waiting:
        answered += poll(standing)
    assert answered == STANDING_SYNS // 2


def test_a_stream_that_keeps_the_fifo_full_loses_nothing() -> None:
    bench = Bench()
    for _ in range(8 * STANDING_SYNS):
        bench.wire.put(DATA, checksum_good=True)
    received = 0
    while bench.wire.waiting:
        received += poll(bench)
    assert (received, bench.wire.dropped) == (8 * STANDING_SYNS, 0)

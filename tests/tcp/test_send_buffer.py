"""The send buffer: what is charged to it, when it is full, when it grows, and when pollers may write."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from nodes.tcp.send_buffer import SKB_BYTES, SendBuffer, size_for
from tests.tcp.two_ends import CONFIG, FULL, MSS, Impairment, Ledger, Scripted, TwoEnds, pattern

GROWING = replace(CONFIG, send_buffer_bytes=16384, send_buffer_max_bytes=4 << 20)
GOAL = 64_000 // FULL * FULL


def fill(peer: Scripted) -> None:
    while room := peer.connection.send_room:
        peer.write(room)


def limited_us(peer: Scripted) -> int:
    return peer.connection.info(peer.now).sndbuf_limited_us


def test_the_size_for_a_window_is_linuxs() -> None:
    assert size_for(10, 1460) == 87040  # what SO_SNDBUF tells of a new connection over Ethernet
    assert size_for(1, 1460) == 87040
    assert size_for(10, 65483) == 2626560  # and over the loopback device
    assert size_for(100, 1460) == 870400


def test_what_is_charged_goes_when_it_is_acknowledged() -> None:
    buffer = SendBuffer(100_000)
    buffer.charge(1000, 4096, 1000, GOAL)
    buffer.charge(5000, 5000, 6000, GOAL)
    assert buffer.wmem_queued(0) == 4096 + 5000 + SKB_BYTES
    assert buffer.wmem_queued(999) == 4096 - 999 + 5000 + SKB_BYTES
    assert buffer.wmem_queued(1000) == 5000
    assert buffer.wmem_queued(6000) == 0


@pytest.mark.parametrize(("queued", "tail", "room"), [
    (0, 0, 2 * GOAL),  # another skb begins while less than the size is charged, and it is filled
    (GOAL, 0, GOAL),
    (100_000, 0, 0),
])  # fmt: skip
def test_skbs_are_begun_while_less_than_the_size_is_charged(queued: int, tail: int, room: int) -> None:
    buffer = SendBuffer(100_000)
    buffer.accepted_bytes = queued
    assert buffer.room(0, tail, GOAL) == room


def test_an_skb_that_has_begun_is_filled_however_full_the_buffer_is() -> None:
    buffer = SendBuffer(100_000)
    buffer.charge(100_010, 100_010, 10, GOAL)  # all but 10 bytes have been sent
    assert buffer.room(0, 10, GOAL) == GOAL - 10
    buffer.charge(GOAL - 10, GOAL - 10, GOAL, GOAL)
    assert buffer.room(0, GOAL, GOAL) == 0


@pytest.mark.parametrize("size", [1 << 16, 1 << 22])
@pytest.mark.parametrize("at_once", [100, 4096, 7777, 1 << 20])
@pytest.mark.parametrize("goal", [1448, GOAL, 3 * GOAL])
def test_device_memory_at_any_offset_fills_the_buffer_and_no_more(size: int, at_once: int, goal: int) -> None:
    """Pages are charged whole, and so an skb of them is full before its payload is."""
    chance = random.Random(size + at_once + goal)
    for _ in range(20):
        buffer, tail, offset = SendBuffer(size), 0, chance.randrange(1 << 20)
        while (room := buffer.room(0, tail, goal)) > 0:
            length = min(room, at_once)
            pages = -(-(offset % 4096 + length) // 4096)
            tail += length
            buffer.charge(length, 4096 * pages, tail, goal)
            offset += chance.choice((length, 4096))
            assert buffer.wmem_queued(0) < size + goal + 17 * (4096 + SKB_BYTES) + 4096 * pages


@pytest.mark.parametrize(("queued", "writable"), [(66_666, True), (66_668, False)])
def test_a_third_is_free_when_a_poller_is_told_to_write(queued: int, writable: bool) -> None:
    buffer = SendBuffer(100_000)
    buffer.accepted_bytes = queued
    assert buffer.writable(0) is writable


def test_small_writes_that_left_are_charged_an_skb_each(peer: Scripted) -> None:
    room = peer.connection.send_room
    sender = peer.connection.tcb.sender
    for _ in range(5):
        peer.write(1)
        peer.ranges()
    assert sender.buffer.wmem_queued(sender.bytes_acked) == 5 * (1 + SKB_BYTES)
    peer.write(2)
    peer.write(2)  # joins what was not sent
    assert sender.buffer.wmem_queued(sender.bytes_acked) == 5 * (1 + SKB_BYTES) + 4 + SKB_BYTES
    peer.ranges()
    peer.get(1, 1 + 9)
    assert peer.connection.send_room == room


def test_the_buffer_begins_with_twice_the_first_window_and_grows_with_cwnd(ledger: Ledger) -> None:
    ends = TwoEnds(ledger, Impairment(delay_s=0.005), GROWING, CONFIG).open()
    sender = ends.a.connection.tcb.sender
    assert sender.buffer.size == 87040
    ends.a.pending = pattern(4_000_000)
    began = ends.now
    ends.run(60.0, until_read=4_000_000)
    assert sender.buffer.size > 1_000_000
    fixed = replace(CONFIG, send_buffer_bytes=4 << 20)
    roomy = TwoEnds(ledger, Impairment(delay_s=0.005), fixed, CONFIG).open()
    roomy.a.pending = pattern(4_000_000)
    roomy_began = roomy.now
    roomy.run(60.0, until_read=4_000_000)
    assert ends.now - began <= 1.05 * (roomy.now - roomy_began)
    ends.stop()
    roomy.stop()


@pytest.mark.parametrize("locked", [True, False])
def test_so_sndbuf_locks_the_size_and_tcp_wmem_limits_it(ledger: Ledger, locked: bool) -> None:
    config = replace(GROWING, send_buffer_max_bytes=200_000)
    ends = TwoEnds(ledger, Impairment(delay_s=0.005), config, CONFIG).open()
    if locked:
        ends.a.connection.sockopt.set_send_buffer(50_000)
    ends.a.pending = pattern(2_000_000)
    ends.run(60.0, until_read=2_000_000)
    assert ends.a.connection.sockopt.send_buffer_bytes == (50_000 if locked else 200_000)
    ends.stop()


def test_the_buffer_does_not_grow_while_cwnd_is_full(ledger: Ledger) -> None:
    peer = Scripted(ledger, replace(GROWING, send_buffer_bytes=200_000)).open()
    fill(peer)
    assert sum(length for _, length in peer.ranges()) == 10 * FULL
    peer.get(1, 1 + FULL)  # slow start: cwnd has room for what is queued, and for no more
    assert not peer.connection.tcb.sender.writable
    assert peer.connection.sockopt.send_buffer_bytes == 200_000


def test_tcp_info_tells_how_long_the_buffer_kept_data_from_being_sent(ledger: Ledger) -> None:
    peer = Scripted(ledger, replace(CONFIG, send_buffer_bytes=5 * FULL, max_segment_bytes=MSS)).open()
    fill(peer)
    sent = sum(length for _, length in peer.ranges())
    peer.now += 0.25
    assert limited_us(peer) == 250_000
    peer.get(1, 1 + sent)
    assert peer.connection.send_room
    peer.now += 1.0  # nothing waits
    assert limited_us(peer) == 250_000

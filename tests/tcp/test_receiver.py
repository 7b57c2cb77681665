"""The receiving half against a scripted peer: when ACKs leave, what SACK reports, how the window moves."""

from __future__ import annotations

import pytest

from nodes.tcp.segment import Segment
from tests.tcp.two_ends import CONFIG, FULL, Scripted


def spend_quick_acks(peer: Scripted) -> int:
    """Use up the immediate ACKs of the start; returns the next sequence number."""
    for at in range(20):
        peer.get(1 + at, 1, b"x")
        peer.sent()
    peer.now += 1
    peer.connection.handle_timeout(peer.now)
    peer.sent()
    peer.read()
    peer.sent()
    return 21


def test_the_first_segments_are_acknowledged_at_once_later_ones_in_40_ms(peer: Scripted) -> None:
    peer.get(1, 1, b"a")
    assert peer.acks() == [2]
    seq = 2
    peer.get(seq, 1, b"a")
    while peer.acks():
        seq += 1
        peer.get(seq, 1, b"a")
    assert seq == 17  # 16 were
    assert peer.wait() == pytest.approx(0.04)
    assert peer.acks() == [18]
    assert peer.connection.next_timeout() is None


def test_two_segments_worth_are_acknowledged_at_once_and_by_one_ack(peer: Scripted) -> None:
    at = spend_quick_acks(peer)
    peer.get(at, 1, bytes(FULL))
    assert peer.sent() == []
    peer.get(at + FULL, 1, bytes(FULL))
    peer.get(at + 2 * FULL, 1, bytes(FULL))
    assert peer.acks() == [at + 3 * FULL]


def test_out_of_order_is_reported_at_once_the_newest_block_first(peer: Scripted) -> None:
    peer.get(11, 1, bytes(10))
    peer.get(31, 1, bytes(10))
    header = peer.sent()[0].header
    relative = [(x - peer.irs & 0xFFFFFFFF, y - peer.irs & 0xFFFFFFFF) for x, y in header.sack]
    assert relative == [(31, 41), (11, 21)]
    peer.get(1, 1, bytes(10))
    header = peer.sent()[0].header
    assert header.ack == peer.irs + 21 & 0xFFFFFFFF
    assert len(header.sack) == 1


def test_a_duplicate_is_answered_with_d_sack(peer: Scripted) -> None:
    peer.get(1, 1, bytes(100))
    peer.sent()
    peer.get(1, 1, bytes(100))
    header = peer.sent()[0].header
    assert header.sack == ((peer.irs + 1 & 0xFFFFFFFF, peer.irs + 101 & 0xFFFFFFFF),)
    peer.get(101, 1, b"x")
    assert peer.sent()[0].header.sack == ()  # reported once


def test_overlap_is_delivered_once_and_first_bytes_win(peer: Scripted) -> None:
    peer.get(4, 1, b"DEF")
    peer.get(3, 1, b"cdefgh")
    peer.get(1, 1, b"ABCX")
    assert peer.read() == b"ABcDEFgh"
    peer.get(7, 1, b"ghij")
    assert peer.read() == b"ij"


def test_a_zero_length_probe_before_the_window_is_answered(peer: Scripted) -> None:
    for _ in range(5):
        peer.now += 0.2
        peer.get(0, 1)
        assert peer.acks() == [1]


def test_old_bare_segments_are_not_answered_every_time(peer: Scripted) -> None:
    peer.get(1, 1, bytes(1000))
    peer.sent()
    answers = 0
    for _ in range(50):
        peer.now += 0.01
        peer.get(5, 1)
        answers += len(peer.acks())
    assert answers == 1


def test_an_old_timestamp_is_refused_and_an_overtaken_bare_ack_unanswered(peer: Scripted) -> None:
    peer.now += 1
    peer.get(1, 1, b"new")
    peer.sent()
    old = peer.header(4, 1)
    assert old.ts_val is not None
    old.ts_val -= 500
    peer.connection.receive_segment(Segment(old), peer.now)
    assert peer.sent() == []
    peer.connection.receive_segment(Segment(old, peer.ledger.payload(b"old")), peer.now)
    assert peer.acks() == [4]
    assert peer.read() == b"new"


def test_ts_ecr_is_that_of_the_oldest_segment_not_yet_acknowledged(peer: Scripted) -> None:
    at = spend_quick_acks(peer)
    first = int(peer.now * 1000)
    peer.get(at, 1, bytes(FULL))
    peer.now += 0.01
    peer.get(at + FULL, 1, bytes(FULL))
    assert peer.sent()[0].header.ts_ecr == first


def test_window_update_after_a_read_is_announced(peer: Scripted) -> None:
    at = 1
    while room := peer.connection.info().rcv_wnd:
        count = min(60_000, room)
        peer.get(at, 1, bytes(count))
        at += count
        if not (acks := peer.acks()):
            peer.wait()
            acks = peer.acks()
        assert acks == [at]
    assert peer.connection.info().rcv_wnd == 0
    peer.get(at, 1, b"beyond")
    assert peer.acks() == [at]
    peer.connection.received.popleft().release()
    peer.connection.consumed(100, peer.now)
    assert peer.sent() == []  # silly window: not worth a segment
    peer.connection.consumed(99_900, peer.now)
    header = peer.sent()[0].header
    assert header.window << 5 >= 99_000


def test_the_windows_right_edge_never_moves_left(peer: Scripted) -> None:
    edges = []
    for at in range(1, 3000, 7):
        peer.get(at, 1, bytes(7))
        edges += [(x.header.ack - peer.irs & 0xFFFFFFFF) + (x.header.window << 5) for x in peer.sent()]
        peer.now += 0.1
        peer.connection.handle_timeout(peer.now)
    assert edges == sorted(edges)
    assert edges[-1] <= CONFIG.receive_buffer_bytes // 2 * 9 // 8 + 1

"""The receiving half against a scripted peer: when ACKs leave, what SACK reports, how the window moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.tcp.quick_ack import DELAYED_ACK_S, QUICK_ACKS
from nodes.tcp.segment import Segment
from nodes.wire.tcp import ACK, PSH
from tests.tcp.two_ends import CONFIG, FULL, Ledger, Scripted


def spend_quick_acks(peer: Scripted) -> int:
    """Use up the immediate ACKs of the start; returns the next sequence number."""
    for at in range(20):
        peer.get(1 + at, 1, b"x")
        peer.sent()
    assert peer.wait() == pytest.approx(DELAYED_ACK_S)
    peer.sent()
    peer.read()
    assert peer.sent() == []
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


def quick(peer: Scripted, at: int) -> int:
    """How many full segments from `at` on are acknowledged at once; the next one waits."""
    for count in range(QUICK_ACKS + 1):
        peer.get(at + count * FULL, 1, bytes(FULL))
        if not peer.acks():
            return count
    raise AssertionError(f"more than {QUICK_ACKS} segments were acknowledged at once")


def test_after_a_retransmission_segments_are_acknowledged_at_once_again(peer: Scripted) -> None:
    at = spend_quick_acks(peer)
    assert quick(peer, at) == 0
    peer.wait()
    peer.sent()
    peer.get(at, 1, bytes(FULL))
    assert peer.acks() == [at + FULL]
    assert quick(peer, at + FULL) == QUICK_ACKS


def test_after_a_retransmission_to_a_small_window_few_are(ledger: Ledger) -> None:
    peer = Scripted(ledger, replace(CONFIG, receive_buffer_bytes=20 * FULL))
    at = spend_quick_acks(peer)
    peer.get(at - 1, 1, b"x")
    assert peer.acks() == [at]
    window = peer.connection.info().rcv_wnd
    assert quick(peer, at) == window // (2 * FULL) < QUICK_ACKS


def test_after_a_silence_of_an_rto_segments_are_acknowledged_at_once(peer: Scripted) -> None:
    at = spend_quick_acks(peer)
    peer.now += 0.7 * peer.connection.info().rto_us / 1e6
    assert quick(peer, at) == 0
    peer.wait()
    peer.sent()
    peer.now += 1.1 * peer.connection.info().rto_us / 1e6
    assert quick(peer, at + FULL) == QUICK_ACKS


@pytest.mark.parametrize(("flags", "length", "acknowledged"), [
    (ACK, FULL, False), (ACK | PSH, FULL, True), (ACK, FULL - 1, True),
])  # fmt: skip
def test_the_end_of_a_write_is_acknowledged_once_it_is_read(
    peer: Scripted, flags: int, length: int, acknowledged: bool
) -> None:
    at = spend_quick_acks(peer)
    peer.get(at, 1, bytes(length), flags)
    assert peer.acks() == []
    peer.read()
    assert peer.acks() == [at + length] * acknowledged


def test_an_acknowledgement_waits_for_the_answer_of_an_application_that_answers(peer: Scripted) -> None:
    peer.get(1, 1, b"question")
    assert peer.acks() == [9]
    peer.connection.send(peer.ledger.payload(b"answer"), peer.now)
    assert peer.ranges() == [(1, 6)]
    peer.get(9, 7, b"next question")
    peer.read()
    assert peer.acks() == []
    assert peer.wait() == pytest.approx(DELAYED_ACK_S)  # in vain: there is no answer
    assert peer.acks() == [22]
    peer.get(22, 7, b"more")
    assert peer.acks() == [26]


def test_every_second_segment_of_a_batch_is_acknowledged(peer: Scripted) -> None:
    at = spend_quick_acks(peer)
    peer.get(at, 1, bytes(FULL))
    assert peer.sent() == []
    peer.get(at + FULL, 1, bytes(FULL))
    peer.get(at + 2 * FULL, 1, bytes(FULL))
    peer.get(at + 3 * FULL, 1, bytes(FULL))
    peer.get(at + 4 * FULL, 1, bytes(FULL))
    assert peer.acks() == [at + 2 * FULL, at + 4 * FULL]
    assert peer.wait() == pytest.approx(DELAYED_ACK_S)
    assert peer.acks() == [at + 5 * FULL]


def test_a_batch_is_acknowledged_though_no_reader_can_have_kept_the_window(ledger: Ledger) -> None:
    """Linux's reader reads beside the softirq. One ACK for a batch would be one for all that is in flight."""
    peer = Scripted(ledger, replace(CONFIG, receive_buffer_bytes=40 * FULL))
    at = spend_quick_acks(peer)
    for _ in range(20):  # until the window has grown to its clamp
        peer.get(at, 1, bytes(FULL))
        peer.read()
        at += FULL
    peer.wait()
    peer.sent()
    buffer = peer.connection.tcb.receiver.buffer
    assert buffer.rcv_ssthresh == buffer.window_clamp
    for number in range(4):
        peer.get(at + number * FULL, 1, bytes(FULL))
    assert peer.acks() == [at + 2 * FULL, at + 4 * FULL]


def test_more_than_a_segment_is_acknowledged_at_once(peer: Scripted) -> None:
    at = spend_quick_acks(peer)
    peer.get(at, 1, bytes(FULL))
    assert peer.sent() == []
    peer.get(at + FULL, 1, b"x")
    assert peer.acks() == [at + FULL + 1]


def test_each_segment_of_a_batch_that_lies_beyond_a_hole_is_acknowledged(peer: Scripted) -> None:
    """One ACK for all would be lost with all that it reports."""
    for at in range(3):
        peer.get(11 + 10 * at, 1, bytes(10))
    sent = [each.header for each in peer.sent()]
    assert [(ack.ack - peer.irs & 0xFFFFFFFF, ack.sack[0][1] - peer.irs & 0xFFFFFFFF) for ack in sent] == [
        (1, 21), (1, 31), (1, 41)
    ]  # fmt: skip


def test_without_sack_every_segment_beyond_a_hole_is_a_duplicate_ack(ledger: Ledger) -> None:
    peer = Scripted(ledger, options=False).open()
    at = spend_quick_acks(peer)
    for number in range(1, 9):
        peer.get(at + number * FULL, 1, bytes(FULL))
    assert peer.acks() == [at] * 8


def test_a_compressed_ack_ends_with_its_connection(peer: Scripted) -> None:
    at = spend_quick_acks(peer)
    for number in range(1, 9):
        peer.get(at + number * FULL, 1, bytes(FULL))
    assert len(peer.acks()) == 3
    assert peer.connection.next_timeout() == peer.connection.tcb.receiver.comp_sack.at
    peer.connection.abort(peer.now)
    assert peer.connection.next_timeout() is None


def test_out_of_order_is_reported_at_once_the_newest_block_first(peer: Scripted) -> None:
    peer.get(11, 1, bytes(10))
    peer.get(31, 1, bytes(10))
    header = peer.sent()[1].header
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

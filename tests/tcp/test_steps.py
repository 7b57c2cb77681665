"""One connection, step by step against a written peer: sending, receiving, timers, bugs others have had."""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest

from nodes.tcp.connection import State
from nodes.tcp.segment import Segment
from nodes.wire.tcp import ACK, FIN
from tests.tcp.two_ends import CONFIG, MSS, Impairment, Ledger, Scripted, TwoEnds, pattern

D = MSS - 12  # payload of a wire packet


@pytest.fixture
def peer(ledger: Ledger) -> Scripted:
    return Scripted(ledger).open()


# --- receiving ----------------------------------------------------------------------------------------


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


def test_the_first_segments_are_acknowledged_at_once_and_later_ones_after_40_ms(peer: Scripted) -> None:
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
    peer.get(at, 1, bytes(D))
    assert peer.sent() == []
    peer.get(at + D, 1, bytes(D))
    peer.get(at + 2 * D, 1, bytes(D))
    assert peer.acks() == [at + 3 * D]


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


def test_zero_length_probe_before_the_window_is_answered(peer: Scripted) -> None:
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


def test_an_old_timestamp_is_refused_and_a_bare_overtaken_ack_is_not_answered(peer: Scripted) -> None:
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


def test_timestamp_echo_is_that_of_the_oldest_segment_not_yet_acknowledged(peer: Scripted) -> None:
    at = spend_quick_acks(peer)
    first = int(peer.now * 1000)
    peer.get(at, 1, bytes(D))
    peer.now += 0.01
    peer.get(at + D, 1, bytes(D))
    assert peer.sent()[0].header.ts_ecr == first


def test_window_update_after_a_read_is_announced(peer: Scripted) -> None:
    size = CONFIG.receive_buffer_bytes
    at = 1
    while at <= size:
        count = min(60_000, size + 1 - at)
        peer.get(at, 1, bytes(count))
        at += count
        assert peer.acks() == [at]
    assert peer.connection.info().rcv_wnd == 0
    peer.get(at, 1, b"beyond")
    assert peer.acks() == [at]
    peer.connection.received.popleft().release()
    peer.connection.consumed(100, peer.now)
    assert peer.sent() == []  # silly window: not worth a segment
    peer.connection.consumed(59_900, peer.now)
    header = peer.sent()[0].header
    assert header.window << 5 >= 59_000


def test_the_window_closes_by_what_arrived_and_never_shrinks(peer: Scripted) -> None:
    edges = []
    for at in range(1, 3000, 7):
        peer.get(at, 1, bytes(7))
        edges += [(x.header.ack - peer.irs & 0xFFFFFFFF) + (x.header.window << 5) for x in peer.sent()]
        peer.now += 0.1
        peer.connection.handle_timeout(peer.now)
    assert edges == sorted(edges)
    assert edges[-1] <= CONFIG.receive_buffer_bytes * 9 // 8 + 1


def test_fin_again_in_time_wait_is_acknowledged_and_waits_anew(peer: Scripted) -> None:
    peer.connection.shutdown(peer.now)
    peer.sent()
    peer.get(1, 2, flags=FIN | ACK)
    assert peer.acks() == [2]
    assert peer.state() is State.TIME_WAIT
    peer.now += 50
    peer.get(1, 2, flags=FIN | ACK)
    assert peer.acks() == [2]
    assert peer.wait() == pytest.approx(60)
    assert peer.state() is State.CLOSED


# --- sending ------------------------------------------------------------------------------------------


def test_the_initial_window_is_ten_segments(peer: Scripted) -> None:
    peer.write(100_000)
    assert sum(length for _, length in peer.ranges()) <= 10 * D
    assert peer.connection.info().snd_cwnd == 10


def test_growth_is_by_bytes_and_not_by_acks(peer: Scripted) -> None:
    peer.write(400_000)
    sent = sum(length for _, length in peer.ranges())
    peer.now += 0.001
    peer.get(1, 1 + sent)  # one stretch ACK
    assert peer.connection.info().snd_cwnd == 10 + sent // D


def test_rtt_of_microseconds_is_measured_and_does_not_stop_us(peer: Scripted) -> None:
    peer.write(20_000)
    acked = 1
    while ranges := peer.ranges():
        acked = ranges[-1][0] + ranges[-1][1]
        peer.now += 3e-6
        peer.get(1, acked)
    assert acked == 20_001
    info = peer.connection.info()
    assert 0 < info.min_rtt_us <= 4
    assert info.rto_us >= 200_000


def test_retransmission_timer_is_not_restarted_by_every_ack(peer: Scripted) -> None:
    peer.write(D)
    peer.ranges()
    due = peer.connection.next_timeout()
    for _ in range(10):
        peer.now += 0.01
        peer.get(1, 1)  # acknowledges nothing new
        peer.get(1, 1, window=60_000)
    assert peer.connection.next_timeout() == due


def test_back_off_doubles_and_a_new_ack_resets_it(peer: Scripted) -> None:
    peer.write(4 * D)
    peer.ranges()
    assert peer.wait() < 0.2
    assert peer.ranges() == [(1 + 3 * D, D)]  # the tail probe
    waits = []
    for _ in range(5):
        waits.append(peer.wait())
        assert peer.ranges()[0] == (1, D)
    for shorter, longer in pairwise(waits):
        assert longer == pytest.approx(2 * shorter)
    peer.get(1, 1 + D)
    assert peer.connection.info().backoff == 0
    assert peer.connection.info().retransmits == 0


def test_rtt_is_not_sampled_from_retransmissions(ledger: Ledger) -> None:
    peer = Scripted(ledger, options=False)
    peer.now += 0.001
    peer.open()
    before = peer.connection.info().rtt_us
    peer.write(100)
    peer.ranges()
    peer.wait()
    peer.ranges()
    peer.now += 0.0001
    peer.get(1, 101)
    assert peer.connection.info().rtt_us == before


def test_timeouts_end_with_etimedout_and_release(peer: Scripted) -> None:
    peer.write(10_000)
    timeouts = 0
    while peer.state() is State.ESTABLISHED:
        peer.ranges()
        timeouts += peer.wait() >= 0.2
    assert peer.connection.error == errno.ETIMEDOUT
    assert 15 <= timeouts <= 17
    assert peer.ledger.live == 0


def test_retransmission_gets_unstuck_after_many_losses(ledger: Ledger) -> None:
    for first in range(1, 12):
        ends = TwoEnds(ledger, Impairment(cut=True, drop=set(range(first, first + 16)))).open()
        ends.a.pending = pattern(60_000)
        ends.run(600.0, until_read=60_000)
        assert bytes(ends.server.read) == pattern(60_000)
        ends.stop()


def test_a_segment_is_lost_when_a_later_one_was_sacked_and_the_reordering_window_is_over(
    peer: Scripted,
) -> None:
    peer.write(9 * D)
    first, second, third = peer.ranges()
    assert [first[1], second[1], third[1]] == [3 * D] * 3
    peer.now += 0.01
    block = (second[0], second[0] + 3 * D)
    peer.get(1, 1, sack=(block,))
    if peer.ranges():
        pytest.fail("resent inside the reordering window")
    assert peer.wait() < 0.02
    assert peer.ranges()[0] == (1, 2 * D)  # one told of the loss, one more by slow start (RFC 6937)
    info = peer.connection.info()
    assert (info.ca_state, info.sacked, info.snd_ssthresh) == (3, 3, 7)
    peer.now += 0.01
    peer.get(1, 1 + 9 * D)
    info = peer.connection.info()
    assert (info.ca_state, info.sacked, info.lost, info.unacked) == (0, 0, 0, 0)


def test_partial_sack_splits_and_only_the_hole_is_resent(peer: Scripted) -> None:
    peer.write(9 * D)
    peer.ranges()
    peer.now += 0.01
    peer.get(1, 1 + D, sack=((1 + 2 * D, 1 + 9 * D),))
    resent = peer.ranges()
    if not resent:
        peer.wait()
        resent = peer.ranges()
    assert resent == [(1 + D, D)]
    assert peer.connection.info().sacked == 7


def test_d_sack_for_all_that_was_resent_undoes_the_reduction(peer: Scripted) -> None:
    peer.write(9 * D)
    peer.ranges()
    peer.now += 0.01
    peer.get(1, 1, sack=((1 + 3 * D, 1 + 6 * D),))
    peer.wait()
    assert peer.ranges()[0] == (1, 2 * D)
    assert peer.connection.info().snd_ssthresh == 7
    peer.now += 0.001
    peer.get(1, 1 + 9 * D, sack=((1, 1 + 2 * D),))
    info = peer.connection.info()
    assert info.snd_cwnd >= 10
    assert info.dsack_dups == 1
    peer.get(1, 1 + 9 * D, sack=((1, 1 + 2 * D),))  # the same report, copied onto each packet by TSO
    assert peer.connection.info().dsack_dups == 1


def test_a_timeout_proved_needless_by_timestamps_is_undone(peer: Scripted) -> None:
    peer.write(4 * D)
    sent_at = int(peer.now * 1000) + 1
    peer.ranges()
    while peer.wait() < 0.1:
        peer.ranges()
    peer.ranges()
    assert peer.connection.info().snd_cwnd == 1
    peer.now += 0.001
    peer.get(1, 1 + 2 * D, ts_ecr=sent_at)
    assert peer.connection.info().snd_cwnd >= 10
    assert peer.connection.info().ca_state == 0


@pytest.mark.parametrize("control", ["cubic", "reno", "dctcp"])
def test_a_reduction_before_another_congestion_control_was_chosen_is_final(
    peer: Scripted, control: str
) -> None:
    peer.write(9 * D)
    peer.ranges()
    peer.now += 0.01
    peer.get(1, 1, sack=((1 + 3 * D, 1 + 6 * D),))
    peer.wait()
    assert peer.ranges()[0] == (1, 2 * D)
    assert peer.connection.info().snd_ssthresh == 7
    peer.connection.sockopt.set_congestion("cubic")  # as it is: changes nothing
    peer.connection.sockopt.set_congestion(control)
    peer.now += 0.001
    peer.get(1, 1 + 9 * D, sack=((1, 1 + 2 * D),))  # all that was resent had arrived
    info = peer.connection.info()
    undone = control == "cubic"
    assert (info.congestion, info.snd_ssthresh == 7, info.snd_cwnd >= 10) == (control, not undone, undone)


def test_three_duplicate_acks_serve_a_peer_without_sack(ledger: Ledger) -> None:
    peer = Scripted(ledger, options=False).open()
    peer.write(9 * MSS)
    peer.ranges()
    for _ in range(2):
        peer.get(1, 1)
    assert peer.ranges() == []
    peer.get(1, 1)
    assert peer.ranges()[0] == (1, MSS)


def test_nagle_holds_a_small_segment_until_all_is_acknowledged(ledger: Ledger) -> None:
    for nodelay in (False, True):
        config = type(CONFIG)(mss=MSS, max_segment_bytes=64000, nodelay=nodelay)
        peer = Scripted(ledger, config).open()
        peer.write(100)
        assert peer.ranges() == [(1, 100)]
        peer.write(100)
        assert peer.ranges() == ([(101, 100)] if nodelay else [])
        peer.get(1, 101)
        assert peer.ranges() == ([] if nodelay else [(101, 100)])


def test_small_writes_share_segments(peer: Scripted) -> None:
    for _ in range(50):
        peer.write(100)
    lengths = [length for _, length in peer.ranges()]
    assert sum(lengths) == 5000
    assert len(lengths) <= 2


def test_a_silly_window_is_not_filled_until_the_override_timer(ledger: Ledger) -> None:
    peer = Scripted(ledger).open(window=60_000)
    peer.write(20_000)
    sent = sum(length for _, length in peer.ranges())
    peer.get(1, 1 + sent, window=200)
    assert peer.ranges() == []
    assert peer.wait() >= 0.2
    assert peer.ranges() == [(1 + sent, 200)]


def test_zero_window_is_probed_with_back_off_and_the_retransmission_timer_rests(peer: Scripted) -> None:
    peer.write(3 * D)
    sent = sum(length for _, length in peer.ranges())
    peer.write(1000)
    peer.get(1, 1 + sent, window=0)
    assert peer.ranges() == []
    waits = []
    for _ in range(12):
        waits.append(peer.wait())
        assert peer.ranges() == [(sent, 0)]  # zero bytes at SND.UNA - 1
        peer.now += 0.0001
        peer.get(1, 1 + sent, window=0)
        assert peer.ranges() == []
    assert waits[1] == pytest.approx(2 * waits[0], rel=0.01)
    assert max(waits) == pytest.approx(120, rel=0.01)
    info = peer.connection.info()
    assert (info.total_retrans, info.retransmits, info.probes) == (0, 0, 0)
    peer.get(1, 1 + sent, window=5000)
    assert peer.ranges() == [(1 + sent, 1000)]
    assert peer.connection.info().backoff == 0


def test_unanswered_probes_end_with_etimedout(peer: Scripted) -> None:
    peer.write(D)
    peer.ranges()
    peer.write(D)
    peer.get(1, 1 + D, window=0)
    while peer.state() is State.ESTABLISHED:
        peer.ranges()
        peer.wait()
    assert peer.connection.error == errno.ETIMEDOUT
    assert peer.ledger.live == 0


def test_a_window_that_shrinks_stops_new_data_and_acks_stay_acceptable(peer: Scripted) -> None:
    peer.write(9 * D)
    peer.ranges()
    peer.write(9 * D)
    peer.get(1, 1 + D, window=2 * D)
    assert peer.ranges() == []
    peer.get(1, 1 + D, b"x", window=2 * D)
    header = peer.sent()[0].header
    assert header.seq - peer.iss & 0xFFFFFFFF <= 1 + 3 * D
    while peer.connection.info().total_retrans == 0:
        peer.wait()
        assert all(seq < 1 + 9 * D for seq, _ in peer.ranges())
    peer.get(2, 1 + 9 * D, window=60_000)
    assert peer.ranges()[0][0] == 1 + 9 * D


def test_a_window_shut_with_data_out_opens_without_waiting_for_the_timer(peer: Scripted) -> None:
    peer.write(4 * D)
    peer.ranges()
    peer.get(1, 1, window=0)
    for _ in range(30):
        peer.wait()
        peer.ranges()
        peer.get(1, 1, window=0)
    assert peer.state() is State.ESTABLISHED  # alive: it answers
    peer.get(1, 1, window=60_000)
    assert peer.ranges()[0] == (1, D)


def test_send_room_counts_what_is_not_acknowledged(peer: Scripted) -> None:
    peer.write(100_000)
    assert peer.connection.send_room == CONFIG.send_buffer_bytes - 100_000
    sent = sum(length for _, length in peer.ranges())
    assert peer.connection.send_room == CONFIG.send_buffer_bytes - 100_000
    peer.get(1, 1 + sent)
    assert peer.connection.send_room == CONFIG.send_buffer_bytes - 100_000 + sent
    assert peer.connection.bytes_acked == sent

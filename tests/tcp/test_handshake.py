"""Opening, refusing, closing, resetting: RFC 9293 sections 3.5, 3.6, 3.10; numbers start at the wrap."""

from __future__ import annotations

import errno
from dataclasses import asdict, replace

import pytest

from nodes.tcp.connection import Connection, State, TcpConfig, reset_for
from nodes.tcp.segment import Segment
from nodes.wire.tcp import ACK, FIN, RST, SYN, TcpHeader
from tests.tcp.two_ends import CONFIG, NEAR_WRAP, Impairment, Ledger, Scripted, TwoEnds, contents, pattern


def client(ledger: Ledger, config: TcpConfig = CONFIG) -> Connection:
    return ledger.keep(Connection.connect(config, 1, 2, NEAR_WRAP, 10.0))


def one(segments: list[Segment]) -> TcpHeader:
    assert len(segments) == 1
    return segments[0].header


def test_syn_offers_mss_sack_timestamps_and_the_scale_of_the_buffer(ledger: Ledger) -> None:
    syn = one(client(ledger, replace(CONFIG, receive_buffer_bytes=12 << 20)).segments_to_send(10.0))
    assert (syn.flags, syn.mss, syn.wscale, syn.sack_permitted, syn.window) == (SYN, 1460, 7, True, 65535)
    assert syn.ts_val


def test_the_numbers_of_tcp_info_are_numbers_in_every_state(ledger: Ledger) -> None:
    """A bool of them would not go through the channel."""
    peer = Scripted(ledger)
    for connection in (client(ledger), peer.connection, peer.open().connection):
        found = asdict(connection.info())
        assert {name: type(value) for name, value in found.items() if type(value) is not int} == {
            "congestion": str
        }


def test_syn_ack_answers_only_what_was_offered(ledger: Ledger) -> None:
    bare = Scripted(ledger, options=False).syn_ack
    assert (bare.mss, bare.wscale, bare.sack_permitted, bare.ts_val) == (1460, None, False, None)
    full = Scripted(ledger).syn_ack
    assert (full.wscale, full.sack_permitted, full.ts_ecr) == (5, True, 50_000)


def test_simultaneous_open_establishes_both_ends(ledger: Ledger) -> None:
    a = ledger.keep(Connection.connect(CONFIG, 1, 2, NEAR_WRAP, 1.0))
    b = ledger.keep(Connection.connect(CONFIG, 2, 1, 77, 1.0))
    from_a, from_b = a.segments_to_send(1.0), b.segments_to_send(1.0)
    for _ in range(4):
        for segment in from_b:
            a.receive_segment(segment, 1.1)
        for segment in from_a:
            b.receive_segment(segment, 1.1)
        from_a, from_b = a.segments_to_send(1.1), b.segments_to_send(1.1)
    assert a.state is b.state is State.ESTABLISHED
    assert from_a == from_b == []


def test_syn_is_repeated_with_back_off_and_given_up(ledger: Ledger) -> None:
    connection = client(ledger)
    times = []
    while connection.state is State.SYN_SENT:
        connection.segments_to_send(10.0)
        at = connection.next_timeout()
        assert at is not None
        times.append(at)
        connection.handle_timeout(at)
    assert [b - a for a, b in zip([10.0, *times], times, strict=False)] == [1, 2, 4, 8, 16, 32, 64]
    assert connection.error == errno.ETIMEDOUT


def test_rst_to_our_syn_is_refusal_and_only_with_the_right_ack(ledger: Ledger) -> None:
    connection = client(ledger)
    connection.segments_to_send(10.0)
    connection.receive_segment(Segment(TcpHeader(2, 1, 0, NEAR_WRAP + 9, RST | ACK, 0)), 10.1)
    assert connection.state is State.SYN_SENT
    connection.receive_segment(Segment(TcpHeader(2, 1, 0, NEAR_WRAP + 1, RST | ACK, 0)), 10.1)
    assert (connection.state, connection.error) == (State.CLOSED, errno.ECONNREFUSED)


def test_an_ack_of_something_never_sent_is_reset_while_opening(ledger: Ledger) -> None:
    connection = client(ledger)
    connection.segments_to_send(10.0)
    connection.receive_segment(Segment(TcpHeader(2, 1, 5, 1234, ACK, 0)), 10.1)
    reset = one(connection.segments_to_send(10.1))
    assert (reset.flags, reset.seq) == (RST, 1234)


def test_a_repeated_syn_gets_the_syn_ack_again(ledger: Ledger) -> None:
    peer = Scripted(ledger)
    peer.connection.receive_segment(Segment(peer.header(0, None, SYN)), 50.1)
    again = one(peer.connection.segments_to_send(50.1))
    assert again.flags == SYN | ACK
    assert again.seq == peer.syn_ack.seq


@pytest.mark.parametrize("first", ["a", "b", "both"])
def test_orderly_close_by(ledger: Ledger, first: str) -> None:
    ends = TwoEnds(ledger).open()
    a, b = ends.a.connection, ends.server.connection
    if first != "b":
        a.shutdown(ends.now)
    if first != "a":
        b.shutdown(ends.now)
    ends.run(1.0)
    (b if first == "a" else a).shutdown(ends.now)
    ends.run(1.0)
    waiting = [each.state for each in (a, b)].count(State.TIME_WAIT)
    assert waiting == (2 if first == "both" else 1)
    ends.run(57.0)
    assert [each.state for each in (a, b)].count(State.TIME_WAIT) == waiting
    ends.run(4.0)
    assert a.state is b.state is State.CLOSED
    assert a.next_timeout() is b.next_timeout() is None


def test_half_close_lets_data_flow_the_other_way(ledger: Ledger) -> None:
    ends = TwoEnds(ledger, Impairment(loss=0.02)).open()
    ends.a.connection.shutdown(ends.now)
    ends.run(5.0)
    assert ends.server.connection.state is State.CLOSE_WAIT
    ends.server.pending = pattern(300_000)
    ends.run(30.0)
    assert bytes(ends.a.read) == pattern(300_000)
    ends.stop()


def test_fin_wait_2_ends_after_close_but_not_after_shutdown(ledger: Ledger) -> None:
    ends = TwoEnds(ledger).open()
    ends.a.connection.shutdown(ends.now)
    ends.run(100.0)
    assert ends.a.connection.info().state == State.FIN_WAIT_2
    ends.a.connection.close(ends.now)
    ends.run(59.0)
    before = ends.a.connection.info().state
    ends.run(2.0)
    assert (before, ends.a.connection.info().state) == (State.FIN_WAIT_2, State.CLOSED)


def test_data_after_close_is_reset_and_released(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.connection.close(peer.now)
    assert one(peer.sent()).flags & FIN
    peer.get(1, 2, b"late")
    assert one(peer.sent()).flags & RST
    assert peer.state() is State.CLOSED


def test_close_with_unread_data_is_an_abort(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.get(1, 1, b"unread")
    assert peer.acks() == [7]
    peer.connection.close(peer.now)
    assert one(peer.sent()).flags & RST
    assert ledger.live == 0


def test_abort_releases_what_is_queued_sent_received_and_waiting(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.write(50_000)
    peer.ranges()
    peer.get(1, 1, b"in order")
    peer.get(100, 1, b"beyond a hole")
    assert peer.acks() == [9, 9]
    assert ledger.live > 0
    peer.connection.abort(peer.now)
    assert ledger.live == 0
    assert one(peer.sent()).flags & RST
    peer.connection.abort(peer.now)
    assert peer.sent() == []
    assert peer.connection.error == 0


def test_rst_at_the_next_number_ends_and_leaves_what_was_received(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.write(5000)
    peer.ranges()
    peer.get(1, 1, b"abc")
    peer.get(4, 1, flags=RST)
    assert (peer.state(), peer.connection.error) == (State.CLOSED, errno.ECONNRESET)
    assert peer.read() == b"abc"
    assert ledger.live == 0


def test_rst_elsewhere_in_the_window_is_challenged_and_outside_ignored(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.get(50, 1, flags=RST)
    assert peer.acks() == [1]
    peer.get(0xF0000000, 1, flags=RST)
    assert peer.sent() == []
    assert peer.state() is State.ESTABLISHED


def test_syn_inside_the_window_is_challenged_at_most_twice_a_second(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    answers = 0
    for _ in range(100):
        peer.now += 0.01
        peer.get(10, 1, flags=SYN | ACK)
        answers += len(peer.acks())
    assert 2 <= answers <= 3


def test_an_ack_of_the_future_is_challenged_and_brings_no_data(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.get(1, 9999, b"data")
    assert peer.acks() == [1]
    assert peer.read() == b""


def test_rst_is_not_answered_with_rst() -> None:
    assert reset_for(Segment(TcpHeader(1, 2, 3, 4, RST, 0))) is None
    assert reset_for(Segment(TcpHeader(1, 2, 3, 4, RST | ACK, 0))) is None


def test_reset_for_takes_its_numbers_from_the_segment(ledger: Ledger) -> None:
    with_ack = reset_for(Segment(TcpHeader(1, 2, 3, 4, ACK, 0)))
    assert with_ack is not None
    header = with_ack.header
    assert (header.src_port, header.dst_port, header.seq, header.flags) == (2, 1, 4, RST)
    payload = ledger.payload(b"xyz")
    without = reset_for(Segment(TcpHeader(1, 2, 0xFFFFFFFF, 0, SYN, 0), payload))
    payload.release()
    assert without is not None
    assert (without.header.seq, without.header.ack, without.header.flags) == (0, 3, RST | ACK)


def test_a_lost_handshake_ack_is_repaired_by_data(ledger: Ledger) -> None:
    peer = Scripted(ledger)
    peer.get(1, 1, b"first words")
    assert peer.state() is State.ESTABLISHED
    assert peer.read() == b"first words"


def test_shutdown_while_syn_received_sends_the_fin_once_established(ledger: Ledger) -> None:
    peer = Scripted(ledger)
    peer.connection.shutdown(peer.now)
    assert peer.state() is State.SYN_RECEIVED
    peer.get(1, 1)
    assert one(peer.sent()).flags & FIN
    assert peer.state() is State.FIN_WAIT_1


def test_send_after_shutdown_is_a_broken_pipe(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.connection.shutdown(peer.now)
    with pytest.raises(BrokenPipeError, match="port 80 was shut down"):
        peer.write(10)


def test_fin_rides_on_the_last_data_and_waits_for_what_is_queued(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.write(2000)
    peer.connection.shutdown(peer.now)
    segments = peer.sent()
    assert [bool(each.header.flags & FIN) for each in segments] == [False] * (len(segments) - 1) + [True]
    assert sum(len(contents(each.payload)) for each in segments) == 2000
    for each in segments:
        if each.payload is not None:
            each.payload.release()
    peer.get(1, 2001)
    assert peer.connection.bytes_acked == 2000
    assert peer.state() is State.FIN_WAIT_1
    peer.get(1, 2002)
    assert peer.connection.bytes_acked == 2000
    assert peer.state() is State.FIN_WAIT_2


def test_an_overtaken_fin_waits_for_the_data_before_it(ledger: Ledger) -> None:
    peer = Scripted(ledger).open()
    peer.get(4, 1, flags=FIN | ACK)
    assert not peer.connection.fin_received
    peer.get(1, 1, b"abc")
    assert peer.connection.fin_received
    assert peer.read() == b"abc"
    assert peer.state() is State.CLOSE_WAIT
    assert peer.acks() == [5]


def test_a_fin_in_time_wait_is_acknowledged_and_restarts_the_minute(peer: Scripted) -> None:
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


def test_config_refuses_what_cannot_work() -> None:
    with pytest.raises(ValueError, match="mss of 20 bytes"):
        TcpConfig(mss=20, max_segment_bytes=100)
    with pytest.raises(ValueError, match="'bbr' is not offered: choose one of cubic"):
        Connection.connect(replace(CONFIG, congestion="bbr"), 1, 2, 3, 0.0)

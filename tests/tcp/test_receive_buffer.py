"""The receive window: where it begins, how it grows with what is read, what it does when memory is short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.tcp.receive_buffer import ReceiveBuffer, initial_window
from nodes.tcp.segment import Segment
from nodes.tcp.seq import ts_val
from tests.tcp.two_ends import CONFIG, FULL, Impairment, Ledger, Scripted, TwoEnds, pattern

GROWING = replace(CONFIG, receive_buffer_bytes=131072, receive_buffer_max_bytes=6 << 20)


def give(peer: Scripted, seq: int, data: bytes, scarce: bool = True) -> None:
    """A segment of the peer's whose payload lies in one of the last buffers of the rx queue."""
    segment = Segment(peer.header(seq, 1), peer.ledger.payload(data), scarce=scarce)
    peer.connection.receive_segment(segment, peer.now)


def test_the_first_window_is_linux_of_131072_bytes() -> None:
    assert initial_window(131072, 1460) == 64240
    assert initial_window(131072, 1448) == 65160
    buffer = ReceiveBuffer(131072, 6 << 20)
    buffer.on_established(1448, 65160, 7, 0.0)
    assert (buffer.rcv_ssthresh, buffer.rcv_space) == (64088, 14480)  # as ss shows it


def test_the_window_grows_as_the_application_reads_and_so_fast_streams_do(ledger: Ledger) -> None:
    sending = replace(CONFIG, send_buffer_bytes=8 << 20)
    ends = TwoEnds(ledger, Impairment(delay_s=0.005), sending, GROWING).open()
    ends.a.pending = pattern(12_000_000)
    began = ends.now
    ends.run(20.0, until_read=12_000_000)
    buffer = ends.server.connection.tcb.receiver.buffer
    assert buffer.size == 6 << 20  # tcp_rmem's maximum
    locked = replace(CONFIG, receive_buffer_bytes=6 << 20)
    fixed = TwoEnds(ledger, Impairment(delay_s=0.005), sending, locked).open()
    fixed.a.pending = pattern(12_000_000)
    fixed_began = fixed.now
    fixed.run(20.0, until_read=12_000_000)
    assert ends.now - began <= 1.35 * (fixed.now - fixed_began)  # three round trips more of ten
    ends.stop()
    fixed.stop()


def test_an_echoed_timestamp_lets_the_round_trip_grow_when_a_queue_has_formed(peer: Scripted) -> None:
    """A shorter one holds at once, a longer one by an eighth; a short segment, an echo that was seen already
    and an age below a millisecond tell nothing."""
    buffer = peer.connection.tcb.receiver.buffer
    buffer.rtt_s, seq = 0.010, 1

    def echo(age_ms: int, data: bytes = bytes(FULL)) -> float:
        nonlocal seq
        peer.get(seq, 1, data, ts_ecr=ts_val(peer.now) - age_ms)
        seq += len(data)
        peer.read()
        return buffer.rtt_s

    buffer.rtt_end = 1 << 40  # no window comes whole meanwhile
    assert echo(50) == pytest.approx(0.015)
    assert echo(50) == pytest.approx(0.015)
    assert echo(51, b"short") == pytest.approx(0.015)
    assert echo(5) == pytest.approx(0.005)
    assert echo(0) == pytest.approx(0.005)
    peer.get(seq + FULL, 1, bytes(FULL), ts_ecr=ts_val(peer.now) - 13)  # beyond a hole: it took as long
    assert buffer.rtt_s == pytest.approx(0.006)


def test_the_window_does_not_grow_while_the_application_does_not_read(ledger: Ledger) -> None:
    ends = TwoEnds(ledger, Impairment(), CONFIG, GROWING).open()
    ends.server.reading = False
    ends.a.pending = pattern(1_000_000)
    ends.run(5.0)
    assert ends.server.connection.tcb.receiver.unread_bytes <= 65536 + 512
    ends.stop()


def test_so_rcvbuf_locks_the_size(ledger: Ledger) -> None:
    ends = TwoEnds(ledger, Impairment(delay_s=0.005), CONFIG, GROWING).open()
    ends.server.connection.sockopt.set_receive_buffer(200_000)
    ends.a.pending = pattern(2_000_000)
    ends.run(20.0, until_read=2_000_000)
    assert ends.server.connection.tcb.receiver.buffer.size == 200_000
    ends.stop()


def test_a_buffer_lowered_in_mid_connection_keeps_what_was_promised(peer: Scripted) -> None:
    receiver = peer.connection.tcb.receiver
    peer.get(1, 1, bytes(FULL))
    (ack,) = peer.sent()
    edge, wscale = receiver.rcv_adv, receiver.rcv_wscale
    peer.connection.sockopt.set_receive_buffer(20_000)
    for at in range(1, 5):
        peer.get(1 + at * FULL, 1, bytes(FULL))
        for ack in peer.sent():
            moved = receiver.rcv_nxt + (ack.header.window << wscale) - edge
            assert 0 <= moved < 5 << wscale  # not to the left, and to the right by rounding alone
    assert len(peer.read()) == 5 * FULL
    while receiver.rcv_nxt + FULL <= edge:
        peer.get(receiver.rcv_nxt - peer.irs, 1, bytes(FULL))
        peer.read()
    acks = peer.sent()
    assert acks
    assert 0 < acks[-1].header.window << wscale < 10_000 + (1 << wscale)  # the payload's half


def test_a_buffer_raised_in_mid_connection_does_not_widen_the_window(ledger: Ledger) -> None:
    peer = Scripted(ledger, replace(CONFIG, receive_buffer_bytes=40_000)).open()
    buffer = peer.connection.tcb.receiver.buffer
    clamp = buffer.window_clamp
    peer.connection.sockopt.set_receive_buffer(4 << 20)
    for at in range(100):
        peer.get(1 + at * FULL, 1, bytes(FULL))
        for ack in peer.sent():
            assert ack.header.window << peer.connection.tcb.receiver.rcv_wscale <= 20_000
    assert buffer.rcv_ssthresh <= buffer.window_clamp == clamp <= 20_000
    assert peer.connection.tcb.receiver.unread_bytes == 100 * FULL  # the room for it is there


def test_of_the_last_buffers_a_reader_who_is_behind_gets_none(peer: Scripted) -> None:
    mib = peer.connection.tcb.config.netns.mib
    give(peer, 1, bytes(FULL))
    give(peer, 1 + FULL, bytes(FULL))
    give(peer, 1 + 2 * FULL, bytes(FULL))
    assert mib.TcpExtTCPRcvQDrop == 1
    _, ack = peer.sent()
    assert (ack.header.ack - peer.irs & 0xFFFFFFFF, ack.header.window) == (1 + 2 * FULL, 0)
    assert peer.read() == bytes(2 * FULL)
    (ack,) = peer.sent()
    assert ack.header.window > 0  # the peer is told that it may go on
    give(peer, 1 + 2 * FULL, bytes(FULL))
    assert len(peer.read()) == FULL


def test_of_the_last_buffers_none_is_for_data_beyond_a_hole(peer: Scripted) -> None:
    give(peer, 1 + FULL, bytes(FULL))
    assert peer.connection.tcb.config.netns.mib.TcpExtTCPOFODrop == 1
    (ack,) = peer.sent()
    assert ack.header.sack == ()
    give(peer, 1, bytes(FULL))
    assert len(peer.read()) == FULL


def test_pruning_gives_back_the_highest_sequence_numbers_first(peer: Scripted) -> None:
    for at in (1, 3, 4, 6):
        peer.get(1 + at * FULL, 1, bytes(FULL))
    peer.sent()
    live = peer.ledger.live
    peer.connection.prune()
    assert peer.ledger.live == live - 2
    blocks = peer.connection.tcb.receiver.reassembly.blocks()
    assert sorted((left - peer.irs, right - peer.irs) for left, right in blocks) == [
        (1 + FULL, 1 + 2 * FULL), (1 + 3 * FULL, 1 + 4 * FULL),
    ]  # fmt: skip
    mib = peer.connection.tcb.config.netns.mib
    assert (mib.TcpExtPruneCalled, mib.TcpExtOfoPruned, mib.TcpExtRcvPruned) == (1, 1, 0)
    peer.connection.prune()
    peer.connection.prune()
    assert not peer.connection.tcb.receiver.reassembly


def test_memory_that_was_short_limits_the_window_until_it_is_read_again() -> None:
    buffer = ReceiveBuffer(4 << 20, 6 << 20)
    buffer.on_established(1448, 65160, 7, 0.0)
    buffer.on_memory_short(2, 100_000)
    assert (buffer.rcv_ssthresh, buffer.window_clamp) == (2896, 100_000)
    for _ in range(30):
        buffer.grow_window(1448, 0)
    assert buffer.rcv_ssthresh == 2896 + 30 * 2896
    buffer.measure_rtt(0, 1, 1.0)
    buffer.measure_rtt(1, 1, 1.01)
    buffer.on_read(120_000, 0, 2.0)
    assert buffer.window_clamp == 100_000
    assert buffer.select(90_000, 1448, 9_000, 7) == 9_984  # what is unread counts against it
    buffer.on_read(150_000, 0, 4.0)
    assert buffer.window_clamp == 200_000  # memory may have become free meanwhile


def test_the_window_is_the_payloads_share_of_the_memory() -> None:
    buffer = ReceiveBuffer(131072)
    buffer.on_established(1448, 65535, 1, 0.0)
    assert (buffer.full_space, buffer.window_clamp, buffer.rcv_ssthresh) == (65536, 64088, 64088)
    buffer.learn_ratio(65160, 16 * 4096, 65535)  # full pages
    assert buffer.scaling_ratio == 251
    assert (buffer.full_space, buffer.window_clamp, buffer.rcv_ssthresh) == (128512, 128512, 65535)
    buffer.learn_ratio(1448, 4096, 65535)  # a page for each
    assert buffer.scaling_ratio == 74
    assert (buffer.full_space, buffer.window_clamp, buffer.rcv_ssthresh) == (37888, 37888, 37888)
    assert buffer.rcv_space <= 37888
    buffer.learn_ratio(1, 1 << 20, 0)
    assert (buffer.scaling_ratio, buffer.window_clamp) == (1, 1152)


def test_a_share_makes_the_window_no_larger_than_its_scale_and_memory_has_shown() -> None:
    buffer = ReceiveBuffer(1 << 20, 6 << 20)
    buffer.on_established(1448, 65535, 0, 0.0)
    buffer.learn_ratio(65160, 16 * 4096, 65535)
    assert buffer.window_clamp == 65535
    short = ReceiveBuffer(1 << 20, 6 << 20)
    short.on_established(1448, 65535, 7, 0.0)
    short.on_memory_short(2, 20_000)
    short.learn_ratio(65160, 16 * 4096, 65535)
    assert short.window_clamp == 20_000


def test_a_buffer_grows_by_the_memory_that_its_window_takes() -> None:
    sizes = []
    for buffer_bytes in (16 * 4096, 64 * 4096):
        buffer = ReceiveBuffer(131072, 64 << 20)
        buffer.on_established(1448, 65535, 7, 0.0)
        buffer.rtt_s = 0.01
        buffer.learn_ratio(65160, buffer_bytes, 65535)
        buffer.on_read(200_000, 0, 1.0)
        sizes.append(buffer.size)
    assert 3.9 < sizes[1] / sizes[0] < 4.1

"""Receiver, send queue and scoreboard against reference byte arrays: random cuts, overlaps and orders."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.tcp.mib import TcpMib
from nodes.tcp.receive_buffer import ReceiveBuffer
from nodes.tcp.receiver import Receiver
from nodes.tcp.sack import Scoreboard
from nodes.tcp.send_queue import SendQueue
from nodes.tcp.seq import precedes, unwrap
from tests.tcp.two_ends import BytesPayload, Ledger, contents, pattern

TOTAL = 300
segments = st.lists(st.tuples(st.integers(0, TOTAL - 1), st.integers(1, 60)), max_size=60)


@given(segments, st.integers(1, 400))
@settings(max_examples=300)
def test_delivered_bytes_equal_the_reference_for_any_cuts(
    cuts: list[tuple[int, int]], buffer_bytes: int
) -> None:
    ledger, data = Ledger(), pattern(TOTAL)
    receiver = Receiver(ReceiveBuffer(2 * buffer_bytes), TcpMib())
    receiver.on_syn_received(9, buffer_bytes)
    expected: set[int] = set()
    for start, length in cuts:
        piece = data[start : start + length]
        if start >= buffer_bytes or (receiver.unread_bytes and start + len(piece) > buffer_bytes):
            continue  # `validate` drops it
        is_open = receiver.rcv_adv > receiver.rcv_nxt
        receiver.on_data_received(10 + start, ledger.payload(piece), 0.0)
        if is_open:
            expected |= {*range(start, start + len(piece))}
        blocks = receiver.reassembly.blocks()
        assert all(left < right and left > receiver.rcv_nxt for left, right in blocks)
    prefix = 0
    while prefix in expected:
        prefix += 1
    delivered = b"".join(contents(each) for each in receiver.received)
    assert delivered == data[:prefix]
    assert receiver.rcv_nxt == 10 + prefix
    waiting = {at for start, end in receiver.reassembly.blocks() for at in range(start - 10, end - 10)}
    assert waiting <= {at for at in expected if at > prefix}
    receiver.clear()
    while receiver.received:
        receiver.received.popleft().release()
    assert ledger.live == 0


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 70))
@settings(max_examples=200)
def test_the_send_queue_gives_the_bytes_back_in_any_cut(lengths: list[int], count: int) -> None:
    ledger, queue = Ledger(), SendQueue()
    data = pattern(sum(lengths))
    at = 0
    for length in lengths:
        queue.append(ledger.payload(data[at : at + length]))
        at += length
    out = b""
    while queue.bytes:
        piece = queue.take(min(count, queue.bytes))
        assert len(piece) == min(count, len(data) - len(out))
        out += contents(piece)
        piece.release()
    assert out == data
    assert ledger.live == 0


def test_payloads_that_do_not_mix_end_a_segment() -> None:
    ledger, queue = Ledger(), SendQueue()
    for data in (b"abc", b"de"):
        payload = BytesPayload(ledger, data)
        payload.mixes = False
        queue.append(payload)
    first = queue.take(5)
    assert contents(first) == b"abc"
    first.release()
    assert queue.bytes == 2
    queue.clear()
    assert ledger.live == 0


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(1, 40)), max_size=12),
    st.lists(st.integers(0, 100), max_size=4),
)
@settings(max_examples=300)
def test_the_scoreboard_counts_what_a_byte_map_counts(
    blocks: list[tuple[int, int]], acks: list[int]
) -> None:
    """Blocks and ACKs in random order; at random, segments are marked lost and retransmitted."""
    ledger, board, chance = Ledger(), Scoreboard(), random.Random(len(blocks) * 131 + len(acks))
    for seq in range(0, 100, 20):
        board.on_segment_sent(seq, ledger.payload(pattern(20)), 0, float(seq))
    sacked, una = set[int](), 0
    for number, (left, length) in enumerate(blocks):
        left, right = max(left, una), min(left + length, 100)
        if left < right:
            board.on_sack_received(((left, right),), 1)
            sacked |= set(range(left, right))
        if number < len(acks) and acks[number] > una:
            una = acks[number]
            board.on_ack_received(una, 1)
        for segment in board.segments:
            if not segment.sacked and not segment.lost and chance.random() < 0.3:
                board.mark_lost(segment)
        if chance.random() < 0.5 and (lost := board.next_lost(7)):
            copy = lost.clone_payload()
            assert copy is not None
            assert len(copy) <= 7
            copy.release()
            board.on_segment_retransmitted(lost, 200.0)
        assert board.sacked_bytes == len([at for at in sacked if at >= una])
        assert board.lost_bytes == sum(each.end - each.seq for each in board.segments if each.lost)
        edges = [(each.seq, each.end) for each in board.segments]
        assert [left for left, _ in edges[1:]] == [right for _, right in edges[:-1]]
    board.clear()
    assert ledger.live == 0


def test_numbers_unwrap_across_the_edge() -> None:
    assert unwrap(5, 0xFFFFFFF0) == 0x100000005
    assert unwrap(0xFFFFFFF0, 0x100000005) == 0xFFFFFFF0
    assert unwrap(0xFFFFFFFF, 0) == -1
    assert precedes(0xFFFFFFF0, 5)
    assert not precedes(5, 5)

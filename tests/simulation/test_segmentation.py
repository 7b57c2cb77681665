"""Wire packets carried each by itself: the bytes of the super-packet, headers as TSO makes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodes.simulation.clock import Clock
from nodes.simulation.frame import Frame, frame_of
from nodes.simulation.line import Line
from nodes.simulation.output import Output, QueueLimits
from nodes.simulation.segmentation import cut, wire_packets
from nodes.wire import ethernet, ip, ipv4, tcp
from nodes.wire.checksum import internet_checksum
from nodes.wire.tcp import TcpHeader
from tests.commands.simulated_run import measured, simulated_run

MSS = 1448
RING = (
    "--topology", "star", "--hosts", "2", "--link", "100Gbit,2us", "--size", "256K", "--iters", "1",
    "--warmup", "0", "--place", "out", "--path", "devmem,bounce", "--repeat", "1", "--niov-size", "4K",
)  # fmt: skip


def super_packet(payload: bytes, carried: bool = True, tos: int = 0) -> Frame:
    header = TcpHeader(9, 80, 0xFFFFF000, 7, tcp.ACK | tcp.PSH | tcp.CWR, 1000)
    header.ts_val = 5
    segment = tcp.emit(header)
    total = ipv4.HEADER_BYTES + len(segment) + len(payload)
    packet = bytearray(20)
    packet[0], packet[1], packet[8], packet[9] = 0x45, tos, 64, ip.TCP
    packet[2:4], packet[4:6] = total.to_bytes(2, "big"), (9).to_bytes(2, "big")
    link = ethernet.emit(b"\2" * 6, b"\4" * 6, ethernet.TYPE_IPV4)
    return frame_of(link + bytes(packet) + segment, [memoryview(payload)], MSS, carried)


def test_the_packets_have_the_bytes_and_the_wire_time_of_the_super_packet() -> None:
    payload = bytes(range(256)) * 20
    whole = super_packet(payload)
    packets = [*wire_packets(whole)]
    assert b"".join(each.payload or b"" for each in packets) == payload
    assert [each.payload_bytes for each in packets] == [MSS, MSS, MSS, 5120 - 3 * MSS]
    assert sum(each.wire_bytes for each in packets) == whole.wire_bytes
    assert [(each.wire_packets, each.gso_size) for each in packets] == [(1, 0)] * 4
    at = ethernet.HEADER_BYTES + 20
    for number, each in enumerate(packets):
        own = each.header[ethernet.HEADER_BYTES : at]
        assert internet_checksum(own) == 0
        assert int.from_bytes(own[2:4], "big") == each.length - ethernet.HEADER_BYTES
        assert int.from_bytes(own[4:6], "big") == 9 + number
        sequence = int.from_bytes(each.header[at + 4 : at + 8], "big")
        assert sequence == (0xFFFFF000 + number * MSS) & 0xFFFFFFFF
    flags = [each.header[at + 13] for each in packets]
    assert flags == [tcp.ACK | tcp.CWR, tcp.ACK, tcp.ACK, tcp.ACK | tcp.PSH]


def test_a_counted_super_packet_has_the_same_headers_and_no_bytes() -> None:
    carried, counted = (super_packet(bytes(5120), each) for each in (True, False))
    found = [*wire_packets(counted)]
    assert [each.header for each in found] == [each.header for each in wire_packets(carried)]
    assert [(each.payload, each.payload_bytes) for each in found[-1:]] == [(None, 5120 - 3 * MSS)]


def test_one_packet_stays_as_it_is() -> None:
    small = super_packet(bytes(100))
    assert [*wire_packets(small)] == [small]


@pytest.mark.parametrize("carried", [True, False])
def test_the_parts_of_a_super_packet_that_is_cut_have_its_packets(carried: bool) -> None:
    whole = super_packet(bytes(range(256)) * 20, carried)
    for packets in (1, 2, 3):
        parts = cut(whole, packets)
        assert [part.wire_packets for part in parts] == [packets, 4 - packets]
        assert sum(part.wire_bytes for part in parts) == whole.wire_bytes
        found = [each for part in parts for each in wire_packets(part)]
        assert found == [*wire_packets(whole)]


def queued(limits: QueueLimits, frames: list[Frame]) -> tuple[list[Frame], Output]:
    """What a port sends of frames that all come at once, behind a packet that the line is busy with."""
    clock, got = Clock(), list[Frame]()
    output = Output(clock, Line(clock, 10**9, 0, got.append), limits)
    for each in (super_packet(bytes(100)), *frames):
        output.send(each)
    while clock.step():
        pass
    return got[1:], output


@pytest.mark.parametrize(("tos", "codes"), [(2, [2, 3, 3]), (0, [0, 0])])
def test_the_packets_of_a_super_packet_are_marked_that_meet_a_longer_queue(
    tos: int, codes: list[int]
) -> None:
    """The queue has one packet less than the threshold before the second super-packet comes: two of its
    packets do not meet more. A sender without ECN has its super-packets whole."""
    whole = super_packet(bytes(4 * MSS), tos=tos)
    each = whole.wire_bytes // 4
    got, output = queued(QueueLimits(ecn_bytes=5 * each), [whole, whole, whole])
    assert [frame.header[15] & 3 for frame in got] == [tos, *codes]
    assert output.marked_packets == (6 if tos else 0)
    assert [frame.wire_packets for frame in got] == ([4, 2, 2, 4] if tos else [4, 4, 4])
    assert output.queued_max == 12 * each


@pytest.mark.parametrize("carried", [True, False])
@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_full_queue_loses_the_wire_packets_that_do_not_fit(room: int, carried: bool) -> None:
    """The first ones stay, as a shorter super-packet or as a packet, with their own headers; a byte less of
    room is a packet less."""
    whole = super_packet(bytes(range(256)) * 20, carried)
    packets = [*wire_packets(whole)]
    packet = packets[0].wire_bytes
    for spare, kept in ((0, room), (-1, room - 1)):
        got, output = queued(QueueLimits(room * packet + spare), [whole])
        assert [each for frame in got for each in wire_packets(frame)] == packets[:kept]
        assert [frame.wire_packets for frame in got] == [kept] * bool(kept)
        assert output.dropped_packets == 4 - kept
        assert output.dropped_bytes == sum(each.wire_bytes for each in packets[kept:])
        assert output.queued_max <= room * packet


def test_the_tail_of_a_super_packet_is_lost_and_what_is_left_is_marked() -> None:
    whole = super_packet(bytes(4 * MSS), tos=2)
    packet = whole.wire_bytes // 4
    got, output = queued(QueueLimits(7 * packet, ecn_bytes=5 * packet), [whole, whole])
    assert [(frame.wire_packets, frame.header[15] & 3) for frame in got] == [(4, 2), (2, 2), (1, 3)]
    assert (output.marked_packets, output.dropped_packets, output.dropped_bytes) == (1, 1, packet)


def test_trains_that_come_whole_lose_as_much_as_packet_by_packet() -> None:
    """Whole with its last bit, or packet by packet: the queue has drained meanwhile, and as much is lost."""
    lost = {}
    for cuts in (False, True):
        clock, got = Clock(), list[Frame]()
        whole = super_packet(bytes(32 * MSS))
        packet = whole.wire_bytes // 32
        output = Output(clock, Line(clock, 10**9, 0, got.append), QueueLimits(40 * packet))
        line, other = (Line(clock, 10**9, 0, output.send) for _ in range(2))
        for frame in (whole, whole, whole):
            for each in wire_packets(frame) if cuts else [frame]:
                line.send(each, 0)
                other.send(each, 0)
        while clock.step():
            pass
        assert sum(each.wire_packets for each in got) + output.dropped_packets == 6 * 32
        lost[cuts] = output.dropped_packets
    assert lost[True] > 0
    assert abs(lost[False] - lost[True]) <= 32


@pytest.mark.parametrize("payload", ["carried", "counted"])
def test_a_run_of_wire_packets_moves_the_same_bytes(tmp_path: Path, payload: str) -> None:
    """On the lines too, but for ACKs, of which there are more: a super-packet's segments share one."""
    found = {}
    for kind, extra in (("super", ()), ("wire", ("--wire-packets",))):
        rows = measured(simulated_run(tmp_path / kind, *RING, "--payload", payload, *extra))
        sent = [int(row["payload_sent_bytes"]) for row in rows]
        wrong = {row["wrong_elements"] for row in rows}
        packets = [sum(int(row[name]) for row in rows) for name in ("rx_packets", "rx_wire_packets")]
        found[kind] = sent, wrong, packets
    assert found["wire"][:2] == found["super"][:2]
    assert found["wire"][1] == ({"0"} if payload == "carried" else {""})
    (supers, in_supers), (singles, in_singles) = found["super"][2], found["wire"][2]
    assert singles == in_singles, "each was one"
    assert supers < in_supers < in_singles < 1.6 * in_supers
    manifest = json.loads((tmp_path / "wire" / "manifest.json").read_text())
    assert manifest["config"]["wire_packets"] is True

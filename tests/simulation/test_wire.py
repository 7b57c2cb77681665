"""Frames, lines, switches and ECN marks."""

from __future__ import annotations

from nodes.simulation.clock import NS_PER_S, Clock
from nodes.simulation.ecn import is_capable, marked
from nodes.simulation.frame import FRAMING_BYTES, Frame, frame_of
from nodes.simulation.line import Line
from nodes.simulation.output import QueueLimits
from nodes.simulation.switch import Switch
from nodes.wire.checksum import internet_checksum

A, B, C = (bytes([2, 0, 0, 0, 0, n]) for n in (1, 2, 3))
HEADER_BYTES = 66


def frame(to: bytes = B, source: bytes = A, payload: int = 1448, tos: int = 0, gso: int = 0) -> Frame:
    ip = bytearray(20)
    ip[0], ip[1] = 0x45, tos
    ip[10:12] = internet_checksum(bytes(ip)).to_bytes(2, "big")
    header = to + source + b"\x08\x00" + bytes(ip) + bytes(HEADER_BYTES - 34)
    return frame_of(header, [memoryview(bytes(payload))] if payload else [], gso, carried=True)


def test_a_super_packet_takes_the_bytes_of_its_wire_packets() -> None:
    assert frame().wire_bytes == HEADER_BYTES + 1448 + FRAMING_BYTES
    big = frame(payload=10 * 1448 + 100, gso=1448)
    assert big.wire_packets == 11
    assert big.wire_bytes == 11 * (HEADER_BYTES + FRAMING_BYTES) + 10 * 1448 + 100


def test_a_short_frame_is_padded_to_sixty_bytes() -> None:
    short = frame_of(B + A + b"\x08\x06" + bytes(28), [], 0, carried=True)
    assert short.wire_bytes == 60 + FRAMING_BYTES


def test_payload_that_is_counted_is_not_kept() -> None:
    counted = frame_of(B + A + b"\x08\x00" + bytes(52), [memoryview(bytes(1448))], 0, carried=False)
    assert (counted.payload, counted.payload_bytes, counted.length) == (None, 1448, 66 + 1448)


def test_a_line_serialises_frames_and_then_delays_them() -> None:
    clock = Clock()
    start, arrived = clock.now_ns, []
    line = Line(clock, 10_000_000_000, 5000, lambda _: arrived.append(clock.now_ns - start))
    one = frame()
    for _ in range(3):
        line.send(one, 0)
    while clock.step():
        pass
    each = -(-one.wire_bytes * 8 * NS_PER_S // 10_000_000_000)
    assert arrived == [each + 5000, 2 * each + 5000, 3 * each + 5000]
    assert (line.carried_packets, line.carried_bytes) == (3, 3 * one.wire_bytes)


def test_a_line_that_is_down_loses_what_begins_on_it_and_what_would_arrive() -> None:
    clock, arrived = Clock(), list[Frame]()
    line = Line(clock, 10_000_000_000, 5000, arrived.append)
    line.send(frame(), 0)
    line.up = False
    while clock.step():
        pass
    line.send(frame(payload=3 * 1448, gso=1448), 0)
    assert (arrived, line.lost_packets, line.carried_packets) == ([], 4, 1)
    line.up = True
    line.send(frame(), 0)
    while clock.step():
        pass
    assert len(arrived) == 1


class Plugged:
    """A switch with a line of 1 Gb/s out of each of three ports."""

    def __init__(self, limits: QueueLimits | None = None) -> None:
        self.clock = Clock()
        self.switch = Switch(self.clock, limits)
        self.got: dict[int, list[Frame]] = {0: [], 1: [], 2: []}
        for port in range(3):
            self.switch.add_port(Line(self.clock, 10**9, 100, self.got[port].append))

    def run(self) -> dict[int, int]:
        while self.clock.step():
            pass
        return {port: len(frames) for port, frames in self.got.items()}


def test_a_switch_floods_what_it_does_not_know_and_learns_where_sources_are() -> None:
    plugged = Plugged()
    plugged.switch.deliver(0, frame(to=B, source=A))
    assert plugged.run() == {0: 0, 1: 1, 2: 1}
    plugged.switch.deliver(1, frame(to=A, source=B))
    plugged.switch.deliver(0, frame(to=B, source=A))
    assert plugged.run() == {0: 1, 1: 2, 2: 1}
    plugged.switch.deliver(0, frame(to=b"\xff" * 6, source=A))
    assert plugged.run() == {0: 1, 1: 3, 2: 2}


def test_a_full_queue_of_a_port_drops_its_tail() -> None:
    one = frame()
    plugged = Plugged(QueueLimits(bytes=2 * one.wire_bytes))
    plugged.switch.deliver(1, frame(to=A, source=B))
    plugged.run()
    for _ in range(5):  # one is being sent, two wait
        plugged.switch.deliver(0, frame(to=B, source=A))
    assert plugged.switch.outputs[1].dropped_packets == 2
    assert plugged.run()[1] == 3


def test_a_queue_above_its_threshold_marks_packets_of_ecn_capable_senders() -> None:
    one = frame()
    plugged = Plugged(QueueLimits(ecn_bytes=one.wire_bytes))
    plugged.switch.deliver(1, frame(to=A, source=B))
    plugged.run()
    for _ in range(4):
        plugged.switch.deliver(0, frame(to=B, source=A, tos=2))
    plugged.switch.deliver(0, frame(to=B, source=A, tos=0))
    plugged.run()
    assert [got.header[15] & 3 for got in plugged.got[1]] == [2, 2, 2, 3, 0]
    assert plugged.switch.outputs[1].marked_packets == 1
    assert all(internet_checksum(got.header[14:34]) == 0 for got in plugged.got[1])


def test_the_mark_of_an_ipv6_packet_lies_across_two_bytes() -> None:
    header = B + A + b"\x86\xdd" + bytes([0x60, 0x20]) + bytes(58)  # traffic class 2: ECT(0)
    ect = frame_of(header, [], 0, carried=True)
    after = marked(ect)
    assert (after.header[14:16], ect.header[14:16]) == (bytes([0x60, 0x30]), bytes([0x60, 0x20]))
    assert is_capable(ect)
    assert not is_capable(frame_of(B + A + b"\x86\xdd" + bytes([0x60, 0]) + bytes(58), [], 0, True))

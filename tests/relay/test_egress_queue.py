"""The queue of a relay: what it lets in, when that has left, and what it marks."""

from __future__ import annotations

import pytest

from nodes.nic.wire_frame import WireFrame
from nodes.relay.config import RelayWay
from nodes.relay.direction import Direction
from nodes.relay.egress_queue import EgressQueue
from nodes.wire.checksum import internet_checksum
from tests.nic.frames import Tcp

NOW = 50.0
MSS = 946  # a wire packet is 1,000 bytes
RATE_BPS = 8_000_000  # a byte a microsecond


def packet(count: int = 1, tos: int = 2) -> WireFrame:
    """A TCP segment, or a super-packet of `count`, ECT(0) unless `tos` says otherwise."""
    data = bytearray(Tcp(bytes(MSS * count)).frame())
    data[15] = tos
    data[24:26] = bytes(2)
    data[24:26] = internet_checksum(bytes(data[14:34])).to_bytes(2, "big")
    return WireFrame(bytes(data), 54, 34, MSS if count > 1 else 0, True)


def let_in(queue: EgressQueue, frame: WireFrame, now: float = NOW) -> list[tuple[int, bool, float]]:
    """Packets, whether they are marked, and when they have left."""
    return [(part.packets, part.data[15] & 3 == 3, round(at, 9)) for part, at in queue.put(frame, now)]


def test_packets_leave_one_after_the_other_at_the_lines_rate() -> None:
    queue = EgressQueue(RATE_BPS, 10_000, 10_000)
    assert let_in(queue, packet()) == [(1, False, NOW + 0.001)]
    assert let_in(queue, packet()) == [(1, False, NOW + 0.002)]
    assert let_in(queue, packet(3)) == [(3, False, NOW + 0.005)]
    assert let_in(queue, packet(), NOW + 1) == [(1, False, NOW + 1.001)]


def test_a_full_queue_drops_at_its_tail() -> None:
    queue = EgressQueue(RATE_BPS, 3_500, 10_000)
    assert let_in(queue, packet(5)) == [(3, False, NOW + 0.003)]
    assert let_in(queue, packet()) == []
    assert queue.dropped == 3
    assert let_in(queue, packet(), NOW + 0.001) == [(1, False, NOW + 0.004)]


def test_packets_that_meet_a_longer_queue_are_marked() -> None:
    queue = EgressQueue(RATE_BPS, 10_000, 2_000)
    assert let_in(queue, packet(5)) == [(3, False, NOW + 0.003), (2, True, NOW + 0.005)]
    assert let_in(queue, packet()) == [(1, True, NOW + 0.006)]
    assert let_in(queue, packet(), NOW + 0.0045) == [(1, False, NOW + 0.007)]
    assert queue.marked == 3


def test_the_sender_of_a_marked_packet_is_capable_of_it() -> None:
    queue = EgressQueue(RATE_BPS, 100_000, 1_000)
    for tos, marked in ((0, False), (1, True), (2, True), (3, True)):
        let_in(queue, packet(2, tos))
        (part, _) = next(queue.put(packet(1, tos), NOW))
        assert (part.data[15] & 3 == 3, part.data[15] & 3) == (marked, 3 if marked else tos)
        assert not internet_checksum(bytes(part.data[14:34]))


def test_a_mark_in_ipv6_is_in_the_traffic_class_alone() -> None:
    data = bytes(12) + bytes.fromhex("86dd 6a2fffff 0000 06 40".replace(" ", "")) + bytes(32) + bytes(20)
    marked = WireFrame(data, 74, 54, 0, False).congestion_experienced().data
    assert marked == data[:15] + b"\x3f" + data[16:]
    plain = data[:15] + b"\x0f" + data[16:]
    assert WireFrame(plain, 74, 54, 0, False).congestion_experienced().data == plain
    arp = bytes(12) + bytes.fromhex("0806") + b"\xff" * 28
    assert WireFrame(arp, 0, 0, 0, False).congestion_experienced().data == arp


def test_the_line_behind_the_queue_delays_what_has_left_it() -> None:
    way = RelayWay(rate_bps=RATE_BPS, queue_bytes=10_000, ecn_threshold_bytes=2_000)
    direction = Direction(way, "a")
    assert not direction.bypass(1)
    direction.put(packet(4), NOW)
    assert [part.packets for part in direction.take(NOW + 0.0031)] == [3]
    assert direction.next_timeout() == pytest.approx(NOW + 0.004)
    assert [part.data[15] & 3 for part in direction.take(NOW + 0.0041)] == [3]
    assert "1 marked by the queue" in direction.summary()

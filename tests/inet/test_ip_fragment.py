"""Fragments of either version of IP: what is put together, what is given up, and that memory is bounded."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest

from nodes.inet.ip_fragment import KEPT_S, MEMORY_MAX, IpFragments
from nodes.inet.mib import IpMib
from nodes.wire import ip, ipv4, ipv6
from nodes.wire.checksum import internet_checksum
from nodes.wire.ip import IpFragment
from tests.inet.test_route import make_inet

A4, B4 = ip.address_int("10.0.0.1"), ip.address_int("10.0.0.2")
A6, B6 = ip.address_int("2001:db8::1"), ip.address_int("2001:db8::2")
DESTINATION = bytes((ipv6.FRAGMENT, 0, 1, 4, 0, 0, 0, 0))


def piece4(payload: bytes, start: int, end: int, ident: int = 1) -> bytes:
    """Bytes [start, end) of an IPv4 packet's payload as a packet of its own."""
    header = bytearray(ipv4.emit(A4, B4, 17, end - start))
    more = end < len(payload)
    struct.pack_into("!HH", header, 4, ident, start // 8 | more << 13)
    header[10:12] = b"\0\0"
    header[10:12] = internet_checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + payload[start:end]


def piece6(payload: bytes, start: int, end: int, ident: int = 1) -> bytes:
    """The same of IPv6, behind destination options."""
    more = end < len(payload)
    fragment = struct.pack("!BBHI", 17, 0, start | more, ident)
    body = DESTINATION + fragment + payload[start:end]
    return ipv6.emit(A6, B6, ipv6.DESTINATION, len(body)) + body


def parse(packet: bytes) -> IpFragment:
    parser = ipv6.fragment if packet[0] >> 4 == 6 else ipv4.fragment
    found = parser(b"?" * 14 + packet, 14, len(packet))
    assert found is not None
    return found


class Pieces:
    """Fragments of one version, and what came of them."""

    def __init__(self, v6: bool) -> None:
        self.v6 = v6
        self.mib = IpMib()
        self.fragments = IpFragments(self.mib)

    def put(self, payload: bytes, start: int, end: int, ident: int = 1, now: float = 0.0) -> bytes | None:
        piece = (piece6 if self.v6 else piece4)(payload, start, end, ident)
        return self.fragments.add(parse(piece), now)

    def count(self, what: str) -> int:
        return int(getattr(self.mib, f"{'Ip6' if self.v6 else 'Ip'}Reasm{what}"))

    def whole(self, payload: bytes) -> bytes:
        if self.v6:
            options = bytes((17,)) + DESTINATION[1:]
            return ipv6.emit(A6, B6, ipv6.DESTINATION, 8 + len(payload)) + options + payload
        return ipv4.emit(A4, B4, 17, len(payload))[:10]


@pytest.fixture(params=[False, True], ids=["v4", "v6"])
def pieces(request: pytest.FixtureRequest) -> Iterator[Pieces]:
    each = Pieces(request.param)
    yield each
    each.fragments.handle_timeout(1e9)
    assert each.fragments.next_timeout() is None
    assert each.fragments._cost == 0


@pytest.mark.parametrize("seed", range(10))
def test_pieces_in_any_order_make_the_packet(pieces: Pieces, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    payload = chance.randbytes(chance.randrange(100, 60_000))
    cuts = sorted({0, *(8 * chance.randrange(1, len(payload) // 8) for _ in range(20))})
    spans = list(zip(cuts, [*cuts[1:], len(payload)], strict=True))
    chance.shuffle(spans)
    done = [pieces.put(payload, *span) for span in spans]
    assert done[:-1] == [None] * (len(spans) - 1)
    found = done[-1]
    assert found is not None
    assert found.endswith(payload)
    if pieces.v6:
        assert found == pieces.whole(payload)
    else:
        header = ipv4.parse(found, 0, len(found))
        assert header is not None
        assert (header.src, header.dst, header.payload_bytes) == (A4, B4, len(payload))
    assert (pieces.count("OKs"), pieces.count("Fails")) == (1, 0)


@pytest.mark.parametrize("span", [(8, 24), (0, 16), (16, 40), (24, 32)])
def test_an_overlap_costs_the_packet(pieces: Pieces, span: tuple[int, int]) -> None:
    payload = bytes(64)
    pieces.put(payload, 0, 8)
    pieces.put(payload, 16, 32)
    pieces.put(payload, *span)
    assert pieces.count("Fails") == 1


def test_a_duplicate_costs_nothing(pieces: Pieces) -> None:
    payload = bytes(range(64))
    pieces.put(payload, 0, 32)
    pieces.put(payload, 0, 32)
    found = pieces.put(payload, 32, 64)
    assert found is not None
    assert found.endswith(payload)
    assert pieces.count("Fails") == 0


def test_packets_are_told_apart(pieces: Pieces) -> None:
    first, second = bytes(64), b"\xff" * 64
    pieces.put(first, 0, 32, ident=1)
    pieces.put(second, 32, 64, ident=2)
    one, two = pieces.put(first, 32, 64, ident=1), pieces.put(second, 0, 32, ident=2)
    assert one is not None
    assert two is not None
    assert (one.endswith(first), two.endswith(second)) == (True, True)


def test_a_second_end_or_bytes_behind_the_end_cost_the_packet(pieces: Pieces) -> None:
    pieces.put(bytes(64), 32, 64)
    pieces.put(bytes(128), 64, 72)
    assert pieces.count("Fails") == 1


def test_a_packet_longer_than_any_is_given_up(pieces: Pieces) -> None:
    pieces.put(bytes(70_000), 65_504, 65_528)
    assert pieces.count("Fails") == 1


def test_an_incomplete_packet_is_forgotten_in_time(pieces: Pieces) -> None:
    pieces.put(bytes(64), 0, 32, now=5.0)
    assert pieces.fragments.next_timeout() == 5.0 + KEPT_S
    pieces.fragments.handle_timeout(5.0 + KEPT_S - 1)
    assert pieces.count("Timeout") == 0
    pieces.fragments.handle_timeout(5.0 + KEPT_S)
    assert (pieces.count("Timeout"), pieces.count("Fails")) == (1, 1)
    assert pieces.put(bytes(64), 32, 64, now=40.0) is None


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_the_timer_of_the_layer_gives_up_an_incomplete_packet(v6: bool) -> None:
    inet = make_inet(("10.0.0.2", "2001:db8::2"))
    fragments, piece = (inet.input.fragments6, piece6) if v6 else (inet.input.fragments, piece4)
    fragments.add(parse(piece(bytes(64), 32, 64)), 5.0)
    due = inet.next_timeout()
    assert due is not None
    inet.handle_timeout(due - 1)
    assert inet.next_timeout() == due
    inet.handle_timeout(due)
    assert inet.next_timeout() is None
    assert (inet.mib.IpReasmTimeout, inet.mib.Ip6ReasmTimeout) == (int(not v6), int(v6))


@pytest.mark.parametrize("size", [8, 1400])
def test_a_flood_of_pieces_takes_no_more_than_its_share(pieces: Pieces, size: int) -> None:
    payload = bytes(2800)
    for ident in range(20_000):
        pieces.put(payload, 0, size, ident=ident & 0xFFFF)
        assert pieces.fragments._cost <= MEMORY_MAX
    assert pieces.count("Fails") > 0
    newest = pieces.put(payload, size, 2800, ident=19_999)
    assert newest is not None


@pytest.mark.parametrize("v6", [False, True])
def test_what_is_whole_is_no_fragment(v6: bool) -> None:
    packet = ipv6.emit(A6, B6, 17, 8) + bytes(8) if v6 else ipv4.emit(A4, B4, 17, 8) + bytes(8)
    assert (ipv6 if v6 else ipv4).fragment(packet, 0, len(packet)) is None


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
def test_what_is_cut_is_put_together_again_and_no_piece_is_larger_than_the_mtu(v6: bool, mtu: int) -> None:
    payload = random.Random(mtu).randbytes(30_001)
    version, ends = (ipv6, (A6, B6)) if v6 else (ipv4, (A4, B4))
    pieces = version.fragments(*ends, 17, payload, mtu, 0x12345)
    assert max(len(piece) for piece in pieces) <= mtu
    random.Random(mtu).shuffle(pieces)
    fragments = IpFragments(IpMib())
    *nothing, whole = [fragments.add(parse(piece), 0.0) for piece in pieces]
    assert not any(nothing)
    assert whole is not None
    found = version.parse(whole, 0, len(whole))
    assert found is not None
    assert (found.src, found.dst, found.protocol) == (*ends, 17)
    assert whole[found.header_bytes :] == payload

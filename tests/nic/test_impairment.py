"""The bad wire alone: what it does to wire packets, how it cuts and coalesces them, and when they arrive."""

from __future__ import annotations

import random
import re
import struct
from collections import Counter

import pytest

from nodes.nic import header_split
from nodes.nic.impairment import (
    LIMIT,
    REORDER_DISTANCE_MAX,
    REORDER_TIMEOUT_S,
    Impairment,
    ImpairmentConfig,
    ImpairmentError,
    parse,
)
from nodes.nic.wire_frame import WireFrame
from nodes.nic.wire_port import TxOffload
from nodes.wire import ethernet, ip, ipv4, tcp
from nodes.wire.checksum import fold, internet_checksum, partial_sum, pseudo_header_sum
from tests.nic.fake_wire import FakeWire, QueuedFrame
from tests.nic.frames import OUR_IP, OUR_MAC, PEER_IP, PEER_MAC, Tcp, arp_request

MSS = 1000
PAYLOAD = 20 * MSS + 300
NOW = 50.0
V6_PAIR = bytes.fromhex("fd00") + bytes(13) + b"\x02" + bytes.fromhex("fd00") + bytes(13) + b"\x01"


def config_of(seed: int, **config: float) -> ImpairmentConfig:
    return ImpairmentConfig(**config, seed=seed)  # type: ignore[arg-type]


class Stage:
    """An Impairment between a fake wire and the test, which acts as the NIC."""

    def __init__(self, **config: float) -> None:
        self.seed = int(config.pop("seed", 1))
        print(f"seed {self.seed}")
        self.wire = FakeWire()
        self.stage = Impairment(self.wire, config_of(self.seed, **config), "h1")
        self.stage.advance(NOW)

    def arrive(self, frame: bytes, gso_size: int = 0, good: bool = False) -> list[QueuedFrame]:
        """The frame comes on the fake wire; returns what the NIC gets now."""
        self.wire.put(frame, gso_size, good)
        return self.taken()

    def taken(self) -> list[QueuedFrame]:
        got = []
        while (waiting := self.stage.peek()) is not None:
            assert waiting.length >= 54 or waiting.length == 42
            parsed = header_split.parse(waiting.head, waiting.length)
            first = bytes(waiting.head[: min(waiting.length, len(waiting.head))])
            head, rest = bytearray(parsed.header_bytes), bytearray(waiting.length - parsed.header_bytes)
            self.stage.receive([memoryview(head), memoryview(rest)])
            frame = bytes(head + rest)
            assert frame.startswith(first)
            got.append(QueuedFrame(frame, waiting.gso_size, waiting.checksum_good))
        return got

    def send(self, frame: bytes, gso_size: int) -> list[bytes]:
        """The NIC sends a TCP frame with TSO; returns the wire packets that come out, finished."""
        at = len(self.wire.sent)
        header = bytearray(frame[:54])
        header[50:52] = pseudo_header_sum(PEER_IP, OUR_IP, ipv4.TCP, len(frame) - 34).to_bytes(2, "big")
        offload = TxOffload(54, gso_size, 34, tcp.CHECKSUM_OFFSET)
        assert self.stage.send(bytes(header), [memoryview(frame)[54:]], offload)
        return [p for sent in self.wire.sent[at:] for p in finished(sent.frame, sent.offload)]


def packets(arrivals: list[QueuedFrame]) -> list[bytes]:
    """The payload of each wire packet."""
    out = []
    for arrival in arrivals:
        payload = arrival.frame[54:]
        size = arrival.gso_size or len(payload)
        out += [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    return out


def finished(frame: bytes, offload: TxOffload) -> list[bytes]:
    """The wire packets that a NIC with TSO and checksum offload makes of a frame: an independent version."""
    if not offload.csum_start:
        return [frame]
    assert offload.header_bytes == 54
    payload, out = frame[54:], []
    size = offload.gso_size or len(payload) or 1
    for at in range(0, len(payload) or 1, size):
        part, header = payload[at : at + size], bytearray(frame[:54])
        old = int.from_bytes(header[50:52], "big")
        assert fold(old) % 0xFFFF == pseudo_header_sum(PEER_IP, OUR_IP, ipv4.TCP, len(frame) - 34) % 0xFFFF
        header[16:18] = (40 + len(part)).to_bytes(2, "big")
        header[24:26] = bytes(2)
        header[24:26] = internet_checksum(bytes(header[14:34])).to_bytes(2, "big")
        seq = int.from_bytes(header[38:42], "big") + at
        header[38:42] = (seq & 0xFFFFFFFF).to_bytes(4, "big")
        if at + size < len(payload):
            header[47] &= ~(tcp.FIN | tcp.PSH)
        header[50:52] = bytes(2)
        pseudo = struct.pack("!IIHH", PEER_IP, OUR_IP, ipv4.TCP, 20 + len(part))
        header[50:52] = internet_checksum(pseudo + bytes(header[34:]) + part).to_bytes(2, "big")
        out.append(bytes(header) + part)
    return out


def checksums_good(packet: bytes) -> bool:
    pseudo = struct.pack("!IIHH", PEER_IP, OUR_IP, ipv4.TCP, len(packet) - 34)
    return not internet_checksum(packet[14:34]) and fold(partial_sum(pseudo + packet[34:])) == 0xFFFF


def superpacket(seed: int = 1, flags: int = tcp.ACK | tcp.PSH | tcp.FIN, seq: int = 0xFFFFF000) -> bytes:
    return Tcp(random.Random(seed).randbytes(PAYLOAD), flags=flags, seq=seq).frame()


def test_a_wire_without_impairments_changes_nothing() -> None:
    each = Stage()
    frame = superpacket()
    assert each.arrive(frame, MSS, True) == [QueuedFrame(frame, MSS, True)]
    assert each.arrive(arp_request()) == [QueuedFrame(arp_request())]
    each.send(frame, MSS)
    assert each.wire.sent[0].frame[54:] == frame[54:]
    assert each.stage.next_timeout() is None
    assert (each.stage.rx.counters.packets, each.stage.tx.counters.packets) == (22, 21)


@pytest.mark.parametrize("seed", range(8))
def test_loss_takes_single_packets_out_of_a_superpacket_both_ways(seed: int) -> None:
    each = Stage(loss=0.1, seed=seed)
    frame = superpacket(seed)
    all_packets = packets([QueuedFrame(frame, MSS)])
    for _ in range(20):
        got = packets(each.arrive(frame, MSS, True))
        assert [p for p in all_packets if p in got] == got
    assert 0 < each.stage.rx.counters.lost < 100
    whole = finished(*unfinished(frame))
    for _ in range(20):
        out = each.send(frame, MSS)
        assert all(p[16:18] + p[38:] in {w[16:18] + w[38:] for w in whole} for p in out)
        assert all(checksums_good(p) for p in out)
    counters = each.stage.tx.counters
    sent = sum(len(finished(s.frame, s.offload)) for s in each.wire.sent)
    assert sent == counters.packets - counters.lost == 20 * 21 - counters.lost < 420


def unfinished(frame: bytes) -> tuple[bytes, TxOffload]:
    header = bytearray(frame[:54])
    header[50:52] = pseudo_header_sum(PEER_IP, OUR_IP, ipv4.TCP, len(frame) - 34).to_bytes(2, "big")
    return bytes(header) + frame[54:], TxOffload(54, MSS, 34, tcp.CHECKSUM_OFFSET)


def test_adjacent_survivors_stay_in_one_superpacket() -> None:
    each = Stage(loss=0.05, seed=3)
    frame = superpacket()
    for _ in range(30):
        lost_before = each.stage.rx.counters.lost
        got = each.arrive(frame, MSS, True)
        assert len(got) <= 1 + each.stage.rx.counters.lost - lost_before
        for arrival in got:
            header = arrival.frame
            assert internet_checksum(header[14:34]) == 0
            assert int.from_bytes(header[16:18], "big") == len(header) - 14
            assert (arrival.gso_size == MSS) == (len(header) - 54 > MSS)
            at = int.from_bytes(header[38:42], "big") - 0xFFFFF000 & 0xFFFFFFFF
            assert frame[54 + at :].startswith(header[54:])
            last = at + len(header) - 54 == PAYLOAD
            assert bool(header[47] & tcp.FIN) == bool(header[47] & tcp.PSH) == last


def test_probabilities_hold_for_each_wire_packet() -> None:
    probabilities = {"loss": 0.02, "reorder": 0.03, "duplicate": 0.01, "corrupt": 0.02}
    each = Stage(seed=5, **probabilities)
    frame = superpacket()
    for _ in range(2000):
        each.arrive(frame, MSS, True)
    c = each.stage.rx.counters
    assert c.packets == 42_000
    happened = {"loss": c.lost, "reorder": c.reordered, "duplicate": c.duplicated, "corrupt": c.corrupted}
    for name, count in happened.items():
        assert 0.85 < count / (c.packets * probabilities[name]) < 1.15, (name, count)


def test_duplicates_come_twice_and_reordered_packets_are_overtaken() -> None:
    for seed in range(5):
        each = Stage(duplicate=0.1, seed=seed)
        frame = superpacket()
        got = Counter(packets(each.arrive(frame, MSS, True)))
        assert set(got) == set(packets([QueuedFrame(frame, MSS)]))
        assert sum(got.values()) == 21 + each.stage.rx.counters.duplicated
    each = Stage(reorder=0.1, seed=1)
    frames = [superpacket(seed) for seed in range(20)]
    order = packets([QueuedFrame(frame, MSS) for frame in frames])
    got_order = [p for frame in frames for p in packets(each.arrive(frame, MSS, True))]
    each.stage.advance(NOW + REORDER_TIMEOUT_S * 1.01)
    got_order += packets(each.taken())
    assert sorted(got_order) == sorted(order)
    places = {p: at for at, p in enumerate(order)}
    late = 0
    for at, p in enumerate(got_order):
        overtaken = sum(places[q] > places[p] for q in got_order[:at])
        assert overtaken <= REORDER_DISTANCE_MAX + 2  # two reordered ones may come at once
        late += overtaken > 0
    assert late > 10


def test_a_reordered_packet_that_none_overtakes_comes_after_a_timeout() -> None:
    each = Stage(reorder=1.0)
    frame = Tcp(b"x" * 100).frame()
    assert each.arrive(frame, good=True) == []
    due = each.stage.next_timeout()
    assert due == pytest.approx(NOW + REORDER_TIMEOUT_S)
    assert not each.stage.advance(NOW + REORDER_TIMEOUT_S / 2)
    assert each.stage.advance(NOW + REORDER_TIMEOUT_S * 1.01)
    assert each.taken() == [QueuedFrame(frame, 0, True)]
    assert each.stage.next_timeout() is None


@pytest.mark.parametrize("good", [True, False])
def test_a_corrupt_packet_fails_its_checksums(good: bool) -> None:
    each = Stage(corrupt=1.0, seed=7)
    content = random.Random(1).randbytes(333)
    for n in range(200):
        frame = Tcp(content, src_port=40000 + n).frame()
        if good:  # a sender on the same machine leaves the checksum to the NIC
            frame = frame[:50] + b"\xaa\xaa" + frame[52:]
        (arrival,) = each.arrive(frame, 0, good)
        assert not arrival.checksum_good
        assert len(arrival.frame) == len(frame)
        assert not checksums_good(arrival.frame)
        assert arrival.frame[:14] == frame[:14]
    out = [p for _ in range(20) for p in each.send(superpacket(), MSS)]
    assert len(out) == 20 * 21
    assert not any(checksums_good(p) for p in out)


def test_delayed_frames_arrive_in_order_and_in_time() -> None:
    each = Stage(delay=0.002, jitter=0.001)
    frames = [superpacket(seed) for seed in range(50)]
    for frame in frames:
        assert each.arrive(frame, MSS, True) == []
        assert each.send(frame, MSS) == []
    due = each.stage.next_timeout()
    assert due is not None
    assert NOW + 0.002 <= due <= NOW + 0.003
    assert not each.stage.advance(NOW + 0.0019)
    assert each.taken() == []
    assert each.stage.advance(NOW + 0.0031)
    assert [a.frame for a in each.taken()] == frames
    assert [s.frame[54:] for s in each.wire.sent] == [f[54:] for f in frames]
    assert each.stage.next_timeout() is None


def test_a_busy_link_keeps_order_and_loses_nothing() -> None:
    each = Stage(loss=0.1, seed=2)
    each.wire.room = 2
    frame = superpacket()
    header, offload = unfinished(frame)
    payload = [memoryview(header)[54:]]
    taken = refused = 0
    for _ in range(50):
        each.wire.room = 2
        if each.stage.send(header[:54], payload, offload):
            taken += 1
        else:
            refused += 1
    while each.stage.next_timeout() is not None:
        each.wire.room = 1
        each.stage.advance(NOW)
    counters = each.stage.tx.counters
    assert refused > 0
    assert counters.packets == 21 * taken
    sent = sum(len(finished(s.frame, s.offload)) for s in each.wire.sent)
    assert sent == counters.packets - counters.lost


def test_delayed_frames_are_lost_when_the_link_is_down() -> None:
    each = Stage(delay=0.001)
    each.send(superpacket(), MSS)
    each.wire.down = True
    each.stage.advance(NOW + 0.002)
    assert each.stage.next_timeout() is None


def test_packets_beyond_the_limit_are_dropped() -> None:
    each = Stage(delay=10.0)
    for _ in range(LIMIT // 21 + 100):
        each.send(superpacket(), MSS)
    counters = each.stage.tx.counters
    assert counters.overflowed == counters.packets - LIMIT // 21 * 21


def test_events_depend_on_the_seed_and_the_name() -> None:
    def frames_that_arrive(seed: int, name: str) -> list[int]:
        wire = FakeWire()
        stage = Impairment(wire, ImpairmentConfig(loss=0.1, reorder=0.1, seed=seed), name)
        each = Stage()
        each.wire, each.stage = wire, stage
        return [len(each.arrive(superpacket(), MSS, True)) for _ in range(50)]

    assert frames_that_arrive(1, "h1") == frames_that_arrive(1, "h1")
    assert frames_that_arrive(1, "h1") != frames_that_arrive(1, "h2")
    assert frames_that_arrive(1, "h1") != frames_that_arrive(2, "h1")


def test_a_frame_without_tcp_is_one_packet() -> None:
    each = Stage(loss=0.5, duplicate=0.5, seed=4)
    got = [len(each.arrive(arp_request())) for _ in range(100)]
    assert set(got) == {0, 2}


def test_parse_knows_every_name_and_unit() -> None:
    text = "loss=0.01,reorder=0.02,duplicate=0.001,corrupt=0,delay=1ms,jitter=,seed=9"
    assert parse(text) == ImpairmentConfig(0.01, 0.02, 0.001, 0.0, 0.001, 0.0, 9)
    assert parse("delay=20us,jitter=.5s") == ImpairmentConfig(delay=2e-5, jitter=0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is not NAME=VALUE"),
        ("los=1", "'los=1' is not NAME=VALUE"),
        ("loss", "'loss' is not NAME=VALUE"),
        ("loss=2", "loss=2 is not a chance"),
        ("loss=-1", "loss=-1 is not a chance"),
        ("loss=nan", "loss=nan is not a chance"),
        ("loss=x", "loss=x is not a chance"),
        ("delay=5", "delay=5 is no duration; write it as"),
        ("delay=11s", "delay=11s is more than 10 s; make it shorter"),
        ("jitter=99999s", "jitter=99999s is more than 10 s"),
        ("seed=1.5", "seed=1.5 is not a whole number"),
        ("loss=0.6,reorder=0.6", "add up to 1.2"),
    ],
)
def test_parse_refuses_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ImpairmentError, match=re.escape(says)):
        parse(text)


def ipv6_superpacket(payload: bytes, padded: bool = False) -> bytes:
    """A frame between the addresses of V6_PAIR, its TCP checksum left to the NIC. A BIG TCP frame has a jumbo
    header, in Linux's form or in our `padded` one."""
    header = struct.pack("!HHIIBBHHH", 40000, 7000, 5, 0, 0x50, tcp.ACK, 0xFFFF, 0, 0)
    length = len(header) + len(payload)
    pseudo = fold(partial_sum(V6_PAIR) + length + ip.TCP)
    segment = header[:16] + pseudo.to_bytes(2, "big") + header[18:] + payload
    if length > 0xFFFF and padded:
        jumbo = bytes((ip.TCP, 1, 1, 2, 0, 0, 0xC2, 4)) + struct.pack("!IBBH", length + 16, 1, 2, 0)
        lengths, segment = struct.pack("!HBB", 0, 0, 64), jumbo + segment
    elif length > 0xFFFF:
        jumbo = struct.pack("!BBBBI", ip.TCP, 0, 0xC2, 4, length + 8)
        lengths, segment = struct.pack("!HBB", 0, 0, 64), jumbo + segment
    else:
        lengths = struct.pack("!HBB", length, ip.TCP, 64)
    packet = struct.pack("!I", 6 << 28) + lengths + V6_PAIR + segment
    return ethernet.emit(OUR_MAC, PEER_MAC, ethernet.TYPE_IPV6) + packet


@pytest.mark.parametrize(
    ("size", "padded", "l4_starts"),
    [(PAYLOAD, False, {54}), (200_300, False, {54, 62}), (200_300, True, {54, 70})],
)
def test_ipv6_superpackets_are_cut_and_short_ones_lose_their_jumbo_header(
    size: int, padded: bool, l4_starts: set[int]
) -> None:
    each = Stage(loss=0.02, seed=2)
    frame = ipv6_superpacket(random.Random(1).randbytes(size), padded)
    split = header_split.parse(frame[:182], len(frame)).header_bytes
    shapes = set()
    for _ in range(50):
        offload = TxOffload(split, MSS, split - 20, tcp.CHECKSUM_OFFSET, True)
        assert each.stage.send(frame[:split], [memoryview(frame)[split:]], offload)
    for sent in each.wire.sent:
        out = sent.frame
        parsed = header_split.parse(out[:182], len(out))
        assert (parsed.frame_bytes, parsed.header_bytes) == (len(out), sent.offload.header_bytes)
        assert (sent.offload.csum_start, sent.offload.ipv6) == (parsed.l4_start, True)
        at = int.from_bytes(out[parsed.l4_start + 4 : parsed.l4_start + 8], "big") - 5
        assert frame[split + at :].startswith(out[parsed.header_bytes :])
        field = int.from_bytes(out[parsed.l4_start + 16 : parsed.l4_start + 18], "big")
        assert field % 0xFFFF == (partial_sum(V6_PAIR) + ip.TCP + len(out) - parsed.l4_start) % 0xFFFF
        shapes.add(parsed.l4_start)
    assert each.stage.tx.counters.lost
    assert shapes == l4_starts
    assert not WireFrame(frame, split, split - 20, 0, True).corrupted(3, 1).checksum_partial

"""What a capture stores of packets, parsed block by block."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from nodes.nic.capture import SNAPLEN, Capture
from nodes.skb import Frags, LinearFrags, Skb, frags_of
from tests.nic.bench import Bench
from tests.nic.frames import Tcp, arp_request

EPOCH = 1_700_000_000.0


@dataclass(frozen=True)
class Captured:
    at: float
    data: bytes
    length: int
    direction: int
    interface: int


class Reader:
    """The blocks of a pcapng section. Wrong lengths or padding, and other interfaces, fail an assertion."""

    def __init__(self, file: bytes, interfaces: tuple[bytes, ...] = (b"eth0",)) -> None:
        self._names = list(interfaces)
        self.packets: list[Captured] = []
        self.kinds: list[int] = []
        while file:
            kind, length = struct.unpack_from("=II", file)
            assert length % 4 == 0
            assert struct.unpack_from("=I", file, length - 4) == (length,)
            self.kinds.append(kind)
            self._block(kind, file[8 : length - 4])
            file = file[length:]

    def _block(self, kind: int, body: bytes) -> None:
        if kind == 0x0A0D0D0A:
            assert struct.unpack("=IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
        elif kind == 1:
            assert struct.unpack_from("=HHI", body) == (1, 0, SNAPLEN)
            assert self._options(body[8:]) == {2: self._names[self.kinds.count(1) - 1], 9: b"\x09"}
        else:
            assert kind == 6
            interface, high, low, stored, length = struct.unpack_from("=IIIII", body)
            assert interface < len(self._names)
            options = self._options(body[20 + stored + -stored % 4 :])
            at = (high << 32 | low) / 1e9
            direction = int.from_bytes(options.pop(2), "little")
            assert not options
            self.packets.append(Captured(at, body[20 : 20 + stored], length, direction, interface))

    @staticmethod
    def _options(data: bytes) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        while True:
            code, length = struct.unpack_from("=HH", data)
            if code == 0:
                assert data == bytes(4)
                return found
            found[code] = data[4 : 4 + length]
            data = data[4 + length + -length % 4 :]


def capture(bench: Bench) -> io.BytesIO:
    file = io.BytesIO()
    each = Capture(file, EPOCH)
    bench.device.capture(each.add_interface("eth0", bench.device.dma))
    each.advance(12.5)
    return file


def test_readable_packets_are_captured_whole(bench: Bench) -> None:
    file = capture(bench)
    frames = [Tcp(b"q" * 5001).frame(), arp_request(), Tcp().frame()]
    for frame in frames:
        bench.wire.put(frame, checksum_good=True)
    bench.poll()
    reader = Reader(file.getvalue())
    assert reader.kinds == [0x0A0D0D0A, 1, 6, 6, 6]
    assert [p.data for p in reader.packets] == [frames[0], frames[1], frames[2][:54]]
    assert all(p.length == len(p.data) and p.direction == 1 for p in reader.packets)
    assert all(abs(p.at - EPOCH - 12.5) < 1e-6 for p in reader.packets)


def test_of_device_memory_only_headers_are_stored(bench: Bench) -> None:
    bench.bind()
    file = capture(bench)
    frame = Tcp(b"secret" * 1000, tcp_options=12).frame()
    bench.wire.put(frame, gso_size=1000, checksum_good=True)
    (got,) = bench.poll()
    (packet,) = Reader(file.getvalue()).packets
    assert packet.data == frame[:66]
    assert packet.length == len(frame)
    assert got.skb.payload is not None
    assert b"secret" not in file.getvalue()
    sent = Skb(frame[:66], got.skb.payload.slice(0, 100))
    bench.device.xmit(sent, 34)
    out = Reader(file.getvalue()).packets[1]
    assert (out.data, out.length, out.direction) == (frame[:66], 166, 2)


def test_a_linear_part_in_front_of_device_memory_is_captured(bench: Bench) -> None:
    """Of a packet that the NIC did not split exactly."""
    bench.bind()
    file = capture(bench)
    pages, niovs = bench.device.rx_queues[0].take(100), bench.queue.take(4096)
    assert pages is not None
    assert niovs is not None
    pages[0].region.view[pages[0].offset : pages[0].offset + 100] = b"linear-10." * 10
    payload = LinearFrags([*frags_of(pages, 100).frags, *frags_of(niovs, 4096).frags])
    bench.device.xmit(Skb(Tcp().frame()[:54], payload), 34)
    (packet,) = Reader(file.getvalue()).packets
    assert packet.data[54:] == b"linear-10." * 10
    assert packet.length == 54 + 100 + 4096


def test_a_long_packet_is_cut_at_the_snap_length(bench: Bench) -> None:
    file = capture(bench)
    netmems = bench.device.rx_queues[0].take(60 * 1024)
    assert netmems is not None
    payload: Frags = frags_of(netmems, 60 * 1024)
    header = Tcp().frame()[:54]
    bench.device.xmit(Skb(header + bytes(20_000), payload), 0)
    (packet,) = Reader(file.getvalue()).packets
    assert len(packet.data) == SNAPLEN
    assert packet.length == 54 + 20_000 + 60 * 1024


def test_a_packet_that_the_wire_refused_is_not_captured(bench: Bench) -> None:
    file = capture(bench)
    bench.wire.down = True
    bench.device.xmit(Skb(arp_request(), None), 0)
    assert Reader(file.getvalue()).packets == []


def test_two_nics_of_a_host_are_two_interfaces_of_one_file() -> None:
    file = io.BytesIO()
    each = Capture(file, EPOCH)
    benches = [Bench(), Bench()]
    for name, bench in zip(("eth0", "eth1"), benches, strict=True):
        bench.device.capture(each.add_interface(name, bench.device.dma))
    each.advance(1.0)
    for bench in reversed(benches):
        bench.wire.put(arp_request())
        bench.poll()
    benches[0].device.xmit(Skb(arp_request(), None), 0)
    packets = Reader(file.getvalue(), (b"eth0", b"eth1")).packets
    assert [(p.interface, p.direction) for p in packets] == [(1, 1), (0, 1), (0, 2)]
    for bench in benches:
        bench.settle()

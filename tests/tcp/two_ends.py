"""Two connections, a manual clock and a seeded wire that loses, reorders, duplicates and cuts.

In: what a test sends. Out: what was received, byte for byte. Owns the ledger of payloads: every reference
must have been released when a test ends.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from nodes.tcp.connection import Connection, State, TcpConfig
from nodes.tcp.receive_buffer import SKB_OVERHEAD_BYTES
from nodes.tcp.segment import Payload, Segment
from nodes.wire.checksum import internet_checksum
from nodes.wire.tcp import ACK, CHECKSUM_OFFSET, SYN, TcpHeader, emit

MSS = 1460
FULL = MSS - 12  # payload bytes of a full wire packet with timestamps
CONFIG = TcpConfig(mss=MSS, max_segment_bytes=64000, send_buffer_bytes=1 << 20, receive_buffer_bytes=2 << 20)
NEAR_WRAP = 0xFFFFFFF0


class Ledger:
    """Counts payloads that were not released, and the connections that must release theirs when they end."""

    def __init__(self) -> None:
        self.live = 0
        self.connections: list[Connection] = []

    def payload(self, data: bytes) -> Payload:
        return BytesPayload(self, data)

    def keep(self, connection: Connection) -> Connection:
        self.connections.append(connection)
        return connection

    def settle(self) -> None:
        for connection in self.connections:
            connection.abort(1e6)
            assert all(each.payload is None for each in connection.segments_to_send(1e6))
        assert self.live == 0, f"{self.live} payload references were never released"


class BytesPayload:
    """A payload with its bytes: using it after its release, or releasing it twice, fails the test."""

    def __init__(self, ledger: Ledger, data: bytes) -> None:
        assert data
        self.mixes = True
        self._ledger = ledger
        self._data = data
        self._alive = True
        ledger.live += 1

    @property
    def data(self) -> bytes:
        assert self._alive, "payload used after its release"
        return self._data

    def __len__(self) -> int:
        return len(self.data)

    @property
    def truesize(self) -> int:
        return len(self.data)

    @property
    def buffer_bytes(self) -> int:
        """As if half of the memory were payload, which is what TCP believes at first."""
        return max(0, 2 * len(self.data) - SKB_OVERHEAD_BYTES)

    def slice(self, start: int, stop: int) -> BytesPayload:
        assert 0 <= start < stop <= len(self), f"slice [{start}, {stop}) of {len(self)} bytes"
        return BytesPayload(self._ledger, self.data[start:stop])

    def alike(self, other: BytesPayload) -> bool:
        return self.mixes and other.mixes

    def can_extend(self, other: BytesPayload) -> bool:
        return self.mixes and other.mixes

    def extend(self, other: BytesPayload) -> None:
        self._data = self.data + other.data
        other.release()

    def release(self) -> None:
        assert self._alive, "payload released twice"
        self._alive = False
        self._ledger.live -= 1


def contents(payload: Payload | None) -> bytes:
    assert payload is None or isinstance(payload, BytesPayload)
    return b"" if payload is None else payload.data


def pattern(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


@dataclass
class Impairment:
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0  # share of packets of which one bit flips; the checksum finds it
    reorder: float = 0.0  # share of packets that are late
    late_s: float = 0.0005  # by how much
    delay_s: float = 0.001
    rate: float = 0.0  # bytes a second, 0: unlimited
    queue_bytes: int = 1 << 30
    cut: bool = False  # super-segments into wire packets first
    seed: int = 1
    drop: set[int] = field(default_factory=set)  # numbers of the packets (from a, with payload) to lose


class End:
    """One connection with its application, which writes `pending` and reads what comes."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        self.connection = connection
        self.ledger = ledger
        self.pending = b""
        self.read = bytearray()
        self.reading = True
        self.write_bytes = 100_000
        self.busy_until = 0.0
        self.sent_packets = 0

    def work(self, now: float) -> None:
        connection = self.connection
        while self.pending and (room := connection.send_room) > 0:
            size = min(room, self.write_bytes)
            chunk, self.pending = self.pending[:size], self.pending[size:]
            connection.send(self.ledger.payload(chunk), now)
        while self.reading and connection.received:
            payload = connection.received.popleft()
            self.read += contents(payload)
            connection.consumed(len(payload), now)
            payload.release()


class TwoEnds:
    """a connects to b."""

    def __init__(
        self,
        ledger: Ledger,
        wire: Impairment | None = None,
        config_a: TcpConfig = CONFIG,
        config_b: TcpConfig = CONFIG,
    ) -> None:
        self.wire = wire or Impairment()
        self.chance = random.Random(self.wire.seed)
        print(f"wire seed {self.wire.seed}")
        self.ledger = ledger
        self.now = 100.0
        self.log: list[tuple[float, str, TcpHeader, int]] = []
        self._flying: list[tuple[float, int, bool, Segment]] = []
        self._count = 0
        self._config_b = config_b
        self.a = End(ledger.keep(Connection.connect(config_a, 1000, 80, NEAR_WRAP, self.now)), ledger)
        self.b: End | None = None
        self.strip: set[str] = set()

    @property
    def server(self) -> End:
        assert self.b is not None
        return self.b

    def open(self) -> TwoEnds:
        loss, self.wire.loss = self.wire.loss, 0.0
        self.run(0.1)
        self.wire.loss = loss
        return self

    def run(
        self, seconds: float, until_read: int = -1, until: Callable[[], bool] = lambda: False
    ) -> None:
        """Let `seconds` pass; stop earlier when b has read `until_read` bytes or `until` returns True."""
        end = self.now + seconds
        while self.now <= end:
            self._work()
            if 0 <= until_read <= len(self.server.read) or until():
                return
            times = [self._flying[0][0]] if self._flying else []
            for each in self._ends():
                at = each.connection.next_timeout()
                if at is not None:
                    times.append(at)
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            self._deliver()
            for each in self._ends():
                at = each.connection.next_timeout()
                if at is not None and at <= self.now:
                    each.connection.handle_timeout(self.now)
                    again = each.connection.next_timeout()
                    assert again is None or again > self.now, "a deadline stays in the past"
        self.now = end

    def _ends(self) -> Iterator[End]:
        yield self.a
        if self.b is not None:
            yield self.b

    def _work(self) -> None:
        for each in self._ends():
            each.work(self.now)
            while segments := each.connection.segments_to_send(self.now):
                for segment in segments:
                    self._send(each, segment)

    def _send(self, end: End, segment: Segment) -> None:
        data = contents(segment.payload)
        assert len(data) <= CONFIG.max_segment_bytes
        if segment.payload is not None:
            segment.payload.release()
        step = segment.mss if self.wire.cut and segment.mss else max(len(data), 1)
        name = "a" if end is self.a else "b"
        self.log.append((self.now, name, segment.header, len(data)))
        for at in range(0, max(len(data), 1), step):
            header = replace(segment.header, seq=segment.header.seq + at & 0xFFFFFFFF)
            if at + step < len(data):
                header.flags &= ~0x09
            self._strip(header)
            self._fly(end, header, data[at : at + step])

    def _strip(self, header: TcpHeader) -> None:
        if "sack" in self.strip:
            header.sack_permitted = False
        if "timestamps" in self.strip and header.flags & SYN:
            header.ts_val = None
        if "wscale" in self.strip:
            header.wscale = None

    def _fly(self, end: End, header: TcpHeader, data: bytes) -> None:
        wire = self.wire
        if data and end is self.a:
            end.sent_packets += 1
            if end.sent_packets in wire.drop:
                return
        if self.chance.random() < wire.loss:
            return
        if wire.corrupt and self.chance.random() < wire.corrupt and self._checksum_finds(header, data):
            return
        at = self.now + wire.delay_s
        if wire.rate:
            if (end.busy_until - self.now) * wire.rate > wire.queue_bytes:
                return
            end.busy_until = max(end.busy_until, self.now) + (len(data) + 66) / wire.rate
            at = end.busy_until + wire.delay_s
        if self.chance.random() < wire.reorder:
            at += wire.late_s
        for _ in range(2 if self.chance.random() < wire.duplicate else 1):
            payload = self.ledger.payload(data) if data else None
            self._count += 1
            heapq.heappush(self._flying, (at, self._count, end is self.a, Segment(replace(header), payload)))

    def _checksum_finds(self, header: TcpHeader, data: bytes) -> bool:
        """Flip one bit of the segment as it is on the wire; returns whether the checksum detects it."""
        packet = bytearray(emit(header) + data)
        checksum = internet_checksum(bytes(packet))
        packet[CHECKSUM_OFFSET : CHECKSUM_OFFSET + 2] = checksum.to_bytes(2, "big")
        bit = self.chance.randrange(len(packet) * 8)
        packet[bit // 8] ^= 1 << bit % 8
        return internet_checksum(bytes(packet)) != 0

    def _deliver(self) -> None:
        while self._flying and self._flying[0][0] <= self.now:
            _, _, from_a, segment = heapq.heappop(self._flying)
            if not from_a:
                self.a.connection.receive_segment(segment, self.now)
            elif self.b is None:
                connection = Connection.accept(self._config_b, segment, NEAR_WRAP - 7, self.now)
                self.b = End(self.ledger.keep(connection), self.ledger)
            else:
                self.b.connection.receive_segment(segment, self.now)

    def stop(self) -> None:
        """Release the segments that are on the wire."""
        for _, _, _, segment in self._flying:
            if segment.payload is not None:
                segment.payload.release()
        self._flying.clear()


class Scripted:
    """One connection and a scripted peer. Sequence numbers are relative to the initial ones, which are near
    the wrap."""

    def __init__(self, ledger: Ledger, config: TcpConfig = CONFIG, *, options: bool = True) -> None:
        self.ledger = ledger
        self.options = options
        self.now = 50.0
        self.iss, self.irs = NEAR_WRAP, NEAR_WRAP + 5
        syn = self.header(0, None, SYN)
        syn.mss = MSS
        if options:
            syn.wscale, syn.sack_permitted = 0, True
        self.connection = ledger.keep(Connection.accept(config, Segment(syn), self.iss, self.now))
        self.syn_ack = self.sent()[0].header

    def header(self, seq: int, ack: int | None, flags: int = ACK, window: int = 65535) -> TcpHeader:
        header = TcpHeader(9, 80, self.irs + seq & 0xFFFFFFFF, 0, flags, window)
        if ack is not None:
            header.ack = self.iss + ack & 0xFFFFFFFF
        if self.options:
            header.ts_val = int(self.now * 1000)
        return header

    def open(self, window: int = 65535) -> Scripted:
        self.get(1, 1, window=window)
        assert self.sent() == []
        return self

    def get(
        self,
        seq: int,
        ack: int,
        data: bytes = b"",
        flags: int = ACK,
        window: int = 65535,
        sack: tuple[tuple[int, int], ...] = (),
        ts_ecr: int = 0,
    ) -> None:
        """Receive a segment of the peer's."""
        header = self.header(seq, ack, flags, window)
        header.ts_ecr = ts_ecr
        header.sack = tuple((self.iss + x & 0xFFFFFFFF, self.iss + y & 0xFFFFFFFF) for x, y in sack)
        self.connection.receive_segment(
            Segment(header, self.ledger.payload(data) if data else None), self.now
        )

    def write(self, count: int) -> None:
        self.connection.send(self.ledger.payload(pattern(count)), self.now)

    def sent(self) -> list[Segment]:
        """What the connection sends now; asked again it sends no more. The caller releases the payload."""
        segments = self.connection.segments_to_send(self.now)
        assert self.connection.segments_to_send(self.now) == []
        return segments

    def ranges(self) -> list[tuple[int, int]]:
        """(relative sequence number, payload bytes) of each segment sent now; payload is released."""
        found = []
        for each in self.sent():
            found.append((each.header.seq - self.iss & 0xFFFFFFFF, len(contents(each.payload))))
            if each.payload is not None:
                each.payload.release()
        return found

    def acks(self) -> list[int]:
        """Relative acknowledgement numbers of the bare segments sent now."""
        return [each.header.ack - self.irs & 0xFFFFFFFF for each in self.sent()]

    def state(self) -> State:
        """The connection's present state. (As a method: mypy would narrow an attribute.)"""
        return self.connection.state

    def wait(self) -> float:
        """Advance to the next deadline and handle it; returns the seconds waited."""
        at = self.connection.next_timeout()
        assert at is not None, "no deadline is set"
        waited = at - self.now
        self.now = at
        self.connection.handle_timeout(at)
        return waited

    def read(self) -> bytes:
        """The application takes all that is received."""
        data = b""
        while self.connection.received:
            payload = self.connection.received.popleft()
            data += contents(payload)
            payload.release()
        if data:
            self.connection.consumed(len(data), self.now)
        return data

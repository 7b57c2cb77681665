"""A bad wire in front of another wire, both ways: loss, duplication, reordering, corruption, delay.

In: frames of the wire behind it and frames that the NIC sends; `now`. Out: the frames that survive. It works
on wire packets: a super-packet is cut where an event hits one of its packets, and passes whole, often without
being read, where none does. Owns the packets in transit. It is part of the wire, so no DMA has touched them.
All randomness comes from the seed.
Source: tc-netem(8) for the terms; smoltcp's fault injector for the shape.
"""

from __future__ import annotations

import heapq
import random
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from nodes.nic import header_split
from nodes.nic.gilbert_elliott import GilbertElliott, WireEvents
from nodes.nic.wire_frame import WireFrame
from nodes.nic.wire_port import PEEK_BYTES, RxFrame, TxOffload, Wire
from nodes.wire import ethernet, tcp

LIMIT = 32768  # packets in transit in one direction, netem's `limit`; more are dropped, as in a switch
REORDER_DISTANCE_MAX = 8  # how many packets may overtake a reordered one
REORDER_TIMEOUT_S = 0.001  # after which a reordered packet arrives although none has overtaken it
DELAY_MAX_S = 10.0  # one way at one NIC: 40 s of round trip, more than any network has
_BATCH = 64  # frames taken from the wire behind in one peek
_BUSY_RETRY_S = 0.001  # after which a busy wire is tried again
_GEMODEL = "gemodel:"
_LOSS, _REORDER, _DUPLICATE = range(3)  # events by number; what is left is corruption
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(us|ms|s)")
_PER_SECOND = {"us": 1e6, "ms": 1e3, "s": 1.0}


class ImpairmentError(ValueError):
    """The text describes no possible impairment; str() is one sentence."""


@dataclass(frozen=True, slots=True)
class ImpairmentConfig:
    """`loss`, `reorder`, `duplicate`, `corrupt`: probabilities, 0 to 1, for each wire packet. At most one of
    the four events hits a packet, so that their sum is 1 at most. `delay` in seconds holds for every packet.
    `jitter`: each frame is delayed by a further 0 to `jitter` seconds, uniformly distributed; the order is
    kept, as in a queue. With a `gemodel` losses are its, and `loss` is 0."""

    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    seed: int = 1
    gemodel: GilbertElliott | None = None

    @property
    def lost(self) -> float:
        """The share that is lost in the long run."""
        return self.loss if self.gemodel is None else self.gemodel.loss


@dataclass(slots=True)
class ImpairmentCounters:
    """Wire packets of one direction: all that entered, and those that an event hit."""

    packets: int = 0
    lost: int = 0
    reordered: int = 0
    duplicated: int = 0
    corrupted: int = 0
    overflowed: int = 0  # dropped because LIMIT packets were in transit


def parse(text: str) -> ImpairmentConfig:
    """'loss=0.01,reorder=0.02,delay=1ms,seed=7'; loss may be gemodel:p,r,1-h,1-k. An empty value is 0. Raises
    ImpairmentError."""
    known = [field.name for field in fields(ImpairmentConfig) if field.name != "gemodel"]
    given: dict[str, float] = {}
    gemodel = None
    for word in re.split(r",(?![\d.])", text):
        name, equals, value = word.partition("=")
        if name not in known or not equals:
            raise ImpairmentError(f"--impair: {word!r} is not NAME=VALUE with a name of {', '.join(known)}")
        if name == "loss" and value.startswith(_GEMODEL):
            gemodel = _gemodel(value)
        else:
            given[name] = _value(name, value or ("0s" if name in ("delay", "jitter") else "0"))
    seed = int(given.pop("seed", 1))
    config = ImpairmentConfig(**given, seed=seed, gemodel=gemodel)
    total = config.loss + config.reorder + config.duplicate + config.corrupt
    if total > 1:
        raise ImpairmentError(f"--impair: the chances add up to {total:g}; make them 1 at most")
    return config


def _gemodel(text: str) -> GilbertElliott:
    chances = [_value("loss", each) for each in text.removeprefix(_GEMODEL).split(",")]
    if not 1 <= len(chances) <= 4 or not sum(chances[:2]):
        raise ImpairmentError(f"--impair: loss={text} is not gemodel:p,r,1-h,1-k; write gemodel:0.01,0.3")
    p, r, *lost = (*chances, 1 - chances[0]) if len(chances) == 1 else chances
    return GilbertElliott(p, r, *lost)


def _value(name: str, text: str) -> float:
    if name in ("delay", "jitter"):
        duration = _DURATION.fullmatch(text)
        if duration is None:
            raise ImpairmentError(f"--impair: {name}={text} is no duration; write it as 500us, 1ms or 0.2s")
        seconds = float(duration[1]) / _PER_SECOND[duration[2]]
        if seconds > DELAY_MAX_S:
            raise ImpairmentError(f"--impair: {name}={text} is more than {DELAY_MAX_S:g} s; make it shorter")
        return seconds
    try:
        value = int(text) if name == "seed" else float(text)
    except ValueError:
        value = -1
    if not value >= 0 or (name != "seed" and not value <= 1):
        allowed = "a whole number" if name == "seed" else "a chance from 0 to 1"
        raise ImpairmentError(f"--impair: {name}={text} is not {allowed}")
    return value


@dataclass(slots=True)
class _InTransit:
    """Packets [start, stop) of a frame, which arrive at time `at`."""

    frame: WireFrame
    start: int
    stop: int
    at: float = 0.0


class ImpairedDirection:
    """One direction of the wire: `put` frames in, `take` those that have arrived."""

    def __init__(self, config: ImpairmentConfig, random_: random.Random) -> None:
        self.counters = ImpairmentCounters()
        self._config = config
        self._random = random_
        chances = (config.loss, config.reorder, config.duplicate, config.corrupt)
        self._events = WireEvents(chances, config.gemodel, random_)
        self._entered = 0  # packets so far, without overflowed ones
        # A heap of reordered packets: `_entered` at which each arrives, a tie-break, the packet.
        self._reordered: list[tuple[int, int, _InTransit]] = []
        self._reorder_deadline = 0.0
        self._queue: deque[_InTransit] = deque()  # in the order of arrival
        self._queued = 0  # packets in `_queue`
        self._immediate = not (config.delay or config.jitter)

    def may_bypass(self, packets: int) -> bool:
        """Whether a frame of `packets` packets passes at once and unchanged, so that `put` is not needed."""
        return self._immediate and self._events.until >= packets and not (self._reordered or self._queue)

    def count_bypass(self, packets: int) -> None:
        """A frame of `packets` packets has passed without `put`."""
        self._events.until -= packets
        self._entered += packets
        self.counters.packets += packets

    def put(self, frame: WireFrame, now: float) -> None:
        """A frame enters the wire."""
        count = frame.packets
        self.counters.packets += count
        if self._queued + count > LIMIT:
            self.counters.overflowed += count
            return
        at = now + self._config.delay
        if self._config.jitter:
            at += self._random.random() * self._config.jitter
        if self._queue:
            at = max(at, self._queue[-1].at)
        start = 0
        while start < count:
            stop = min(count, start + self._events.until)
            if self._reordered:
                stop = min(stop, start + self._reordered[0][0] - self._entered)
            self._pass(_InTransit(frame, start, stop, at))
            if stop < count and self._events.until == 0:
                self._hit(_InTransit(frame, stop, stop + 1, at))
                stop += 1
            start = stop
            while self._reordered and self._reordered[0][0] <= self._entered:
                self._enqueue(replace(heapq.heappop(self._reordered)[2], at=at))

    def _pass(self, packets: _InTransit) -> None:
        """No event hits these packets."""
        count = packets.stop - packets.start
        if count:
            self._entered += count
            self._events.until -= count
            self._enqueue(packets)

    def _hit(self, packet: _InTransit) -> None:
        """An event hits this packet: draw which."""
        counters, which = self.counters, self._events.next()
        self._entered += 1
        if which == _LOSS:
            counters.lost += 1
        elif which == _REORDER:
            counters.reordered += 1
            due = self._entered + self._random.randrange(1, REORDER_DISTANCE_MAX + 1)
            heapq.heappush(self._reordered, (due, counters.reordered, packet))
            self._reorder_deadline = packet.at + REORDER_TIMEOUT_S
        elif which is None:
            self._enqueue(packet)
        elif which == _DUPLICATE:
            counters.duplicated += 1
            self._enqueue(packet)
            self._enqueue(replace(packet))
        else:
            counters.corrupted += 1
            one = packet.frame.slice(packet.start, packet.stop)
            if len(one.data) > ethernet.HEADER_BYTES:
                one = one.corrupted(self._random.randrange(len(one.data)), self._random.randrange(8))
            self._enqueue(_InTransit(one, 0, 1, packet.at))

    def _enqueue(self, packets: _InTransit) -> None:
        """Append to the queue. Packets that directly follow the last ones of their frame join them."""
        self._queued += packets.stop - packets.start
        if self._queue:
            last = self._queue[-1]
            if last.frame is packets.frame and last.stop == packets.start and last.at == packets.at:
                last.stop = packets.stop
                return
        self._queue.append(packets)

    def take(self, now: float) -> Iterator[WireFrame]:
        """The frames that have arrived, one after the other. Frames that the caller does not ask for stay."""
        if self._reordered and now >= self._reorder_deadline:
            while self._reordered:
                self._enqueue(replace(heapq.heappop(self._reordered)[2], at=now))
        queue = self._queue
        while queue and queue[0].at <= now:
            packets = queue.popleft()
            self._queued -= packets.stop - packets.start
            yield packets.frame.slice(packets.start, packets.stop)

    def put_back(self, frame: WireFrame, now: float) -> None:
        """Put the frame that was taken last at the head of the queue again."""
        self._queue.appendleft(_InTransit(frame, 0, frame.packets, now))
        self._queued += frame.packets

    def next_timeout(self) -> float | None:
        """When `take` has a frame next; None: the wire is empty."""
        first = self._queue[0].at if self._queue else None
        if self._reordered:
            return self._reorder_deadline if first is None else min(first, self._reorder_deadline)
        return first


class Impairment:
    """A Wire (nodes.nic.wire_port) in front of another. The caller calls `advance` before each poll of the
    NIC, and at the latest at `next_timeout`."""

    def __init__(self, wire: Wire, config: ImpairmentConfig, name: str) -> None:
        """`name` of the NIC, unique in the network: NICs with the same seed must not see the same events."""
        self._wire = wire
        self.rx = ImpairedDirection(config, random.Random(f"{config.seed} {name} rx"))
        self.tx = ImpairedDirection(config, random.Random(f"{config.seed} {name} tx"))
        self._now = 0.0
        self._busy = False  # the wire behind refused a frame
        self._arrived: WireFrame | None = None  # the frame of the last peek, if it came through `rx`
        self._bypass_packets = 0  # else it is still on the wire behind: its packets

    def advance(self, now: float) -> bool:
        """The time is `now`: send the frames that are due. True: frames have arrived for the NIC, of which
        the descriptor of the wire behind does not tell."""
        self._now = now
        self._flush()
        due = self.rx.next_timeout()
        return self._arrived is not None or (due is not None and due <= now)

    def next_timeout(self) -> float | None:
        """When `advance` has something to do next; None: when a frame comes."""
        if self._arrived is not None:
            return self._now
        sending = self._now + _BUSY_RETRY_S if self._busy else self.tx.next_timeout()
        return min((t for t in (sending, self.rx.next_timeout()) if t is not None), default=None)

    # --- methods of a Wire

    def peek(self) -> RxFrame | None:
        if self._arrived is None:
            self._arrived = next(self.rx.take(self._now), None)
        for _ in range(_BATCH):
            if self._arrived is not None:
                return self._describe(self._arrived)
            behind = self._wire.peek()
            if behind is None:
                return None
            parsed = header_split.parse(behind.head, behind.length)
            gso_size = behind.gso_size if parsed.l4_start else 0
            packets = -(-(parsed.frame_bytes - parsed.header_bytes) // gso_size) if gso_size else 1
            if self.rx.may_bypass(packets):
                self._bypass_packets = packets
                return behind
            data = bytearray(behind.length)
            self._wire.receive([memoryview(data)])
            del data[parsed.frame_bytes :]
            header_bytes, good = parsed.header_bytes, behind.checksum_good
            self.rx.put(WireFrame(data, header_bytes, parsed.l4_start, gso_size, good), self._now)
            self._arrived = next(self.rx.take(self._now), None)
        return None

    def _describe(self, frame: WireFrame) -> RxFrame:
        return RxFrame(
            bytes(frame.data[:PEEK_BYTES]), len(frame.data), frame.gso_size, frame.checksum_partial
        )

    def receive(self, views: Sequence[memoryview]) -> None:
        if self._arrived is None:
            self.rx.count_bypass(self._bypass_packets)
            self._wire.receive(views)
            return
        rest = memoryview(self._arrived.data)
        for view in views:
            piece = rest[: len(view)]
            view[: len(piece)] = piece
            rest = rest[len(piece) :]
        self._arrived = None

    def drop(self) -> None:
        if self._arrived is None:
            self.rx.count_bypass(self._bypass_packets)
            self._wire.drop()
        self._arrived = None

    def send(self, header: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        if self._busy:
            self._flush()
            if self._busy:
                return False
        length = sum(len(view) for view in payload)
        packets = -(-length // offload.gso_size) if offload.gso_size else 1
        if self.tx.may_bypass(packets):
            sent = self._wire.send(header, payload, offload)
            if sent:
                self.tx.count_bypass(packets)
            return sent
        data = b"".join((header, *payload))
        gso_size = offload.gso_size if offload.gso_size < length else 0
        frame = WireFrame(data, len(header), offload.csum_start, gso_size, offload.csum_start > 0)
        self.tx.put(frame, self._now)
        self._flush()
        return True

    def _flush(self) -> None:
        """Send on the wire behind what has arrived at this one's end."""
        self._busy = False
        for frame in self.tx.take(self._now):
            if not self._transmit(frame):
                self._busy = True
                self.tx.put_back(frame, self._now)
                return

    def _transmit(self, frame: WireFrame) -> bool:
        at = frame.header_bytes
        offload = TxOffload()
        if frame.checksum_partial:
            offload = TxOffload(at, frame.gso_size, frame.l4_start, tcp.CHECKSUM_OFFSET, frame.ipv6)
        try:
            return self._wire.send(bytes(frame.data[:at]), [memoryview(frame.data)[at:]], offload)
        except OSError:  # the link is down: the frame is lost there
            return True

    def overruns(self) -> int:
        return self._wire.overruns()

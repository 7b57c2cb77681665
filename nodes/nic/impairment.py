"""A bad wire between the wire and the NIC, both ways: it loses, duplicates, reorders, corrupts and delays.

In: frames of the real wire and frames that the NIC sends; `now`. Out: what survives, as frames. It works on
wire packets: a super-packet is cut where something happens to one of its packets and passes whole, often
without being touched, where nothing does. Owns what is under way: it is the wire, before any DMA. Everything
random comes from the seed. Source: tc-netem(8) for the words; smoltcp's fault injector for the manners.
"""

from __future__ import annotations

import heapq
import math
import random
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from nodes.nic import header_split
from nodes.nic.af_packet import PEEK_BYTES, Arriving, Departing
from nodes.nic.wire_frame import WireFrame
from nodes.nic.wire_port import Wire
from nodes.wire import ethernet, tcp

UNDER_WAY_MAX = 32768  # packets in one direction; more are lost, as in a switch
OVERTAKEN_MAX = 8  # packets that may overtake a late one
LATE_S = 0.001  # after which a late packet comes though nothing overtook it
DELAY_MAX_S = 10.0  # each way at each NIC, so 40 s of round trip: beyond any network
_BATCH = 64  # frames taken from the real wire at once
_BLOCKED_S = 0.001  # until a busy link is tried again
_NEVER = 1 << 62
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(us|ms|s)")
_PER_SECOND = {"us": 1e6, "ms": 1e3, "s": 1.0}


class ImpairmentError(ValueError):
    """What was asked for cannot be; str() is one sentence."""


@dataclass(frozen=True, slots=True)
class Chances:
    """Of each wire packet, 0 to 1; at most one of the four happens to it, so they add up to 1 at most.
    `delay` in seconds is every packet's; `jitter` is added to it evenly between 0 and so many seconds and
    keeps the order, as a queue does."""

    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class ImpairmentCounters:
    """Wire packets of one direction: that entered, and what became of those that did not just pass."""

    packets: int = 0
    lost: int = 0
    reordered: int = 0
    duplicated: int = 0
    corrupted: int = 0
    overflowed: int = 0  # more were under way than a wire holds


def parse(text: str) -> Chances:
    """'loss=0.01,reorder=0.02,delay=1ms,seed=7'; an empty value is 0. Raises ImpairmentError."""
    known = {field.name: field.type for field in fields(Chances)}
    given: dict[str, float] = {}
    for word in text.split(","):
        name, equals, value = word.partition("=")
        if name not in known or not equals:
            raise ImpairmentError(f"--impair: {word!r} is not NAME=VALUE with a name of {', '.join(known)}")
        given[name] = _value(name, value or ("0s" if name in ("delay", "jitter") else "0"))
    seed = int(given.pop("seed", 1))
    chances = Chances(**given, seed=seed)
    sum_ = chances.loss + chances.reorder + chances.duplicate + chances.corrupt
    if sum_ > 1:
        raise ImpairmentError(f"--impair: the chances add up to {sum_:g}; make them 1 at most")
    return chances


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
class _Run:
    """Packets [start, stop) of a frame, which arrive at `at`."""

    frame: WireFrame
    start: int
    stop: int
    at: float = 0.0


class Lane:
    """One direction: frames in, those that arrive out, when they arrive."""

    def __init__(self, chances: Chances, random_: random.Random) -> None:
        self.counters = ImpairmentCounters()
        self._chances = chances
        self._random = random_
        self._kinds = (chances.loss, chances.reorder, chances.duplicate, chances.corrupt)
        self._any = math.fsum(self._kinds)
        self._until_event = self._draw()
        self._passed = 0  # packets so far, which late ones count
        self._late: list[tuple[int, int, _Run]] = []  # heap: when `_passed` is so high, tie-break
        self._late_until = 0.0
        self._under_way: deque[_Run] = deque()
        self._waiting = 0  # packets in it
        self._straight = not (chances.delay or chances.jitter)

    def _draw(self) -> int:
        """Packets that pass until something happens to one: the geometric distribution."""
        if self._any <= 0:
            return _NEVER
        return 0 if self._any >= 1 else int(math.log(1 - self._random.random()) / math.log1p(-self._any))

    def passes(self, packets: int) -> bool:
        """Whether a frame of so many packets may go straight on, untouched."""
        return self._straight and self._until_event >= packets and not (self._late or self._under_way)

    def passed(self, packets: int) -> None:
        """It has."""
        self._until_event -= packets
        self._passed += packets
        self.counters.packets += packets

    def put(self, frame: WireFrame, now: float) -> None:
        """A frame enters the wire."""
        count = frame.packets
        self.counters.packets += count
        if self._waiting + count > UNDER_WAY_MAX:
            self.counters.overflowed += count
            return
        at = now + self._chances.delay
        if self._chances.jitter:
            at += self._random.random() * self._chances.jitter
        if self._under_way:
            at = max(at, self._under_way[-1].at)
        start = 0
        while start < count:
            stop = min(count, start + self._until_event)
            if self._late:
                stop = min(stop, start + self._late[0][0] - self._passed)
            self._pass_on(_Run(frame, start, stop, at))
            if stop < count and self._until_event == 0:
                self._happen(_Run(frame, stop, stop + 1, at))
                stop += 1
            start = stop
            while self._late and self._late[0][0] <= self._passed:
                self._arrive(replace(heapq.heappop(self._late)[2], at=at))

    def _pass_on(self, run: _Run) -> None:
        count = run.stop - run.start
        if count:
            self._passed += count
            self._until_event -= count
            self._arrive(run)

    def _happen(self, run: _Run) -> None:
        """Something happens to one packet."""
        self._until_event = self._draw()
        counters = self.counters
        lost, reordered, duplicated, _ = self._kinds
        which = self._random.random() * self._any
        self._passed += 1
        if which < lost:
            counters.lost += 1
        elif which < lost + reordered:
            counters.reordered += 1
            due = self._passed + self._random.randrange(1, OVERTAKEN_MAX + 1)
            heapq.heappush(self._late, (due, counters.reordered, run))
            self._late_until = run.at + LATE_S
        elif which < lost + reordered + duplicated:
            counters.duplicated += 1
            self._arrive(run)
            self._arrive(replace(run))
        else:
            counters.corrupted += 1
            one = run.frame.run(run.start, run.stop)
            if len(one.data) > ethernet.HEADER_BYTES:
                one = one.corrupted(self._random.randrange(len(one.data)), self._random.randrange(8))
            self._arrive(_Run(one, 0, 1, run.at))

    def _arrive(self, run: _Run) -> None:
        """Behind what is under way, in one frame with it where nothing came between."""
        self._waiting += run.stop - run.start
        if self._under_way:
            last = self._under_way[-1]
            if last.frame is run.frame and last.stop == run.start and last.at == run.at:
                last.stop = run.stop
                return
        self._under_way.append(run)

    def take(self, now: float) -> Iterator[WireFrame]:
        """Frames that have arrived. What a caller does not ask for stays."""
        if self._late and now >= self._late_until:
            while self._late:
                self._arrive(replace(heapq.heappop(self._late)[2], at=now))
        under_way = self._under_way
        while under_way and under_way[0].at <= now:
            run = under_way.popleft()
            self._waiting -= run.stop - run.start
            yield run.frame.run(run.start, run.stop)

    def put_back(self, frame: WireFrame, now: float) -> None:
        """The frame that was taken last finds no way on: it is still the first."""
        self._under_way.appendleft(_Run(frame, 0, frame.packets, now))
        self._waiting += frame.packets

    def next_timeout(self) -> float | None:
        """When `take` will have something."""
        first = self._under_way[0].at if self._under_way else None
        if self._late:
            return self._late_until if first is None else min(first, self._late_until)
        return first


class Impairment:
    """A wire (nodes.nic.wire_port.Wire) made of a better one. `advance` before each turn."""

    def __init__(self, wire: Wire, chances: Chances, name: str) -> None:
        """`name`: the host's, so that hosts with one seed do not have one fate."""
        self._wire = wire
        self.rx = Lane(chances, random.Random(f"{chances.seed} {name} rx"))
        self.tx = Lane(chances, random.Random(f"{chances.seed} {name} tx"))
        self._now = 0.0
        self._blocked = False
        self._straight = 0  # packets of the frame last peeked at, if it is still on the real wire
        self._arrived: WireFrame | None = None  # else it is this one
        self._first = memoryview(bytearray(PEEK_BYTES))

    def advance(self, now: float) -> bool:
        """The time is `now`: send what is due. Whether frames arrived that the wire's descriptor does not
        tell of."""
        self._now = now
        self._flush()
        due = self.rx.next_timeout()
        return self._arrived is not None or (due is not None and due <= now)

    def next_timeout(self) -> float | None:
        if self._arrived is not None:
            return self._now
        sending = self._now + _BLOCKED_S if self._blocked else self.tx.next_timeout()
        return min((t for t in (sending, self.rx.next_timeout()) if t is not None), default=None)

    # --- what the NIC asks of a wire

    def peek(self) -> Arriving | None:
        if self._arrived is None:
            self._arrived = next(self.rx.take(self._now), None)
        for _ in range(_BATCH):
            if self._arrived is not None:
                return self._show(self._arrived)
            arriving = self._wire.peek()
            if arriving is None:
                return None
            parsed = header_split.parse(arriving.first, arriving.length)
            gso_size = arriving.gso_size if parsed.l4_start else 0
            packets = -(-(parsed.frame_bytes - parsed.header_bytes) // gso_size) if gso_size else 1
            if self.rx.passes(packets):
                self._straight = packets
                return arriving
            data = bytearray(arriving.length)
            self._wire.receive([memoryview(data)])
            del data[parsed.frame_bytes :]
            header_bytes, good = parsed.header_bytes, arriving.checksum_good
            self.rx.put(WireFrame(data, header_bytes, parsed.l4_start, gso_size, good), self._now)
            self._arrived = next(self.rx.take(self._now), None)
        return None

    def _show(self, frame: WireFrame) -> Arriving:
        seen = frame.data[: len(self._first)]
        self._first[: len(seen)] = seen
        return Arriving(self._first, len(frame.data), frame.gso_size, frame.unfinished)

    def receive(self, views: Sequence[memoryview]) -> None:
        if self._arrived is None:
            self.rx.passed(self._straight)
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
            self.rx.passed(self._straight)
            self._wire.drop()
        self._arrived = None

    def send(self, headers: bytes, payload: Sequence[memoryview], how: Departing) -> bool:
        if self._blocked:
            self._flush()
            if self._blocked:
                return False
        length = sum(len(view) for view in payload)
        packets = -(-length // how.gso_size) if how.gso_size else 1
        if self.tx.passes(packets):
            sent = self._wire.send(headers, payload, how)
            if sent:
                self.tx.passed(packets)
            return sent
        data = b"".join((headers, *payload))
        gso_size = how.gso_size if how.gso_size < length else 0
        frame = WireFrame(data, len(headers), how.csum_start, gso_size, how.csum_start > 0)
        self.tx.put(frame, self._now)
        self._flush()
        return True

    def _flush(self) -> None:
        """Send what has come to the end of this wire on the real one."""
        self._blocked = False
        for frame in self.tx.take(self._now):
            if not self._transmit(frame):
                self._blocked = True
                self.tx.put_back(frame, self._now)
                return

    def _transmit(self, frame: WireFrame) -> bool:
        at = frame.header_bytes
        how = Departing()
        if frame.unfinished:
            how = Departing(at, frame.gso_size, frame.l4_start, tcp.CHECKSUM_OFFSET, frame.ipv6)
        try:
            return self._wire.send(bytes(frame.data[:at]), [memoryview(frame.data)[at:]], how)
        except OSError:  # the link is down: lost there
            return True

    def overruns(self) -> int:
        return self._wire.overruns()

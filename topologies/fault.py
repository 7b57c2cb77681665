"""Faults on purpose: what is hurt, and when.

    link-down:h1-eth0,at=2s,for=500ms

In: an entry of a command line or of a schedule, what there is to be hurt, a seed. Out: `Fault`s, which have
been checked, and their `Step`s in the order of time. Owns nothing. A time is one since the measured part of a
run began; from a range, as 2s..5s, a random number of the seed draws one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from topologies import quantity
from topologies.link import RATE_MAX_BPS, RATE_MIN_BPS
from topologies.names import listed
from topologies.topology import Topology
from topologies.topology_error import TopologyError

FLAP_MAX = 1000
SLOWER_MAX = 1000
HOST_SLOW = "host-slow"
RING_MAX = 1 << 20  # the NIC's own limit is its driver's, which tells it when it is asked

_T = TypeVar("_T")


class FaultEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault as it is written."""

    kind: str
    target: str
    at: str
    for_: str = msgspec.field(name="for", default="")
    until: str = ""
    value: str = ""

    def __str__(self) -> str:
        rest = {"at": self.at, "for": self.for_, "until": self.until, "value": self.value}
        said = [f"{name}={text}" for name, text in rest.items() if text]
        return f"{self.kind}:{','.join([self.target, *said])}"


@dataclass(frozen=True, slots=True)
class Kind:
    """`value`: parses the fault's value; None: it has none. `lasts`: whether it is said how long. `words`:
    what happens when it begins and when it ends; "" if nothing does."""

    target: Literal["link", "nodes", "host", "rank"]
    value: Callable[[str], int] | None
    lasts: Literal["must", "may", "no"]
    words: tuple[str, str]
    meaning: str


def _rate(text: str) -> int:
    rate = quantity.bit_rate(text)
    if not RATE_MIN_BPS <= rate <= RATE_MAX_BPS:
        raise TopologyError(f"rate {text} is outside {RATE_MIN_BPS} to {RATE_MAX_BPS} bit/s; choose another")
    return rate


def _number(text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= largest:
        raise TopologyError(f"value {text!r} is no number from 1 to {largest}; write one in decimal digits")
    return int(text)


def _percent(text: str) -> int:
    """1 to 100, of `90%` or 0.9."""
    percent = round(100 * quantity.chance(text))
    if not percent:
        raise TopologyError(f"value {text!r} is less than 1 % of the memory; write for example 90%")
    return percent


KINDS = {
    "link-down": Kind(
        "link", None, "may", ("down", "up"), "The link is down at both ends, then up again."
    ),
    "flap": Kind(
        "link",
        lambda text: _number(text, FLAP_MAX),
        "must",
        ("down", "up"),
        "The link is down for this long, up for as long, and so on: down so many times.",
    ),
    "rate": Kind(
        "link",
        _rate,
        "may",
        ("other rate", "own rate"),
        "The link has this rate in both directions, then its own again.",
    ),
    "partition": Kind(
        "nodes",
        None,
        "may",
        ("cut off", "joined"),
        "Every link with one end among these nodes is down: they are cut off from the others.",
    ),
    "endpoint-killed": Kind(
        "host",
        None,
        "may",
        ("killed", "started again"),
        "SIGKILL of the host's endpoint. A measuring run ends; in a run of up the host is down, and boots "
        "after this long.",
    ),
    "application-killed": Kind("rank", None, "no", ("killed", ""), "SIGKILL of the rank. The run ends."),
    "application-stopped": Kind(
        "rank",
        None,
        "must",
        ("stopped", "goes on"),
        "The rank and its accelerator stand still (SIGSTOP), then go on: a straggler.",
    ),
    "rx-ring": Kind(
        "host",
        lambda text: _number(text, RING_MAX),
        "may",
        ("shrunk", "as before"),
        "The rx rings of the host's NICs, and with them what page pools have posted, are as long as that, "
        "then as before.",
    ),
    "pool": Kind(
        "host",
        _percent,
        "may",
        ("shrunk", "as before"),
        "Page pools of the host's rx queues have so much less of bound dma-bufs, then all again.",
    ),
    "accelerator-slow": Kind(
        "rank",
        lambda text: _number(text, SLOWER_MAX),
        "may",
        ("slower", "as before"),
        "Copies and reductions of the rank's accelerator take so many times as long: a straggler.",
    ),
    HOST_SLOW: Kind(
        "host",
        lambda text: _number(text, SLOWER_MAX),
        "may",
        ("slower", "as before"),
        "The simulated host's CPU takes so many times as long for packets, calls and copies.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scope:
    """What there is to be hurt. `ranks`: how many, 0 without any; `standing`: a run of `up`."""

    topology: Topology
    ranks: int = 0
    standing: bool = False

    def choices(self, kind: Kind) -> list[str]:
        """The words that a target of that kind may be, or be made of."""
        links = (end.interface for link in self.topology.links for end in link.ends)
        hosts = [host.name for host in self.topology.hosts]
        match kind.target:
            case "link":
                return list(links)
            case "nodes":
                return hosts + [switch.name for switch in self.topology.switches]
            case "host":
                return hosts
            case "rank":
                return [f"rank{number}" for number in range(self.ranks)]


@dataclass(frozen=True, slots=True)
class Fault:
    """A checked one. It begins at some time of `at_s` (the first and the last possible), and ends after
    `lasts_s` or at `until_s`; never, if both are None. `links`: names of those that it hurts; `target`: of
    the host or the rank."""

    text: str
    kind: str
    target: str
    links: tuple[str, ...]
    at_s: tuple[float, float]
    lasts_s: float | None
    until_s: float | None
    value: int


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at a time: a fault begins, or ends. A flap does several times."""

    at_s: float
    fault: Fault
    begins: bool

    @property
    def action(self) -> str:
        """What it does, in a word or two."""
        return KINDS[self.fault.kind].words[0 if self.begins else 1]


def parse(text: str) -> FaultEntry:
    """KIND:TARGET,at=TIME,for=TIME. Raises TopologyError."""
    kind, _, rest = text.partition(":")
    target, *pairs = (part.strip() for part in rest.split(","))
    fields = {"at": "at", "for": "for_", "until": "until", "value": "value"}
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if name not in fields or not equals or not value:
            raise TopologyError(f"{pair!r} is none of at=, for=, until= and value= with something behind it")
        if fields[name] in given:
            raise TopologyError(f"{name}= is there twice; give it once")
        given[fields[name]] = value
    if not target or "at" not in given:
        raise TopologyError("it is written KIND:TARGET,at=TIME, as link-down:h1-eth0,at=2s,for=500ms")
    return FaultEntry(kind.strip(), target, **given)


class Event(msgspec.Struct, frozen=True):
    """A step as it happened. `asked_s` and `actual_s` since the measured part began, `time_s` Unix time; None
    if the run had ended before."""

    fault: str
    action: str
    asked_s: float
    actual_s: float | None = None
    time_s: float | None = None


class _Checking:
    """Of one entry. `problems`: a sentence by the field that it is about."""

    def __init__(self, entry: FaultEntry, scope: Scope) -> None:
        self.problems: dict[str, str] = {}
        self._entry, self._scope = entry, scope

    def fault(self) -> Fault | None:
        entry = self._entry
        kind = KINDS.get(entry.kind)
        if kind is None:
            self.problems["kind"] = f"there is no fault {entry.kind!r}; choose from {', '.join(KINDS)}"
            return None
        at_s = self._read("at", _span) or (0.0, 0.0)
        lasts_s, until_s = self._end(kind, at_s)
        return Fault(
            text=str(entry),
            kind=entry.kind,
            target=entry.target,
            links=tuple(self._links(kind)),
            at_s=at_s,
            lasts_s=lasts_s,
            until_s=until_s,
            value=self._value(kind),
        )

    def _links(self, kind: Kind) -> Sequence[str]:
        choices = self._scope.choices(kind)
        what = {"nodes": "host or switch"}.get(kind.target, kind.target)
        words = self._entry.target.split("+") if kind.target == "nodes" else [self._entry.target]
        for word in words:
            if word not in choices:
                remedy = f"choose from {listed(choices)}" if choices else "`up` has no ranks"
                self.problems["target"] = f"there is no {what} {word!r}; {remedy}"
                return ()
        links = self._scope.topology.links
        if kind.target == "link":
            return [link.name for link in links if words[0] in (link.a.interface, link.b.interface)]
        if kind.target != "nodes":
            return ()
        cut = [link.name for link in links if (link.a.node in words) != (link.b.node in words)]
        if not cut:
            self.problems["target"] = (
                f"no link leads from {self._entry.target} to another node; leave some out"
            )
        return cut

    def _end(self, kind: Kind, at_s: tuple[float, float]) -> tuple[float | None, float | None]:
        entry = self._entry
        lasts_s = self._read("for", quantity.duration) if entry.for_ else None
        until_s = self._read("until", quantity.duration) if entry.until else None
        if entry.for_ and entry.until:
            self.problems["until"] = "for and until are both given; give one of them"
        if entry.until and entry.kind == "flap":
            self.problems["until"] = "a flap has no until; give for and value"
        if (entry.for_ or entry.until) and not self._may_end(kind):
            field = "for" if entry.for_ else "until"
            self.problems[field] = f"{entry.kind} ends the run, so it has no {field}; leave it out"
        if kind.lasts == "must" and not (entry.for_ or entry.until):
            self.problems["kind"] = f"{entry.kind} has no for; say how long"
        if lasts_s == 0:
            self.problems["for"] = f"for {entry.for_} is no time; write for example 500ms"
        if until_s is not None and until_s <= at_s[1]:
            self.problems["until"] = f"until {entry.until} is not after {entry.at}; write a later time"
        return lasts_s, until_s

    def _may_end(self, kind: Kind) -> bool:
        return kind.lasts != "no" and (self._entry.kind != "endpoint-killed" or self._scope.standing)

    def _value(self, kind: Kind) -> int:
        entry = self._entry
        if kind.value is None:
            if entry.value:
                self.problems["value"] = f"{entry.kind} has no value; leave it out"
            return 0
        if not entry.value:
            self.problems["kind"] = f"{entry.kind} has no value; give one, as docs/faults.md says"
            return 0
        return self._read("value", kind.value) or 0

    def _read(self, field: str, parse: Callable[[str], _T]) -> _T | None:
        text = getattr(self._entry, {"for": "for_"}.get(field, field))
        try:
            return parse(text)
        except TopologyError as wrong:
            self.problems[field] = str(wrong)
            return None


def check(entry: FaultEntry, scope: Scope) -> Fault | dict[str, str]:
    """The fault, or what is wrong with it: a sentence by the field that it is about."""
    checking = _Checking(entry, scope)
    fault = checking.fault()
    return checking.problems if checking.problems or fault is None else fault


def _span(text: str) -> tuple[float, float]:
    """Seconds of 2s or 2s..5s, the first and the last."""
    first, dots, last = text.partition("..")
    earliest = quantity.duration(first)
    latest = quantity.duration(last) if dots else earliest
    if latest < earliest:
        raise TopologyError(f"time {text!r} ends before it begins; write for example 2s..5s")
    return earliest, latest


def steps(faults: Sequence[Fault], seed: int) -> tuple[Step, ...]:
    """In the order of time. Each fault draws by itself, so that one more changes no other's time."""
    found: list[Step] = []
    for number, fault in enumerate(faults):
        at_s = random.Random(f"{seed} fault {number}").uniform(*fault.at_s)
        found += _steps(fault, at_s)
    return tuple(sorted(found, key=lambda step: step.at_s))


def _steps(fault: Fault, at_s: float) -> Iterator[Step]:
    lasts_s = fault.lasts_s
    if fault.until_s is not None:
        lasts_s = fault.until_s - at_s
    for _ in range(fault.value if fault.kind == "flap" else 1):
        yield Step(at_s, fault, begins=True)
        if lasts_s is not None:
            yield Step(at_s + lasts_s, fault, begins=False)
            at_s += 2 * lasts_s

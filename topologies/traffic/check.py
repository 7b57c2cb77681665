"""What background traffic means in a network: who sends to whom, how much.

In: an entry, the topology, a seed. Out: `Traffic`, checked, and who receives it; or what is wrong, a sentence
by the field that it is about. Owns nothing. A host's link is that of its first NIC.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from topologies import quantity
from topologies.link import RATE_MAX_BPS, RATE_MIN_BPS
from topologies.names import listed
from topologies.topology import Topology
from topologies.topology_error import TopologyError
from topologies.traffic.entry import Kind, Protocol, TrafficEntry
from topologies.traffic.flow_sizes import Points, flow_sizes, mean_bytes

DEFAULT_SIZES, DEFAULT_ON_S, DEFAULT_OFF_S = "web-search", 0.01, 0.04
FLOWS_PER_S_MAX = 2000.0  # of a host: more than its process could start
_PERIOD_S = 0.001, 3600.0
KERNEL_NAME = "-kernel"  # a host's name may be written with it, as /etc/hosts has the address

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sender:
    """A host that sends at `rate_bps`, of on-off while it is on. `receivers`: all those it sends to; none:
    one is drawn."""

    host: str
    rate_bps: float
    receivers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Traffic:
    """A checked one. `sizes`: of poisson; `on_s` and `off_s`: of on-off."""

    text: str
    kind: Kind
    protocol: Protocol
    senders: tuple[Sender, ...]
    sizes: Points
    on_s: float
    off_s: float


def check(entry: TrafficEntry, topology: Topology) -> Traffic | dict[str, str]:
    """The traffic, or what is wrong with it: a sentence by the field that it is about."""
    checking = _Checking(entry, topology)
    traffic = checking.traffic()
    return checking.problems or traffic


def drawn(traffic: Sequence[Traffic], topology: Topology, seed: int) -> tuple[Traffic, ...]:
    """With a receiver for each sender that names none. Each entry draws by itself, so that one more changes
    no other's."""
    hosts = [host.name for host in topology.hosts]
    return tuple(_drawn(each, hosts, f"{seed} traffic {number}") for number, each in enumerate(traffic))


def _drawn(traffic: Traffic, hosts: Sequence[str], seed: str) -> Traffic:
    """Where all send, each host receives from one: a random permutation that is a single cycle (Sattolo)."""
    chance = random.Random(seed)
    senders = traffic.senders
    if all(sender.receivers for sender in senders):
        return traffic
    if len(senders) == len(hosts):
        to = list(hosts)
        for at in range(len(to) - 1, 0, -1):
            other = chance.randrange(at)
            to[at], to[other] = to[other], to[at]
        found = dict(zip(hosts, to, strict=True))
    else:
        found = {each.host: chance.choice([name for name in hosts if name != each.host]) for each in senders}
    given = tuple(replace(each, receivers=(found[each.host],)) for each in senders)
    return replace(traffic, senders=given)


class _Checking:
    """Of one entry. `problems`: a sentence by the field that it is about."""

    def __init__(self, entry: TrafficEntry, topology: Topology) -> None:
        self.problems: dict[str, str] = {}
        self._entry, self._topology = entry, topology
        self._hosts = [host.name for host in topology.hosts]

    def traffic(self) -> Traffic:
        entry = self._entry
        receivers = self._named("to")
        senders = self._named("from") or [host for host in self._hosts if host not in receivers]
        self._check_words()
        sizes = () if entry.kind != "poisson" else self._read("sizes", flow_sizes, DEFAULT_SIZES) or ()
        found = tuple(
            Sender(host, self._rate_bps(host), tuple(each for each in receivers if each != host))
            for host in senders
        )
        if receivers:
            found = tuple(each for each in found if each.receivers)
        if not found:
            self._say("to", "nobody is left who sends to another host; name others in from or to")
        if sizes and found:
            self._check_flows(max(each.rate_bps for each in found), sizes)
        return Traffic(
            str(entry), entry.kind, entry.protocol, found, sizes,
            self._duration("on", DEFAULT_ON_S), self._duration("off", DEFAULT_OFF_S),
        )  # fmt: skip

    def _named(self, field: str) -> list[str]:
        text = getattr(self._entry, {"from": "from_"}.get(field, field))
        names = [word.strip().removesuffix(KERNEL_NAME) for word in text.split("+")] if text else []
        for name in names:
            if name not in self._hosts:
                self._say(field, f"there is no host {name!r}; choose from {listed(self._hosts)}")
            if names.count(name) > 1:
                self._say(field, f"host {name} is there twice; name it once")
        return [name for name in names if name in self._hosts]

    def _rate_bps(self, host: str) -> float:
        entry = self._entry
        if entry.rate and entry.load is not None:
            self._say("load", "rate and load are both given; give one of them")
        if not entry.rate and entry.load is None:
            self._say("kind", f"{entry.kind} has no rate and no load; give one, as load=0.3")
            return 0.0
        if entry.rate:
            rate = self._read("rate", quantity.bit_rate) or RATE_MIN_BPS
            if not RATE_MIN_BPS <= rate <= RATE_MAX_BPS:
                self._say("rate", f"rate {entry.rate} is outside {RATE_MIN_BPS} to {RATE_MAX_BPS} bit/s")
            return float(rate)
        load = self._read("load", quantity.chance) or 0.0
        if not load and "load" not in self.problems:
            self._say("load", f"load {entry.load} is no traffic; give more than 0, up to 1")
        return load * self._link_bps(host)

    def _link_bps(self, host: str) -> int:
        interface = self._topology.host(host).nics[0].interface
        for link in self._topology.links:
            for end in link.ends:
                if end.interface == interface and (rate_bps := link.sent_by(end).rate_bps):
                    return rate_bps
        self._say(
            "load",
            f"load is a share of a link's rate, and the link of {interface} has none; give it one (--link "
            "1Gbit), or give rate instead of load",
        )
        return 0

    def _duration(self, field: str, default_s: float) -> float:
        found = self._read(field, quantity.duration) if getattr(self._entry, field) else default_s
        if found is not None and not _PERIOD_S[0] <= found <= _PERIOD_S[1]:
            self._say(field, f"{field} {getattr(self._entry, field)} is outside 1ms to 3600s; choose another")
        return found or default_s

    def _check_words(self) -> None:
        """What the kind does not have."""
        entry = self._entry
        for field, kind in (("sizes", "poisson"), ("on", "on-off"), ("off", "on-off")):
            if getattr(entry, field) and entry.kind != kind:
                self._say(field, f"{entry.kind} has no {field}; leave it out, or choose {kind}")
        if entry.protocol == "udp" and entry.kind == "poisson":
            self._say("protocol", "poisson sends flows that end, which are tcp; leave protocol out")

    def _check_flows(self, rate_bps: float, sizes: Points) -> None:
        per_s = rate_bps / 8 / mean_bytes(sizes)
        if per_s > FLOWS_PER_S_MAX:
            self._say(
                "kind",
                f"these are {per_s:.0f} flows a second of a host, and {FLOWS_PER_S_MAX:.0f} are the most; "
                "ask for less, or for larger sizes",
            )

    def _read(self, field: str, parse: Callable[[str], _T], default: str = "") -> _T | None:
        said = getattr(self._entry, field)
        try:
            return parse(default if said in ("", None) else str(said))
        except TopologyError as wrong:
            self._say(field, str(wrong))
            return None

    def _say(self, field: str, sentence: str) -> None:
        self.problems.setdefault(field, sentence)

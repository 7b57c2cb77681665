"""What a run does now: the differences of two readings, a second.

In: two RunCounts, the topology's interfaces by host. Out: a row a host. Pure; owns nothing. A counter that is
smaller than before has begun anew, with an endpoint that was started again: its rate is not known then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from commands.live.counters import EndpointCount, HostCount, RunCount, State
from topologies.topology import Topology

BITS, MEGA, GIGA = 8, 1e6, 1e9


@dataclass(frozen=True, slots=True)
class HostRates:
    """None: not known. `goodput_*`: payload by the endpoint; `link_*`: everything that the host's interfaces
    carried. `drops_per_s`: of the queues at both ends of the host's links."""

    name: str
    state: State
    goodput_in_mbps: float | None = None
    goodput_out_mbps: float | None = None
    link_in_mbps: float | None = None
    link_out_mbps: float | None = None
    retransmits_per_s: float | None = None
    linux_retransmits_per_s: float | None = None
    drops_per_s: float | None = None
    pool_percent: float | None = None
    pool_peak_percent: float | None = None
    dram_GB_per_s: float | None = None
    cpu_percent: float | None = None


@dataclass(frozen=True, slots=True)
class RunRates:
    """`interval_s`: between the two readings. `cpu_percent` and `stolen_percent`: of all cores of the
    machine. `other_drops_per_s`: of queues that are at no host's link."""

    interval_s: float
    hosts: tuple[HostRates, ...]
    other_drops_per_s: float | None
    cores: int
    cpu_percent: float
    stolen_percent: float


def links_of(topology: Topology) -> dict[str, frozenset[str]]:
    """By host, the interfaces at both ends of its links."""
    found: dict[str, frozenset[str]] = {}
    for host in topology.hosts:
        links = [link for link in topology.links if host.name in [end.node for end in link.ends]]
        found[host.name] = frozenset(end.interface for link in links for end in link.ends)
    return found


def run_rates(before: RunCount, after: RunCount, links: Mapping[str, Collection[str]]) -> RunRates:
    """`links`: see links_of."""
    known = {host.name: host for host in before.hosts}
    interval_s = after.at_s - before.at_s
    drops = {
        name: _rate(before.drops.get(name, 0), count, interval_s)
        for name, count in (after.drops or {}).items()
        if before.drops is not None
    }
    hosts = []
    for host in after.hosts:
        dropped = _sum([drops.get(each) for each in links.get(host.name, ())])
        hosts.append(_host_rates(known.get(host.name), host, dropped))
    at_hosts = {interface for each in links.values() for interface in each}
    elsewhere = [rate for name, rate in drops.items() if name not in at_hosts]
    other = _sum(elsewhere) if drops else None
    common = [name for name in after.cores if name in before.cores]
    spent = max(1e-9, interval_s * len(common)) / 100
    busy = sum(max(0.0, after.cores[each].busy_s - before.cores[each].busy_s) for each in common)
    stolen = sum(max(0.0, after.cores[each].steal_s - before.cores[each].steal_s) for each in common)
    return RunRates(interval_s, tuple(hosts), other, len(common), busy / spent, stolen / spent)


def _host_rates(before: HostCount | None, after: HostCount, dropped: float | None) -> HostRates:
    here = after.endpoint
    now = {} if here is None else {
        "pool_percent": 100 * here.pool_share, "pool_peak_percent": 100 * here.pool_peak_share,
    }  # fmt: skip
    if before is None:
        return HostRates(after.name, after.state, **now)
    seconds = after.at_s - before.at_s

    def of_endpoint(count: Callable[[EndpointCount], float], unit: float) -> float | None:
        if before.endpoint is None or here is None:
            return None
        rate = _rate(count(before.endpoint), count(here), seconds)
        return None if rate is None else rate / unit

    def of_links(direction: str) -> float | None:
        rates = [
            _rate(getattr(before.interfaces[name], direction), getattr(count, direction), seconds)
            for name, count in after.interfaces.items()
            if name in before.interfaces
        ]
        total = _sum(rates) if rates else None
        return None if total is None else total * BITS / MEGA

    linux = before.linux_retransmits, after.linux_retransmits
    return HostRates(
        name=after.name,
        state=after.state,
        goodput_in_mbps=of_endpoint(lambda e: sum(nic.rx_payload_bytes for nic in e.nics), MEGA / BITS),
        goodput_out_mbps=of_endpoint(lambda e: sum(nic.tx_payload_bytes for nic in e.nics), MEGA / BITS),
        link_in_mbps=of_links("rx_bytes"),
        link_out_mbps=of_links("tx_bytes"),
        retransmits_per_s=of_endpoint(lambda e: e.retransmits, 1),
        linux_retransmits_per_s=None if None in linux else _rate(*linux, seconds),  # type: ignore[arg-type]
        drops_per_s=dropped,
        dram_GB_per_s=of_endpoint(lambda e: e.dram_read_bytes + e.dram_write_bytes, GIGA),
        cpu_percent=of_endpoint(lambda e: 100 * e.cpu_s, 1),
        **now,
    )


def _rate(before: float, after: float, seconds: float) -> float | None:
    return (after - before) / seconds if after >= before and seconds > 0 else None


def _sum(rates: Collection[float | None]) -> float | None:
    """None if any of them is not known."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None

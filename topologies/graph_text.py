"""A topology in words: what `run.py graph` prints.

In: a `Topology`. Out: text, and the same as DOT for Graphviz. Owns nothing.
"""

from __future__ import annotations

import math

from topologies.graph import Bisection, figures
from topologies.host import Accelerator, Host
from topologies.link import Link, Quality
from topologies.topology import Topology

_RATES = ((10**12, "Tbit/s"), (10**9, "Gbit/s"), (10**6, "Mbit/s"), (10**3, "kbit/s"), (1, "bit/s"))


def text(topology: Topology) -> str:
    """A line a switch with its neighbours, what is asked of links, and the figures."""
    kinds = [switch.kind for switch in topology.switches]
    counts = [
        (len(topology.hosts), "host"),
        (kinds.count("bridge"), "bridge"),
        (kinds.count("router"), "router"),
    ]
    counts.append((len(topology.links), "link"))
    listed = ", ".join(_counted(count, word) for count, word in counts if count)
    lines = [
        f"{topology.shape}: {listed}",
        *_neighbours(topology),
        *_hosts(topology),
        *_qualities(topology),
        *_figures(topology),
    ]
    return "\n".join(lines) + "\n"


def figure_lines(topology: Topology) -> list[tuple[str, str]]:
    """Each figure's name and its value in words."""
    found = figures(topology)
    few, many = found.paths or (1, 1)
    ratio = found.oversubscription
    return [
        ("diameter", "infinite" if found.diameter_links is None else _counted(found.diameter_links, "link")),
        ("equal-cost paths", f"{few}" if few == many else f"{few} to {many}"),
        ("bisection bandwidth", bandwidth(found.bisection)),
        ("oversubscription", "none" if ratio is None else f"{ratio:.3g} to 1"),
    ]


def bandwidth(found: Bisection) -> str:
    """In one direction."""
    at_most = "" if found.exact else "at most "
    if math.isinf(found.capacity):
        return "not limited by a rate"
    if found.in_links:
        return at_most + _counted(found.capacity, "link")
    return at_most + rate(found.capacity)


def rate(bps: float) -> str:
    """In the largest unit of which there is one."""
    size, unit = next((each for each in _RATES if bps >= each[0]), _RATES[-1])
    return f"{bps / size:g} {unit}"


def quality(asked: Quality) -> str:
    """What is asked of a link, in its users' words; "" for nothing."""
    words = [rate(asked.rate_bps)] if asked.rate_bps else []
    times = {"delay": asked.delay_s, "jitter": asked.jitter_s}
    words += [f"{name} {_time(seconds)}" for name, seconds in times.items() if seconds]
    chances = {name: getattr(asked, name) for name in ("loss", "reorder", "duplicate", "corrupt")}
    bursts = {"loss": " in bursts"} if asked.gemodel is not None else {}
    words += [f"{name} {chance:g}{bursts.get(name, '')}" for name, chance in chances.items() if chance]
    if asked.queue_packets:
        words.append(f"queue {asked.queue_packets} packets")
    if asked.ecn_threshold_bytes:
        words.append(f"ECN from {asked.ecn_threshold_bytes} bytes")
    return ", ".join(words)


def asked_of(link: Link) -> str:
    """Likewise; where its directions differ, of both."""
    up, down = map(quality, link.ways)
    return up if up == down else f"up {up or 'as it is'}; down {down or 'as it is'}"


def dot(topology: Topology) -> str:
    """For Graphviz: hosts are boxes, bridges ellipses, routers ellipses with a double line."""
    lines = [f'graph "{topology.shape}" {{']
    lines += [f'  "{host.name}" [shape=box];' for host in topology.hosts]
    for switch in topology.switches:
        lines.append(f'  "{switch.name}" [peripheries={2 if switch.kind == "router" else 1}];')
    for link in topology.links:
        label = asked_of(link)
        end = f' [label="{label}"]' if label else ""
        lines.append(f'  "{link.a.node}" -- "{link.b.node}"{end};')
    return "\n".join([*lines, "}"]) + "\n"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:g} us"


def _counted(count: float, word: str) -> str:
    return f"{count:g} {word}{'s' * (count != 1)}"


def _neighbours(topology: Topology) -> list[str]:
    """A line a switch; without any, a line a link."""
    if not topology.switches:
        return [f"  {link.a.node} {link.b.node}" for link in topology.links]
    lines = []
    for switch in topology.switches:
        ends = [link.ends for link in topology.links]
        joined = [b.node for a, b in (*ends, *(pair[::-1] for pair in ends)) if a.node == switch.name]
        lines.append(f"  {switch.name:<10} {switch.kind:<6}  {' '.join(joined)}")
    return lines


def _hosts(topology: Topology) -> list[str]:
    """A line for all hosts that have the same several NICs or accelerators, or the same ceilings: which
    accelerators sit beside which NIC, without the host's name."""
    found: dict[str, list[str]] = {}
    for host in topology.hosts:
        if said := _inside(host):
            found.setdefault(said, []).append(host.name)
    return [f"  {_some(hosts)}: {said}" for said, hosts in found.items()]


def _inside(host: Host) -> str:
    """ "" of a host with one NIC, one accelerator at most, and no ceilings."""
    beside = {
        nic.interface: [_accelerator(each) for each in host.accelerators if each.nic == nic.interface]
        for nic in host.nics
    }
    words = [" ".join((name.removeprefix(f"{host.name}-"), *names)) for name, names in beside.items()]
    memory, pcie = host.host_mem_bw_bytes_per_s, host.pcie_bw_bytes_per_s
    ceilings = [f"{name} {rate / 1e9:g} GB/s" for name, rate in (("memory", memory), ("PCIe", pcie)) if rate]
    is_plain = len(host.nics) == 1 and len(host.accelerators) <= 1 and not ceilings
    return "" if is_plain else ", ".join([*words, *ceilings])


def _accelerator(each: Accelerator) -> str:
    return each.name + (f" ({each.memory_bytes / (1 << 30):g} GiB)" if each.memory_bytes else "")


def _qualities(topology: Topology) -> list[str]:
    found: dict[str, list[str]] = {}
    for link in topology.links:
        if said := asked_of(link):
            found.setdefault(said, []).append(str(link))
    return [f"  {said}: {_some(links)}" for said, links in found.items()]


def _some(links: list[str]) -> str:
    return ", ".join(links) if len(links) <= 4 else f"{links[0]} and {len(links) - 1} more"


def _figures(topology: Topology) -> list[str]:
    return [f"{name:<20} {value}" for name, value in figure_lines(topology)]

"""The shapes a cluster can have, by name.

In: a shape's name, a number of hosts, the links' limits. Out: a `Topology` of hosts with one NIC. Owns the
address plan: in 10.0.0.0/16 host i's kernel is 10.0.0.i and its endpoint 10.0.1.i, in fd00::/64 they are
fd00::i and fd00::1:i where the links carry IPv6. MACs are locally administered and read the same way.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from topologies.topology import (
    GSO_LEGACY_MAX_BYTES,
    IPV6_MTU_MIN,
    Host,
    Link,
    LinkEnd,
    Nic,
    Switch,
    Topology,
    TopologyError,
)

HOSTS_MAX = 254  # the last number of an address


class Wiring(msgspec.Struct, frozen=True):
    """Switches, and the two ends of every link."""

    switches: tuple[Switch, ...]
    wires: tuple[tuple[LinkEnd, LinkEnd], ...]


class Shape(msgspec.Struct, frozen=True):
    """A named way to connect hosts, and how many it takes."""

    name: str
    description: str
    hosts_min: int
    hosts_max: int
    connect: Callable[[tuple[Host, ...]], Wiring]


def build(name: str, hosts: int, mtu: int = 1500, gso_max_bytes: int = GSO_LEGACY_MAX_BYTES) -> Topology:
    """The topology of shape `name` with `hosts` hosts named h1, h2, ...

    mtu in bytes of IP packet, gso_max_bytes the longest super-packet of every link. Raises TopologyError for
    an unknown shape, a number of hosts it cannot have, or limits out of range.
    """
    shape = SHAPES.get(name)
    if shape is None:
        raise TopologyError(f"there is no topology {name!r}; choose one of {', '.join(SHAPES)}")
    if not shape.hosts_min <= hosts <= shape.hosts_max:
        fewest, most = shape.hosts_min, shape.hosts_max
        allowed = f"{fewest} to {most}" if fewest < most else f"{fewest}"
        raise TopologyError(f"topology {name} cannot have {hosts} hosts; choose {allowed}")
    machines = tuple(_host(index, mtu >= IPV6_MTU_MIN) for index in range(1, hosts + 1))
    wiring = shape.connect(machines)
    links = tuple(Link(a, b, mtu, gso_max_bytes) for a, b in wiring.wires)
    return Topology(name, machines, wiring.switches, links)


def _host(index: int, ipv6: bool) -> Host:
    nic = Nic(
        interface=f"h{index}-eth0",
        kernel_address=f"10.0.0.{index}/16",
        kernel_mac=f"02:00:0a:00:00:{index:02x}",
        endpoint_address=f"10.0.1.{index}/16",
        endpoint_mac=f"02:00:0a:00:01:{index:02x}",
        kernel_address6=f"fd00::{index}/64" if ipv6 else "",
        endpoint_address6=f"fd00::1:{index}/64" if ipv6 else "",
    )
    return Host(f"h{index}", index, (nic,))


def _ends(hosts: tuple[Host, ...]) -> list[LinkEnd]:
    """Where each host's NIC is connected."""
    return [LinkEnd(host.name, nic.interface) for host in hosts for nic in host.nics]


def _pair(hosts: tuple[Host, ...]) -> Wiring:
    first, second = _ends(hosts)
    return Wiring((), ((first, second),))


def _star(hosts: tuple[Host, ...]) -> Wiring:
    spokes = tuple((end, LinkEnd("s1", f"s1-eth{port}")) for port, end in enumerate(_ends(hosts), 1))
    return Wiring((Switch("s1"),), spokes)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("pair", "two hosts, one direct link, no switch", 2, 2, _pair),
        Shape("star", "hosts around one switch", 2, HOSTS_MAX, _star),
    )
}

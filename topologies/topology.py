"""Hosts, switches and the links between them: passive, validated data.

In: names, addresses and limits from `topologies.shapes`. Out: a frozen `Topology` that the fabric's builder
turns into interfaces and run.py into endpoints' configurations. Owns nothing.
The largest super-packet (`gso_max_bytes`) is the kernel's GSO_LEGACY_MAX_SIZE or, as "BIG TCP", up to its
GSO_MAX_SIZE (include/linux/netdevice.h).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import msgspec

GSO_LEGACY_MAX_BYTES = 65536
GSO_MAX_BYTES = 524280
MTU_MIN, MTU_MAX = 576, 9000
IPV6_MTU_MIN = 1280  # RFC 8200 section 5: a link with less carries no IPv6
INTERFACE_NAME_MAX = 15  # IFNAMSIZ less its final zero

_NAME = re.compile(r"[a-z]{1,4}[0-9]{1,4}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class TopologyError(ValueError):
    """A topology that cannot be built; the text is one sentence with the part, its value and the remedy."""


class Nic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One interface of a host, which two stacks share, each under an address and a MAC of its own.

    `kernel_*` belong to the Linux stack of the host's namespace, `endpoint_*` to the endpoint process;
    addresses are IPv4 with a prefix length ("10.0.0.1/16"), those called 6 IPv6 ("fd00::1/64") or "" for
    none, MACs lower-case hexadecimal. `rx_queues` and `tx_queues` of the interface are as many as the
    endpoint's NIC has, so that /sys/class/net shows the same.
    """

    interface: str
    kernel_address: str
    kernel_mac: str
    endpoint_address: str
    endpoint_mac: str
    kernel_address6: str = ""
    endpoint_address6: str = ""
    rx_queues: int = 1
    tx_queues: int = 1

    def __post_init__(self) -> None:
        _check_interface(self.interface)
        for address in (self.kernel_address, self.endpoint_address):
            _check_address(self.interface, address)
        for address in filter(None, (self.kernel_address6, self.endpoint_address6)):
            _check_address6(self.interface, address)
        for mac in (self.kernel_mac, self.endpoint_mac):
            if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
                raise TopologyError(
                    f"interface {self.interface} has the MAC {mac!r}; give a unicast one such as "
                    "02:00:00:00:00:01"
                )

    @property
    def addresses(self) -> tuple[str, ...]:
        """All it has, of both stacks."""
        four = (self.kernel_address, self.endpoint_address, self.kernel_address6, self.endpoint_address6)
        return tuple(filter(None, four))


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One machine. `index` counts from 1; `nics`: at least one. Where one address stands for the host, it is
    the first one's."""

    name: str
    index: int
    nics: tuple[Nic, ...]

    def __post_init__(self) -> None:
        _check_name("host", self.name)
        if not self.nics:
            raise TopologyError(f"host {self.name} has no NIC; give it one or more")


class Switch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A learning Ethernet switch that forwards at once (no spanning tree)."""

    name: str

    def __post_init__(self) -> None:
        _check_name("switch", self.name)


class LinkEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One end of a link: a node, and the name of its interface there."""

    node: str
    interface: str

    def __post_init__(self) -> None:
        _check_interface(self.interface)


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A full-duplex wire. `mtu` in bytes of IP packet; `gso_max_bytes` the longest super-packet either end
    takes."""

    a: LinkEnd
    b: LinkEnd
    mtu: int = 1500
    gso_max_bytes: int = GSO_LEGACY_MAX_BYTES

    def __post_init__(self) -> None:
        if not MTU_MIN <= self.mtu <= MTU_MAX:
            raise TopologyError(
                f"mtu {self.mtu} of link {self} is outside {MTU_MIN} to {MTU_MAX} bytes; 1500 is usual"
            )
        if not GSO_LEGACY_MAX_BYTES <= self.gso_max_bytes <= GSO_MAX_BYTES:
            raise TopologyError(
                f"gso_max_bytes {self.gso_max_bytes} of link {self} is outside {GSO_LEGACY_MAX_BYTES} to "
                f"{GSO_MAX_BYTES}; choose {GSO_LEGACY_MAX_BYTES}, or {GSO_MAX_BYTES} for BIG TCP"
            )

    def __str__(self) -> str:
        return f"{self.a.interface}<->{self.b.interface}"

    @property
    def ends(self) -> tuple[LinkEnd, LinkEnd]:
        return self.a, self.b


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hosts, switches and the links between them. Raises TopologyError unless every name, interface, address
    and MAC is unique, every link ends at known nodes and every NIC's interface is an end of a link."""

    shape: str
    hosts: tuple[Host, ...]
    switches: tuple[Switch, ...]
    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        ends = [end for link in self.links for end in link.ends]
        nics = [nic for host in self.hosts for nic in host.nics]
        nodes = [host.name for host in self.hosts] + [switch.name for switch in self.switches]
        _check_unique("name", nodes)
        _check_unique("index", [str(host.index) for host in self.hosts])
        _check_unique("interface", [end.interface for end in ends])
        _check_unique("address", [address.split("/")[0] for nic in nics for address in nic.addresses])
        _check_unique("MAC", [mac for nic in nics for mac in (nic.kernel_mac, nic.endpoint_mac)])
        for end in ends:
            if end.node not in nodes:
                raise TopologyError(
                    f"a link ends at {end.node!r}, which is no host or switch; known: {_listed(nodes)}"
                )
        for host in self.hosts:
            for nic in host.nics:
                if LinkEnd(host.name, nic.interface) not in ends:
                    raise TopologyError(
                        f"interface {nic.interface} of host {host.name} ends no link; connect it to one"
                    )

    def host(self, name: str) -> Host:
        """The host of that name; raises TopologyError when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise TopologyError(f"there is no host {name!r}; known: {_listed(host.name for host in self.hosts)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _check_name(kind: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise TopologyError(f"{kind} name {name!r} is not one to four letters and a number, as h1")


def _check_interface(name: str) -> None:
    if not 0 < len(name) <= INTERFACE_NAME_MAX or not re.fullmatch(r"[a-z0-9-]+", name):
        raise TopologyError(
            f"interface name {name!r} is not 1 to {INTERFACE_NAME_MAX} of a-z, 0-9 and -; use h1-eth0"
        )


def _check_address(interface: str, address: str) -> None:
    try:
        parsed = ipaddress.IPv4Interface(address)
    except ValueError:
        parsed = None
    if parsed is None or "/" not in address or parsed.ip in (parsed.network[0], parsed.network[-1]):
        raise TopologyError(
            f"interface {interface} has the address {address!r}; give IPv4 and prefix length, "
            "as in 10.0.0.1/16"
        )


def _check_address6(interface: str, address: str) -> None:
    try:
        parsed = ipaddress.IPv6Interface(address)
    except ValueError:
        parsed = None
    if parsed is None or "/" not in address or parsed.ip.is_multicast or parsed.ip.is_link_local:
        raise TopologyError(
            f"interface {interface} has the address {address!r}; give IPv6 and prefix length, "
            "as in fd00::1/64"
        )


def _check_unique(what: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise TopologyError(f"{what} {value!r} is used {values.count(value)} times; give each its own")

"""Names, addresses and MACs as a topology may have them.

In: texts. Out: nothing, or a TopologyError. Owns nothing.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable

from topologies.topology_error import TopologyError

INTERFACE_NAME_MAX = 15  # IFNAMSIZ less its final zero

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,9}")
_NOT_NAMES = ("lo", "all", "default")  # the loopback device, and what sysctl calls every device
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def check_name(kind: str, name: str) -> None:
    """Of a node: its interfaces' names begin with it."""
    if not _NAME.fullmatch(name) or name in _NOT_NAMES:
        raise TopologyError(
            f"{kind} name {name!r} is not a letter and up to nine letters and digits, as h1, or is one of "
            f"{', '.join(_NOT_NAMES)}; choose another"
        )


def check_interface(name: str) -> None:
    if not 0 < len(name) <= INTERFACE_NAME_MAX or not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise TopologyError(
            f"interface name {name!r} is not 1 to {INTERFACE_NAME_MAX} of a-z, A-Z, 0-9 and -; use h1-eth0"
        )


def check_mac(interface: str, mac: str) -> None:
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
        raise TopologyError(
            f"interface {interface} has the MAC {mac!r}; give a unicast one such as 02:00:00:00:00:01"
        )


def check_address(interface: str, address: str) -> None:
    try:
        parsed = ipaddress.IPv4Interface(address)
    except ValueError:
        parsed = None
    # Of two addresses, as a link between routers has them, both are a host's (RFC 3021).
    reserved = (
        () if parsed is None or parsed.network.prefixlen == 31 else (parsed.network[0], parsed.network[-1])
    )
    if parsed is None or "/" not in address or parsed.ip in reserved:
        raise TopologyError(
            f"interface {interface} has the address {address!r}; give IPv4 and prefix length, "
            "as in 10.0.0.1/16"
        )


def check_address6(interface: str, address: str) -> None:
    try:
        parsed = ipaddress.IPv6Interface(address)
    except ValueError:
        parsed = None
    if parsed is None or "/" not in address or parsed.ip.is_multicast or parsed.ip.is_link_local:
        raise TopologyError(
            f"interface {interface} has the address {address!r}; give IPv6 and prefix length, "
            "as in fd00::1/64"
        )


def check_gateway(interface: str, gateway: str, address: str) -> None:
    """A gateway is a neighbour: in the prefix of `address`, and not `address` itself."""
    try:
        own = ipaddress.ip_interface(address)
        reached = ipaddress.ip_address(gateway) in own.network and ipaddress.ip_address(gateway) != own.ip
    except ValueError:
        reached = False
    if not reached:
        raise TopologyError(
            f"interface {interface} has the gateway {gateway!r}, which is no neighbour of "
            f"{address or 'an interface without an address'}; give an address of the same prefix"
        )


def check_prefix(owner: str, prefix: str) -> None:
    if not _is_network(prefix):
        raise TopologyError(
            f"a route of {owner} leads to {prefix!r}; give a network and its prefix length, as in 10.1.0.0/16"
        )


@functools.cache
def _is_network(prefix: str) -> bool:
    try:
        return "/" in prefix and bool(ipaddress.ip_network(prefix))
    except ValueError:
        return False


def check_unique(what: str, values: Iterable[str]) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise TopologyError(f"{what} {value!r} is used {count} times; give each its own")


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

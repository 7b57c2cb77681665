"""What `ip` is told, so that routers route and hosts find them.

In: switches and hosts of a topology. Out: lines for `ip -batch`, of one IP version. Owns nothing. A host with
several NICs that have gateways chooses by the address that a packet has (ip-rule(8)), as clouds set such
machines up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence

from topologies.host import Host, Nic
from topologies.switch import Route, Switch

_NODAD = {4: "", 6: " nodad"}
_FIRST_TABLE = 100  # of the NICs after the first; the kernel's own begin at 253


def link_lines(router: Switch, ports: Sequence[str]) -> list[str]:
    """The bridge that joins the router's ports to hosts, if it has any, and the MACs of its uplinks. `ports`:
    their names. The loopback device is up, since the kernel reaches its own addresses by it."""
    lines = ["link set lo up"]
    lines += [f"link set {each.interface} address {each.mac}" for each in router.uplinks]
    if local := router.local:
        options = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        lines.append(f"link add {local.interface} address {local.mac} {options}")
        lines += [f"link set {port} master {local.interface}" for port in ports]
        lines.append(f"link set {local.interface} up")
    return lines


def router_lines(router: Switch, version: int) -> list[str]:
    """Its addresses, then its routes, of one IP version."""
    owned = [(each.address if version == 4 else each.address6, each.interface) for each in router.interfaces]
    lines = [f"addr add {address} dev {name}{_NODAD[version]}" for address, name in owned if address]
    return lines + route_lines(router.routes, version)


def route_lines(routes: Iterable[Route], version: int) -> list[str]:
    """A router's, whatever it has of these prefixes already."""
    return [_route(each) for each in routes if _version(each.prefix) == version]


def vanished_lines(prefixes: Iterable[str], version: int) -> list[str]:
    """What a router has no route to any more. The kernel may have found out first, which `ip -force` passes
    over."""
    return [f"route del {prefix}" for prefix in prefixes if _version(prefix) == version]


def host_lines(host: Host, version: int) -> list[str]:
    """What Linux's own stack in a host has of one IP version: IPv6 addresses (those of IPv4 it has), rules,
    routes."""
    lines: list[str] = []
    for number, nic in enumerate(host.nics):
        address, _ = _own(nic, version)
        if address and version == 6:
            lines.append(f"addr add {address} dev {nic.interface}{_NODAD[version]}")
        if address and number:  # what has this address leaves by its own NIC
            ip = address.partition("/")[0]
            lines.append(f"rule add from {ip} table {_FIRST_TABLE + number}")
    return lines + host_route_lines(host, version, [nic.interface for nic in host.nics])


def host_route_lines(host: Host, version: int, up: Collection[str]) -> list[str]:
    """A host's routes by those of its NICs that are `up`, whatever it has of them already."""
    lines: list[str] = []
    has_default = False
    for number, nic in enumerate(host.nics):
        address, gateway = _own(nic, version)
        if not address:
            continue
        is_default = bool(gateway) and not has_default
        has_default |= is_default
        if nic.interface not in up:
            continue
        if number:
            lines += _table(nic.interface, address, gateway, _FIRST_TABLE + number)
        if is_default:
            lines.append(f"route replace default via {gateway} dev {nic.interface}")
        routes = [each for each in nic.routes if _version(each.prefix) == version]
        lines += [f"route replace {each.prefix} via {each.gateway} dev {nic.interface}" for each in routes]
    return lines


def _version(prefix: str) -> int:
    return 6 if ":" in prefix else 4


def _own(nic: Nic, version: int) -> tuple[str, str]:
    """The address of Linux's stack, and its gateway."""
    return (nic.kernel_address, nic.gateway) if version == 4 else (nic.kernel_address6, nic.gateway6)


def _route(route: Route) -> str:
    """One next hop or several of equal weight (ip-route(8))."""
    if len(route.next_hops) == 1:
        (hop,) = route.next_hops
        return f"route replace {route.prefix} via {hop.gateway} dev {hop.interface}"
    hops = [f"nexthop via {hop.gateway} dev {hop.interface}" for hop in route.next_hops]
    return " ".join((f"route replace {route.prefix}", *hops))


def _table(interface: str, address: str, gateway: str, table: int) -> Iterator[str]:
    """Of a NIC after the first."""
    yield f"route replace {ipaddress.ip_interface(address).network} dev {interface} table {table}"
    if gateway:
        yield f"route replace default via {gateway} dev {interface} table {table}"

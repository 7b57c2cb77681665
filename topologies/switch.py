"""A switch: a bridge, or a router with its addresses and its routing table.

In: names, addresses. Out: frozen records, checked. Owns nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from topologies.names import (
    check_address,
    check_address6,
    check_interface,
    check_mac,
    check_name,
    check_prefix,
    listed,
)
from topologies.topology_error import TopologyError

Kind = Literal["bridge", "router"]


class RouterInterface(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An interface of a router, with its addresses and prefix lengths; `address6` is "" for none."""

    interface: str
    mac: str
    address: str
    address6: str = ""

    def __post_init__(self) -> None:
        check_interface(self.interface)
        check_mac(self.interface, self.mac)
        check_address(self.interface, self.address)
        if self.address6:
            check_address6(self.interface, self.address6)

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.address, self.address6)))


class NextHop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A neighbouring router's address, and the interface of ours that it is reached by."""

    gateway: str
    interface: str


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Packets to `prefix` take one of `next_hops`, all at equal cost: a flow keeps its own."""

    prefix: str
    next_hops: tuple[NextHop, ...]


class Switch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `bridge` is a learning Ethernet switch that forwards at once (no spanning tree).

    A `router` forwards IP packets. Its ports to hosts and bridges are bridged inside it, and `local` is its
    own interface there, the gateway of their segment: a top-of-rack switch with its SVI. None: it has no such
    ports. `uplinks` are its ports to other routers. `routes` lead to every segment but its own.
    """

    name: str
    kind: Kind = "bridge"
    local: RouterInterface | None = None
    uplinks: tuple[RouterInterface, ...] = ()
    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        check_name("switch", self.name)
        if self.kind == "bridge" and self.interfaces:
            raise TopologyError(
                f"switch {self.name} is a bridge and has addresses; make it a router, or leave them out"
            )
        own = [each.interface for each in self.uplinks]
        for route in self.routes:
            check_prefix(self.name, route.prefix)
            if not route.next_hops:
                raise TopologyError(
                    f"the route of {self.name} to {route.prefix} leads nowhere; give a next hop"
                )
            for hop in route.next_hops:
                if hop.interface not in own:
                    raise TopologyError(
                        f"the route of {self.name} to {route.prefix} leaves by {hop.interface!r}, which is "
                        f"no uplink; choose from {listed(own)}"
                    )

    @property
    def interfaces(self) -> tuple[RouterInterface, ...]:
        """All that have addresses."""
        return (*([self.local] if self.local else []), *self.uplinks)

"""Links that are taken down and come up again, or get another rate, in a network that runs.

In: which links are to be down, and other rates, each time all of them. Out: the kernel has them. Owns what
the links' states are. A link is known by the interface of its first end.

Both ends of a link go down, as with Mininet's `link`. Linux then forgets: gateway routes over the interface,
in IPv6 all routes (net/ipv4/fib_semantics.c fib_sync_down_dev, net/ipv6/route.c fib6_ifdown); addresses stay
(keep_addr_on_down). When the link comes up, hosts get theirs back. Routers get the shortest paths over the
links that are up, all of them and each time, as a routing protocol that has converged.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from topologies.link import Link
from topologies.mininet import batch, qdisc, routing, sysctl
from topologies.mininet.assembly import give_rates, links_of
from topologies.routing import with_routes
from topologies.segments import is_uplink
from topologies.switch import Switch
from topologies.topology import Topology
from topologies.topology_error import TopologyError


class LinkStates:
    """Of the network `net`, which was built of `topology`."""

    def __init__(self, net: Any, topology: Topology) -> None:
        self._net, self._topology = net, topology
        self._links = {link.name: link for link in topology.links}
        self._down: frozenset[str] = frozenset()
        self._rates = {
            end.interface: link.sent_by(end).rate_bps for link in topology.links for end in link.ends
        }
        self._routers = topology.routers

    def set(self, down: Collection[str], rates: Mapping[str, int]) -> float:
        """Links of `down` are down and all others up; those of `rates` have that rate and all others their
        own. Returns when it had been done (Unix time), routes apart. Raises OSError, TopologyError."""
        if unknown := {*down, *rates} - self._links.keys():
            raise TopologyError(f"there is no link {min(unknown)!r}; choose from {', '.join(self._links)}")
        wanted = frozenset(down)
        risen = [self._links[name] for name in sorted(self._down - wanted)]
        self._turn([self._links[name] for name in sorted(wanted - self._down)], risen)
        self._give_rates(rates)
        done_at = time.time()
        if wanted != self._down:
            self._down = wanted
            self._restore_hosts({end.node for link in risen for end in link.ends})
            self._route(risen)
        return done_at

    def _turn(self, fallen: Collection[Link], risen: Collection[Link]) -> None:
        for links, is_up in ((fallen, False), (risen, True)):
            for end in (end for link in links for end in link.ends):
                with links_of(self._net, end.node, True) as interfaces:
                    (interfaces.up if is_up else interfaces.down)(end.interface)

    def _give_rates(self, rates: Mapping[str, int]) -> None:
        for name, link in self._links.items():
            for end in link.ends:
                own = link.sent_by(end)
                rate = rates.get(name, own.rate_bps)
                if rate == self._rates[end.interface]:
                    continue
                node = self._net[end.node]
                if rate:
                    bucket = qdisc.token_bucket(msgspec.structs.replace(own, rate_bps=rate))
                    give_rates(node, {end.interface: bucket})
                else:
                    batch.run(node, ["tc", "-batch", "-"], [f"qdisc del dev {end.interface} root"])
                self._rates[end.interface] = rate

    # Routes

    def _restore_hosts(self, nodes: Collection[str]) -> None:
        down = {end.interface for name in self._down for end in self._links[name].ends}
        for host in self._topology.hosts:
            if host.name in nodes:
                up = [nic.interface for nic in host.nics if nic.interface not in down]
                for version in _versions():
                    lines = routing.host_route_lines(host, version, up)
                    batch.ip(self._net[host.name], version, lines)

    def _route(self, risen: Collection[Link]) -> None:
        """Tables of all routers, where they are others now or where the kernel has lost a part."""
        kinds = self._topology.kinds
        uplinks = [link for link in self._topology.links if is_uplink(link, kinds)]
        now = with_routes(self._routers, [link for link in uplinks if link.name not in self._down])
        back = {end.interface for link in risen for end in link.ends}
        for old, new in zip(self._routers, now, strict=True):
            self._change_table(old, new, back)
        self._routers = now

    def _change_table(self, old: Switch, new: Switch, back: Collection[str]) -> None:
        had = {route.prefix: route for route in old.routes}
        gone = had.keys() - {route.prefix for route in new.routes}
        changed = [
            route
            for route in new.routes
            if route != had.get(route.prefix) or any(hop.interface in back for hop in route.next_hops)
        ]
        node = self._net[new.name]
        for version in _versions():
            batch.ip(node, version, routing.vanished_lines(sorted(gone), version), force=True)
            batch.ip(node, version, routing.route_lines(changed, version))


def _versions() -> tuple[int, ...]:
    return (4, 6) if sysctl.has_ipv6() else (4,)

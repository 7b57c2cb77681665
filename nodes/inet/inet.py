"""The IP layer of one host: its links, its routes, and what routers told about paths.

In: skbs from the devices, TCP segments, `now`. Out: TCP packets, (IP header, skb) each; frames. Owns the
parts below and their timers; `on_error` is told of ICMP errors that concern TCP, and `confirmation` says when
TCP made progress through a neighbour. Source: net/ipv4/af_inet.c,
net/ipv6/af_inet6.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from nodes.inet.address import IfAddress, ipv4_address, ipv6_address
from nodes.inet.dad import AddressConflict
from nodes.inet.icmp import IcmpInput, OnError
from nodes.inet.ip_ident import IpIdents
from nodes.inet.ip_input import IpInput
from nodes.inet.link import Link
from nodes.inet.mib import IpMib
from nodes.inet.neighbour import Confirmation
from nodes.inet.path_mtu import PathMtus
from nodes.inet.route import RouteTable
from nodes.machine.cpu import Cpu
from nodes.nic.net_device import NetDevice
from nodes.timer_heap import earlier
from nodes.wire import ip


@dataclass(frozen=True, slots=True)
class Interface:
    """A device and the addresses on it, integers with prefix lengths; address 0: none of that version."""

    device: NetDevice
    address: int
    prefix: int
    address6: int = 0
    prefix6: int = 64


class Inet:
    def __init__(
        self,
        interfaces: Iterable[Interface],
        cpu: Cpu,
        on_error: OnError,
        confirmation: Confirmation,
        chance: Random,
    ) -> None:
        self.mib = IpMib()
        self.path_mtus = PathMtus()
        self._icmp = IcmpInput(self.mib, on_error, IpIdents(chance))
        self.links: Mapping[int, Link] = {
            each.device.ifindex: Link(each.device, cpu, _addresses(each), self, confirmation)
            for each in interfaces
        }
        self._neighbours = [link.neighbours for link in self.links.values()]
        self.routes = RouteTable(self.links.values())
        self.addresses = frozenset(a for link in self.links.values() for a in link.addresses)
        self.input = IpInput(self.addresses, self._icmp, cpu, self.mib)

    @property
    def conflict(self) -> AddressConflict | None:
        """Another host that has one of our addresses, if duplicate address detection found one."""
        found = (link.dad.conflict for link in self.links.values())
        return next((conflict for conflict in found if conflict is not None), None)

    def set_link(self, ifindex: int, up: bool, carrier: bool) -> None:
        """A link was taken down or up, or has lost or found its carrier. It forgets its neighbours; a link
        that is down has no routes, one without a carrier keeps them (fib_netdev_event, addrconf_notify with
        keep_addr_on_down, arp_netdev_event, ndisc_netdev_event)."""
        link = self.links[ifindex]
        was_up, link.up, link.carrier = link.up, up, carrier
        if not (up and carrier):
            link.neighbours.flush()
        if was_up and not up:
            self.routes.link_down(link)
        elif up and not was_up:
            self.routes.link_up(link)

    def unreachable(self, packet: bytes, now: float) -> None:
        """The next hop of `packet`, an IP packet of ours, does not answer (ipv4_link_failure)."""
        self.routes.forget_redirect(ip.destination(packet))
        self._icmp.next_hop_unreachable(packet, now)

    def answers_for(self, link: Link, target: int, sender: int) -> bool:
        """Whether ARP answers on `link` for `target`, an address of another link: packets from it to `sender`
        leave by `link`."""
        if not self.routes.is_ours(target) or target in link.addresses:
            return False
        route = self.routes.lookup(sender, target)
        return route is not None and route.link is link

    def probe(self, until: float) -> None:
        """Ask on every link whether another host has our addresses."""
        for link in self.links.values():
            link.probe(until)

    def next_timeout(self) -> float | None:
        """When handle_timeout has work; the path MTUs have a timeout of their own."""
        first = earlier(self.input.next_timeout(), self.routes.next_timeout())
        for neighbours in self._neighbours:
            first = earlier(first, neighbours.next_timeout())
        return first

    def handle_timeout(self, now: float) -> None:
        for neighbours in self._neighbours:
            neighbours.handle_timeout(now)
        self.input.handle_timeout(now)
        self.routes.handle_timeout(now)


def _addresses(interface: Interface) -> tuple[IfAddress, IfAddress]:
    return (
        ipv4_address(interface.address, interface.prefix),
        ipv6_address(interface.address6, interface.prefix6),
    )

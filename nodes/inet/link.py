"""A link: one NIC as IP sees it, with our addresses on it and the neighbours that it reaches.

In: IP packets with their next hop, ARP and neighbour messages, `now`. Out: frames to the device. Owns the
link's addresses, its neighbour cache and its duplicate address detection.
Source: struct in_device (include/linux/inetdevice.h), ip_finish_output2 (net/ipv4/ip_output.c),
ip6_finish_output2 (net/ipv6/ip6_output.c).
"""

from __future__ import annotations

from typing import Protocol

from nodes.inet.address import IfAddress
from nodes.inet.arp import ArpProtocol
from nodes.inet.dad import DuplicateAddressDetection
from nodes.inet.ndisc import NeighbourDiscovery
from nodes.inet.neighbour import Confirmation, Neighbours
from nodes.machine.cpu import Cpu
from nodes.nic.net_device import NetDevice
from nodes.skb import Skb
from nodes.wire import ethernet, ip, ipv6


class HostView(Protocol):
    """What a link asks of its host."""

    def unreachable(self, packet: bytes, now: float) -> None:
        """The next hop of `packet`, an IP packet of ours, does not answer."""

    def answers_for(self, link: Link, target: int, sender: int) -> bool:
        """Whether `target` is an address of another link, and our packets from it to `sender` leave by
        `link`."""


class Link:
    """`v4` and `v6` are our addresses. `groups` are the multicast addresses on which neighbours ask for
    us."""

    def __init__(
        self,
        device: NetDevice,
        cpu: Cpu,
        addresses: tuple[IfAddress, IfAddress],
        host: HostView,
        confirmation: Confirmation,
    ) -> None:
        self.v4, self.v6 = addresses
        self.device = device
        self.name = device.config.name
        self.ifindex = device.ifindex
        self.up = self.carrier = True  # IFF_UP, IFF_RUNNING
        self._cpu = cpu
        self._mac = device.config.mac
        self.dad = DuplicateAddressDetection()
        self.neighbours = Neighbours(
            self._ask, self._finish, lambda skb, now: host.unreachable(skb.header, now), confirmation
        )
        about_us = self._mac, self.neighbours, self.dad, self._xmit_packet
        self.arp = ArpProtocol(
            self.v4.address, *about_us, lambda target, sender: host.answers_for(self, target, sender)
        )
        self.ndisc = NeighbourDiscovery(self.v6.address, *about_us)
        groups = (ipv6.solicited_node(self.v6.address), ipv6.ALL_NODES) if self.v6.address else ()
        self.groups = frozenset(groups)

    @property
    def addresses(self) -> frozenset[int]:
        """Our addresses on this link."""
        return frozenset({self.v4.address, self.v6.address} - {0})

    def probe(self, until: float) -> None:
        """Ask whether another host has our addresses, which are tentative until then."""
        self.dad.begin(until)
        self.arp.probe()
        self.ndisc.probe()

    def xmit(self, skb: Skb, next_hop: int, now: float) -> None:
        """Send a TCP packet, whose checksum the NIC fills in, as soon as the MAC of `next_hop` is known."""
        mac = self.neighbours.mac_of(next_hop)
        if mac is None:
            self.neighbours.resolve(next_hop, skb, now)
        else:
            self._finish(skb, mac)

    def _finish(self, skb: Skb, mac: bytes) -> None:
        """Find where TCP begins in the packet, and send it."""
        source = self.v6 if skb.header[0] >> 4 == 6 else self.v4
        l4_start = ethernet.HEADER_BYTES + source.header_bytes
        if source is self.v6 and skb.header[ipv6.NEXT_HEADER] == ipv6.HOP_BY_HOP:
            l4_start += ipv6.JUMBO_BYTES
        self.xmit_frame(skb, mac, source.ethertype, l4_start)

    def xmit_frame(self, skb: Skb, mac: bytes, ethertype: int, l4_start: int = 0) -> None:
        """Put the Ethernet header in front and give the skb to the device. `l4_start`: where TCP begins in
        the frame; 0 leaves the checksum alone."""
        skb.header = ethernet.emit(mac, self._mac, ethertype) + skb.header
        self._cpu.write_header(len(skb.header), skb.wire_packets)
        self.device.xmit(skb, l4_start)

    def _xmit_packet(self, packet: bytes, mac: bytes, ethertype: int) -> None:
        self.xmit_frame(Skb(packet, None), mac, ethertype)

    def _ask(self, address: int, mac: bytes | None) -> None:
        if ip.is_ipv6(address):
            self.ndisc.ask(address, mac)
        else:
            self.arp.ask(address, mac)

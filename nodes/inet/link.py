"""The link beneath IP: our addresses, ARP and neighbour discovery, Ethernet headers.

In: IP packets to send, ARP packets and neighbour messages from the wire, `now`. Out: frames to the device.
Owns our addresses, tentative while `probe` asks for them, and the neighbour cache. Off-link addresses have
no route: there is no gateway here.
Source: net/ipv4/arp.c (RFC 826), net/ipv6/ndisc.c (RFC 4861 section 7.2).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from nodes.inet.neighbour import Neighbours
from nodes.machine.cpu import Cpu
from nodes.nic.net_device import NetDevice
from nodes.skb import Skb
from nodes.wire import arp, ethernet, icmpv6, ip, ipv4, ipv6, ndisc
from nodes.wire.arp import Arp
from nodes.wire.ip import IpHeader

_UNKNOWN_MAC = bytes(6)


@dataclass(frozen=True, slots=True)
class Family:
    """One version of IP as we use it: our address (0: none) with its prefix length, and its headers.
    `emit(src, dst, protocol, payload_bytes, tos)` makes one of `header_bytes`, longer before a jumbo."""

    address: int
    prefix: int
    address_bits: int
    ethertype: int
    header_bytes: int
    emit: Callable[[int, int, int, int, int], bytes]

    @property
    def broadcast(self) -> int | None:
        """The highest address of an IPv4 prefix that has room for one."""
        host_bits = self.address_bits - self.prefix
        if ip.is_ipv6(self.address) or host_bits < 2:
            return None
        return self.address | (1 << host_bits) - 1

    def on_link(self, address: int) -> bool:
        """Whether a neighbour may have `address`: it is in our prefix and not ours."""
        host_bits = self.address_bits - self.prefix
        near = address >> host_bits == self.address >> host_bits
        return bool(self.address) and near and address != self.address


def family_v4(address: int, prefix: int) -> Family:
    return Family(address, prefix, 32, ethernet.TYPE_IPV4, ipv4.HEADER_BYTES, ipv4.emit)


def family_v6(address: int, prefix: int) -> Family:
    return Family(address, prefix, 128, ethernet.TYPE_IPV6, ipv6.HEADER_BYTES, ipv6.emit)


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody else who has our `address`, or wants it."""

    address: int
    mac: bytes


class Link:
    """`no_neighbour(packet, now)` is told of IP packets whose destination nobody has."""

    def __init__(
        self,
        device: NetDevice,
        cpu: Cpu,
        families: tuple[Family, Family],
        no_neighbour: Callable[[memoryview, float], None],
    ) -> None:
        self.v4, self.v6 = families
        self.neighbours = Neighbours(
            self._ask, self._xmit_tcp, lambda skb, now: no_neighbour(skb.header, now)
        )
        self._device = device
        self._cpu = cpu
        self._mac = device.config.mac
        self._idents = itertools.count(1)  # of packets that are sent in fragments
        self._tentative_until = -inf
        self.contender: Contender | None = None  # that a probe found
        self.ours = frozenset({self.v4.address, self.v6.address} - {0})
        # Where neighbours ask us, and where they answer whoever has no address yet.
        groups = (ipv6.solicited_node(self.v6.address), ipv6.ALL_NODES) if self.v6.address else ()
        self.groups = frozenset(groups)

    # --- out

    def xmit_tcp(self, skb: Skb, remote: int, now: float) -> None:
        """Send a TCP packet, whose checksum the NIC fills in, as soon as `remote`'s MAC is known."""
        mac = self.neighbours.mac_of(remote)
        if mac is None:
            self.neighbours.wait_for(remote, skb, now)
        else:
            self._xmit_tcp(skb, mac)

    def _xmit_tcp(self, skb: Skb, mac: bytes) -> None:
        family = self.v6 if skb.header[0] >> 4 == 6 else self.v4
        l4_start = ethernet.HEADER_BYTES + family.header_bytes
        if family is self.v6 and skb.header[ipv6.NEXT_HEADER] == ipv6.HOP_BY_HOP:
            l4_start += ipv6.JUMBO_BYTES
        self._xmit(skb, mac, family.ethertype, l4_start)

    def answer(self, to: IpHeader, mac: bytes, message: bytes) -> int:
        """Send an ICMP message of `to`'s family back to where `to` came from; returns in how many packets."""
        v6 = ip.is_ipv6(to.dst)
        family, protocol = (self.v6, ip.ICMPV6) if v6 else (self.v4, ip.ICMP)
        mtu = self._device.config.mtu
        if family.header_bytes + len(message) <= mtu:
            header = family.emit(family.address, to.src, protocol, len(message), 0)
            packets = [header + message]
        else:
            cut = ipv6.fragments if v6 else ipv4.fragments
            packets = cut(family.address, to.src, protocol, message, mtu, next(self._idents))
        for packet in packets:
            self._xmit(Skb(memoryview(packet), None), mac, family.ethertype)
        return len(packets)

    def _xmit(self, skb: Skb, mac: bytes, ethertype: int, l4_start: int = 0) -> None:
        """Put the Ethernet header in front and hand the skb to the device."""
        frame = ethernet.emit(mac, self._mac, ethertype) + skb.header
        skb.header = memoryview(frame)
        self._cpu.write_header(len(frame), skb.wire_packets)
        self._device.xmit(skb, l4_start)

    # --- who has which address

    def _ask(self, address: int) -> None:
        if not ip.is_ipv6(address):
            question = Arp(arp.REQUEST, self._mac, self.v4.address, _UNKNOWN_MAC, address)
            self._xmit_arp(question, ethernet.BROADCAST)
            return
        group = ipv6.solicited_node(address)
        message = ndisc.emit(ndisc.Solicitation(address, self._mac))
        self._xmit_ndisc(message, group, ethernet.multicast_of(group))

    def probe(self, until: float) -> None:
        """Ask whether somebody has our addresses already (RFC 5227 section 2.1.1, RFC 4862 section 5.4.2).
        Who says so by `until` is the `contender`; until then we do not say that we have them."""
        self._tentative_until = until
        if self.v4.address:
            question = Arp(arp.REQUEST, self._mac, 0, _UNKNOWN_MAC, self.v4.address)
            self._xmit_arp(question, ethernet.BROADCAST)
        if self.v6.address:
            group = ipv6.solicited_node(self.v6.address)
            message = ndisc.emit(ndisc.Solicitation(self.v6.address, None))
            self._xmit_ndisc(message, group, ethernet.multicast_of(group), src=0)

    def receive_arp(self, packet: Arp, now: float) -> None:
        """Answer a request for our address; learn from whatever concerns us. Sender 0 is a probe's."""
        ours, sender = self.v4.address, packet.sender_ip
        tentative = now < self._tentative_until
        for_us = ours != 0 and packet.target_ip == ours
        if ours and (sender == ours or (for_us and tentative and not sender)):
            if tentative and packet.sender_mac != self._mac:
                self.contender = Contender(ours, packet.sender_mac)
            return
        for_us = for_us and not tentative
        if (for_us and sender) or self.neighbours.mac_of(sender) is not None:
            self.neighbours.learn(sender, packet.sender_mac)
        if for_us and packet.operation == arp.REQUEST:
            reply = Arp(arp.REPLY, self._mac, ours, packet.sender_mac, sender)
            self._xmit_arp(reply, packet.sender_mac)

    def _xmit_arp(self, packet: Arp, mac: bytes) -> None:
        self._xmit(Skb(memoryview(arp.emit(packet)), None), mac, ethernet.TYPE_ARP)

    def receive_ndisc(self, message: memoryview, header: IpHeader, source_mac: bytes, now: float) -> None:
        """A message whose checksum is good. One that is not as section 7.1 has it may be an attack."""
        packet = ndisc.parse(message)
        if packet is None or not ndisc.plausible(packet, header):
            return
        if packet.target == self.v6.address and now < self._tentative_until:
            claim = isinstance(packet, ndisc.Advertisement) or not header.src
            if claim and source_mac != self._mac:  # RFC 4862 sections 5.4.3, 5.4.4
                self.contender = Contender(packet.target, source_mac)
        elif isinstance(packet, ndisc.Advertisement):
            known = self.neighbours.mac_of(packet.target)
            news = known is None or packet.override
            if packet.mac is not None and news and self.neighbours.concerns(packet.target):
                self.neighbours.learn(packet.target, packet.mac)
        elif packet.target == self.v6.address:
            if header.src and packet.mac is not None:
                self.neighbours.learn(header.src, packet.mac)
            self._advertise(header.src, packet.mac or source_mac)

    def _advertise(self, to: int, mac: bytes) -> None:
        """We have our address; `to` 0 is a neighbour that would like to have it too: tell all nodes."""
        if to == 0:
            to, mac = ipv6.ALL_NODES, ethernet.multicast_of(ipv6.ALL_NODES)
        solicited = to != ipv6.ALL_NODES
        message = ndisc.emit(ndisc.Advertisement(self.v6.address, self._mac, solicited, override=True))
        self._xmit_ndisc(message, to, mac)

    def _xmit_ndisc(self, message: bytes, to: int, mac: bytes, src: int | None = None) -> None:
        """From our address unless `src` is given."""
        src = self.v6.address if src is None else src
        message = icmpv6.with_checksum(message, src, to)
        header = ipv6.emit(src, to, ip.ICMPV6, len(message), 0, ndisc.HOP_LIMIT)
        self._xmit(Skb(memoryview(header + message), None), mac, ethernet.TYPE_IPV6)

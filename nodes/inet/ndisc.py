"""Neighbour discovery of one link: ARP's tasks for IPv6, in messages of ICMPv6.

In: solicitations and advertisements from the wire, addresses to ask for, `now`. Out: such messages (through
`xmit`), MACs for the neighbour cache. Owns nothing.
Source: net/ipv6/ndisc.c (RFC 4861 section 7.2, RFC 4862 section 5.4).
"""

from __future__ import annotations

from nodes.inet.arp import XmitPacket
from nodes.inet.dad import DuplicateAddressDetection
from nodes.inet.neighbour import Neighbours
from nodes.wire import ethernet, icmpv6, ip, ipv6, ndisc
from nodes.wire.ip import IpHeader


class NeighbourDiscovery:
    """For our IPv6 `address` (0: none) at `mac`."""

    def __init__(
        self,
        address: int,
        mac: bytes,
        neighbours: Neighbours,
        dad: DuplicateAddressDetection,
        xmit: XmitPacket,
    ) -> None:
        self._address = address
        self._mac = mac
        self._neighbours = neighbours
        self._dad = dad
        self._xmit = xmit

    def ask(self, address: int, mac: bytes | None) -> None:
        """Solicit the neighbour that has `address`: through its solicited-node group, or at `mac`, whether it
        still has it."""
        message = ndisc.emit(ndisc.Solicitation(address, self._mac))
        if mac is None:
            self._send_to_group(message, ipv6.solicited_node(address), self._address)
        else:
            self._send(message, address, mac, self._address)

    def probe(self) -> None:
        """Ask whether another host has our address (RFC 4862 section 5.4.2)."""
        if self._address:
            message = ndisc.emit(ndisc.Solicitation(self._address, None))
            self._send_to_group(message, ipv6.solicited_node(self._address), src=0)

    def receive(self, message: bytes, header: IpHeader, source_mac: bytes, now: float) -> None:
        """A message whose checksum is good. A message that breaks RFC 4861 section 7.1 is ignored, since it
        may be an attack."""
        packet = ndisc.parse(message)
        if packet is None or not ndisc.plausible(packet, header):
            return
        if packet.target == self._address and self._dad.is_tentative(now):
            claim = isinstance(packet, ndisc.Advertisement) or not header.src
            if claim and source_mac != self._mac:  # RFC 4862 sections 5.4.3 and 5.4.4
                self._dad.on_claim(packet.target, source_mac)
        elif isinstance(packet, ndisc.Advertisement):
            self._receive_advertisement(packet, now)
        elif packet.target == self._address:
            if header.src and packet.mac is not None:
                self._neighbours.learn(header.src, packet.mac, now)
            self._advertise(header.src, packet.mac or source_mac)

    def _receive_advertisement(self, packet: ndisc.Advertisement, now: float) -> None:
        """An advertisement without the override flag does not replace a cached MAC."""
        if packet.mac is not None and self._neighbours.concerns(packet.target):
            self._neighbours.learn(packet.target, packet.mac, now, packet.solicited, packet.override)

    def _advertise(self, to: int, mac: bytes) -> None:
        """Say that we have our address. `to` 0 is a host that probes for the same address: then all nodes
        are told."""
        if to == 0:
            to, mac = ipv6.ALL_NODES, ethernet.multicast_of(ipv6.ALL_NODES)
        solicited = to != ipv6.ALL_NODES
        message = ndisc.emit(ndisc.Advertisement(self._address, self._mac, solicited, override=True))
        self._send(message, to, mac, self._address)

    def _send_to_group(self, message: bytes, group: int, src: int) -> None:
        self._send(message, group, ethernet.multicast_of(group), src)

    def _send(self, message: bytes, to: int, mac: bytes, src: int) -> None:
        message = icmpv6.with_checksum(message, src, to)
        header = ipv6.emit(src, to, ip.ICMPV6, len(message), 0, ndisc.HOP_LIMIT)
        self._xmit(header + message, mac, ethernet.TYPE_IPV6)

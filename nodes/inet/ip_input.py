"""From a received frame to a whole IP packet; ARP, neighbour discovery and ICMP are answered on the way.

In: skbs from a device, with the link that they came by. Out: (IP header, skb) of a TCP packet for one of our
addresses, its payload untouched; all else is taken care of here. Owns the fragments of unfinished packets.
Source: ip_rcv, ip_local_deliver (net/ipv4/ip_input.c), ipv6_rcv (net/ipv6/ip6_input.c).
"""

from __future__ import annotations

from typing import Final

from nodes.inet.icmp import IcmpInput
from nodes.inet.ip_fragment import KEPT_V6_S, FirstFragment, IpFragments
from nodes.inet.link import Link
from nodes.inet.mib import IpMib
from nodes.machine.cpu import Cpu
from nodes.skb import Skb
from nodes.timer_heap import earlier
from nodes.wire import arp, ethernet, ip, ipv4, ipv6
from nodes.wire.ip import IpFragment, IpHeader

_ETHERNET: Final = ethernet.HEADER_BYTES
TcpPacket = tuple[IpHeader, Skb]


class IpInput:
    """`addresses`: all of this host's; a packet for one may come by any of its links (the weak host model of
    RFC 1122 section 3.3.4.2, Linux's)."""

    def __init__(self, addresses: frozenset[int], icmp: IcmpInput, cpu: Cpu, mib: IpMib) -> None:
        self._addresses = addresses
        self._icmp = icmp
        self._cpu = cpu
        self._mib = mib
        self.fragments = IpFragments(mib)
        self.fragments6 = IpFragments(mib, KEPT_V6_S)

    def receive(self, skb: Skb, link: Link, now: float) -> TcpPacket | None:
        """One frame. The skb that is returned owns its payload; otherwise the payload is released."""
        header, payload = skb.header, skb.payload
        self._cpu.read_header(len(header), skb.wire_packets)
        if len(header) < _ETHERNET:
            skb.release()
            return None
        ethertype = ethernet.ethertype(header)
        available = len(header) - _ETHERNET + (len(payload) if payload is not None else 0)
        if ethertype == ethernet.TYPE_IPV4:
            self._mib.IpInReceives += 1
            found = ipv4.parse(header, _ETHERNET, available)
            if found is None:
                fragment = ipv4.fragment(header, _ETHERNET, available)
                return self._receive_fragment(skb, fragment, False, link, now)
        elif ethertype == ethernet.TYPE_IPV6:
            self._mib.Ip6InReceives += 1
            found = ipv6.parse(header, _ETHERNET, available)
            if found is None:
                fragment = ipv6.fragment(header, _ETHERNET, available)
                return self._receive_fragment(skb, fragment, True, link, now)
        else:
            found = None
            packet = arp.parse(header, _ETHERNET) if ethertype == ethernet.TYPE_ARP else None
            if packet is not None:
                link.arp.receive(packet, now)
        if found is not None:
            return self._deliver(skb, found, link, now)
        skb.release()
        return None

    def _deliver(self, skb: Skb, found: IpHeader, link: Link, now: float) -> TcpPacket | None:
        """A whole packet: TCP's for one of our addresses is returned."""
        ours = found.dst in self._addresses
        if ours and found.protocol == ip.TCP:
            return found, skb
        if ours or found.dst in link.groups:
            if found.protocol != ip.TCP:  # there is no TCP to a group
                end = _ETHERNET + found.header_bytes + found.payload_bytes
                source_mac = ethernet.parse(skb.header)[1]
                self._icmp.receive(skb.header[_ETHERNET:end], found, link, source_mac, now)
        elif ip.is_ipv6(found.dst):
            self._mib.Ip6InAddrErrors += 1
        else:
            self._mib.IpInAddrErrors += 1
        skb.release()
        return None

    def _receive_fragment(
        self, skb: Skb, fragment: IpFragment | None, v6: bool, link: Link, now: float
    ) -> TcpPacket | None:
        """A packet that was not parsed: a fragment, or (None) a damaged header."""
        if fragment is None:
            if v6:
                self._mib.Ip6InHdrErrors += 1
                self._complain(skb, link, now)
            else:
                self._mib.IpInHdrErrors += 1
        whole = None
        if fragment is not None and skb.payload is None and fragment.key[1] in self._addresses:
            whole = self._add_fragment(skb.header, fragment, v6, link, now)
        ethernet_header = skb.header[:_ETHERNET]
        skb.release()
        if whole is None:
            return None
        packet = ethernet_header + whole
        found = (ipv6 if v6 else ipv4).parse(packet, _ETHERNET, len(whole))
        if found is None:
            return None
        return self._deliver(Skb(packet, None, checksum_good=False), found, link, now)

    def _add_fragment(
        self, frame: bytes, fragment: IpFragment, v6: bool, link: Link, now: float
    ) -> bytes | None:
        """The whole packet, if this was its last missing fragment."""
        packet, source_mac = frame[_ETHERNET:], ethernet.parse(frame)[1]
        if v6 and (problem := ipv6.fragment_problem(fragment)) is not None:
            self._mib.Ip6InHdrErrors += 1
            packet = packet[: ipv6.packet_bytes(packet)]
            self._icmp.send_problem(problem, packet, link, source_mac, now)
            return None
        first = None
        if not fragment.offset:
            first = FirstFragment(packet[: ipv6.MIN_MTU], link, source_mac)
        return (self.fragments6 if v6 else self.fragments).add(fragment, now, first)

    def _complain(self, skb: Skb, link: Link, now: float) -> None:
        """An IPv6 packet whose headers cannot be processed; answered if it is whole and for us."""
        packet = skb.header[_ETHERNET:]
        size = ipv6.packet_bytes(packet)
        if not size or size > len(packet) or skb.payload is not None:
            return
        dst = ip.destination(packet)
        if dst in self._addresses or dst in link.groups:
            self._icmp.complain(packet[:size], link, ethernet.parse(skb.header)[1], now)

    def next_timeout(self) -> float | None:
        """When a packet is given up that lacks fragments."""
        return earlier(self.fragments.next_timeout(), self.fragments6.next_timeout())

    def handle_timeout(self, now: float) -> None:
        due = self.next_timeout()
        if due is None or now < due:  # the rule: a list each would be made for nothing
            return
        for fragments in (self.fragments, self.fragments6):
            for first in fragments.handle_timeout(now):
                self._icmp.reassembly_timed_out(first, now)

"""From a received packet to the TCP segment in it; ARP, neighbour discovery and ICMP are answered here.

In: skbs from the device. Out: (IP header, segment) for TCP that is addressed to us; ICMP errors to whoever
handles them. Reads headers; payload that the NIC parted from them passes untouched, payload that it could not
part is moved to host pages. Owns the fragments of packets.
Source: ip_rcv (net/ipv4/ip_input.c), ipv6_rcv (net/ipv6/ip6_input.c), icmp_rcv, icmpv6_rcv.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.inet.ip_fragment import IpFragments
from nodes.inet.link import Link
from nodes.inet.mib import IpMib
from nodes.machine.cpu import Cpu
from nodes.skb import LinearFrags, Skb
from nodes.sock.send_pages import SendPages
from nodes.tcp.mib import TcpMib
from nodes.tcp.segment import Segment
from nodes.wire import arp, ethernet, icmp, icmpv6, ip, ipv4, ipv6, ndisc, tcp
from nodes.wire.checksum import fold, internet_checksum, partial_sum, pseudo_header_sum
from nodes.wire.icmp import IcmpError
from nodes.wire.ip import IpFragment, IpHeader

_ETHERNET = ethernet.HEADER_BYTES
Arrival = tuple[IpHeader, Segment]


class IpInput:
    """`on_error(error, whether of ICMPv6, now)` takes ICMP errors; `pages` is where linear payload goes."""

    def __init__(
        self,
        link: Link,
        cpu: Cpu,
        pages: SendPages,
        mibs: tuple[IpMib, TcpMib],
        on_error: Callable[[IcmpError, bool, float], None],
    ) -> None:
        self._link = link
        self._cpu = cpu
        self._pages = pages
        self._mib, self._tcp_mib = mibs
        self._on_error = on_error
        self.fragments = IpFragments(self._mib)
        self._ours = link.ours

    def receive(self, skb: Skb, now: float) -> Arrival | None:
        """One packet. What is returned owns the skb's payload; else it is released."""
        header, payload = skb.header, skb.payload
        self._cpu.read_header(len(header), skb.wire_packets)
        if len(header) < _ETHERNET:
            skb.release()
            return None
        _, source_mac, ethertype = ethernet.parse(header)
        available = len(header) - _ETHERNET + (len(payload) if payload is not None else 0)
        mib = self._mib
        if ethertype == ethernet.TYPE_IPV4:
            mib.IpInReceives += 1
            found = ipv4.parse(header, _ETHERNET, available)
            if found is None:
                return self._piece(skb, ipv4.fragment(header, _ETHERNET, available), False, now)
        elif ethertype == ethernet.TYPE_IPV6:
            mib.Ip6InReceives += 1
            found = ipv6.parse(header, _ETHERNET, available)
            if found is None:
                return self._piece(skb, ipv6.fragment(header, _ETHERNET, available), True, now)
        else:
            found = None
            packet = arp.parse(header, _ETHERNET) if ethertype == ethernet.TYPE_ARP else None
            if packet is not None:
                self._link.receive_arp(packet, now)
        if found is not None:
            return self._deliver(skb, found, source_mac, now)
        skb.release()
        return None

    def _deliver(self, skb: Skb, found: IpHeader, source_mac: bytes, now: float) -> Arrival | None:
        """A whole packet."""
        if found.dst in self._ours:
            if found.protocol == ip.TCP:
                return self._tcp(skb, found)
            self._other(skb.header, found, source_mac, now)
        elif found.dst in self._link.groups:
            if found.protocol != ip.TCP:  # there is no TCP to a group
                self._other(skb.header, found, source_mac, now)
        else:
            self._count_address_error(found)
        skb.release()
        return None

    def _count_address_error(self, found: IpHeader) -> None:
        if ip.is_ipv6(found.dst):
            self._mib.Ip6InAddrErrors += 1
        else:
            self._mib.IpInAddrErrors += 1

    # --- pieces

    def _piece(self, skb: Skb, fragment: IpFragment | None, v6: bool, now: float) -> Arrival | None:
        """A packet that cannot be read as it is: a fragment, or damaged."""
        if fragment is None:
            if v6:
                self._mib.Ip6InHdrErrors += 1
            else:
                self._mib.IpInHdrErrors += 1
        whole = None
        if fragment is not None and skb.payload is None and fragment.key[1] in self._ours:
            whole = self.fragments.add(fragment, now)
        ethernet_header = bytes(skb.header[:_ETHERNET])
        skb.release()
        if whole is None:
            return None
        packet = memoryview(ethernet_header + whole)
        found = (ipv6 if v6 else ipv4).parse(packet, _ETHERNET, len(whole))
        if found is None:
            return None
        source_mac = bytes(packet[6:12])
        return self._deliver(Skb(packet, None, checksum_good=False), found, source_mac, now)

    # --- TCP

    def _tcp(self, skb: Skb, found: IpHeader) -> Arrival | None:
        self._tcp_mib.TcpInSegs += 1
        start = _ETHERNET + found.header_bytes
        try:
            header, header_bytes = tcp.parse(skb.header, start)
        except tcp.MalformedTcp:
            self._tcp_mib.TcpInErrs += 1
            skb.release()
            return None
        if skb.payload is None and header_bytes > found.payload_bytes:  # into the padding of a short frame
            self._tcp_mib.TcpInErrs += 1
            skb.release()
            return None
        if skb.payload is None and (header_bytes < found.payload_bytes or not skb.checksum_good):
            return self._linear(skb, found, header, header_bytes)
        return found, Segment(header, skb.payload, skb.gso_size, found.tos & 3)

    def _linear(
        self, skb: Skb, found: IpHeader, header: tcp.TcpHeader, header_bytes: int
    ) -> Arrival | None:
        """The NIC left everything in its header buffer, unverified: check it, and keep what is TCP's."""
        start = _ETHERNET + found.header_bytes
        packet = skb.header[start : start + found.payload_bytes]
        if len(packet) < found.payload_bytes or not (skb.checksum_good or _checksum_good(packet, found)):
            self._tcp_mib.TcpInErrs += 1
            self._mib.TcpInCsumErrors += 1
            return None
        if header_bytes == found.payload_bytes:
            return found, Segment(header, None, skb.gso_size, found.tos & 3)
        try:
            payload = self._pages.copy_from_user(packet[header_bytes:])
        except OSError:  # no page left: lost, as on a NIC without buffers
            return None
        return found, Segment(header, LinearFrags(payload.frags), skb.gso_size, found.tos & 3)

    # --- everything else

    def _other(self, frame: memoryview, found: IpHeader, source_mac: bytes, now: float) -> None:
        start = _ETHERNET + found.header_bytes
        message = frame[start : start + found.payload_bytes]
        if found.protocol == ip.ICMP and not ip.is_ipv6(found.dst):
            self._icmp(message, found, source_mac, now)
        elif found.protocol == ip.ICMPV6 and ip.is_ipv6(found.dst):
            self._icmpv6(message, found, source_mac, now)
        elif ip.is_ipv6(found.dst):
            self._mib.Ip6InUnknownProtos += 1
        else:
            self._mib.IpInUnknownProtos += 1

    def _icmp(self, message: memoryview, found: IpHeader, source_mac: bytes, now: float) -> None:
        mib = self._mib
        mib.IcmpInMsgs += 1
        if internet_checksum(message):
            mib.IcmpInErrors += 1
            mib.IcmpInCsumErrors += 1
            return
        reply = icmp.echo_reply(message)
        if reply is not None:
            mib.IcmpInEchos += 1
            mib.IcmpOutMsgs += 1
            mib.IcmpOutEchoReps += 1
            packets = self._link.answer(found, source_mac, reply)
            if packets > 1:
                mib.IpFragOKs += 1
                mib.IpFragCreates += packets
            return
        error = icmp.parse_error(message)
        if error is not None:
            mib.IcmpInDestUnreachs += error.type == icmp.UNREACHABLE
            self._on_error(error, False, now)

    def _icmpv6(self, message: memoryview, found: IpHeader, source_mac: bytes, now: float) -> None:
        mib = self._mib
        mib.Icmp6InMsgs += 1
        if not message or not icmpv6.checksum_good(message, found.src, found.dst):
            mib.Icmp6InErrors += 1
            mib.Icmp6InCsumErrors += 1
        elif message[0] in (ndisc.SOLICITATION, ndisc.ADVERTISEMENT):
            self._link.receive_ndisc(message, found, source_mac, now)
        elif found.dst != self._link.v6.address:
            return  # nothing else is meant for a group
        elif (reply := icmpv6.echo_reply(message, found.src, found.dst)) is not None:
            mib.Icmp6InEchos += 1
            mib.Icmp6OutMsgs += 1
            mib.Icmp6OutEchoReplies += 1
            packets = self._link.answer(found, source_mac, reply)
            if packets > 1:
                mib.Ip6FragOKs += 1
                mib.Ip6FragCreates += packets
        elif (error := icmpv6.parse_error(message, found.src, found.dst)) is not None:
            mib.Icmp6InDestUnreachs += error.type == icmpv6.UNREACHABLE
            mib.Icmp6InPktTooBigs += error.type == icmpv6.PACKET_TOO_BIG
            self._on_error(error, True, now)


def _checksum_good(packet: memoryview, found: IpHeader) -> bool:
    """Verify a whole TCP packet in host memory."""
    pseudo = pseudo_header_sum(found.src, found.dst, ip.TCP, len(packet))
    return fold(pseudo + partial_sum(packet)) == 0xFFFF

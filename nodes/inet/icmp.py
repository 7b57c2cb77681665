"""What is not TCP's: pings are answered, neighbour messages go to neighbour discovery, the rest is refused.

In: packets for this host, whose IP header was parsed, or proved damaged. Out: replies and, by `icmp_xmit`,
errors; errors about packets of ours, to `on_error`, since only TCP can tell whether to believe them. Owns
nothing; adds to the counters. Source: icmp_rcv, ip_protocol_deliver_rcu, __udp4_lib_rcv (net/ipv4),
icmpv6_rcv, ip6_protocol_deliver_rcu, __udp6_lib_rcv (net/ipv6).
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.inet import ip_output
from nodes.inet.icmp_xmit import IcmpXmit
from nodes.inet.ip_fragment import FirstFragment
from nodes.inet.ip_ident import IpIdents
from nodes.inet.link import Link
from nodes.inet.mib import IpMib
from nodes.wire import icmp, icmpv6, ip, ipv6, ndisc, udp
from nodes.wire.checksum import internet_checksum
from nodes.wire.icmp import IcmpError
from nodes.wire.ip import IpHeader
from nodes.wire.ipv6 import Problem

# The error, whether it is one of ICMPv6, `now`.
OnError = Callable[[IcmpError, bool, float], None]
_HOST_UNREACHABLE, _ADDRESS_UNREACHABLE = 1, 3  # codes for a next hop that does not answer
_REASSEMBLY_TIME = 1  # a code of "time exceeded"


class IcmpInput:
    def __init__(self, mib: IpMib, on_error: OnError, idents: IpIdents) -> None:
        self._mib = mib
        self._on_error = on_error
        self._idents = idents
        self._errors = IcmpXmit(mib, idents)

    def receive(self, packet: bytes, header: IpHeader, link: Link, source_mac: bytes, now: float) -> None:
        """A packet for us, or for one of our groups, that is not TCP's; it begins with its IP header."""
        v6 = ip.is_ipv6(header.dst)
        message = packet[header.header_bytes :]
        if header.protocol == ip.ICMP and not v6:
            self._receive_v4(message, header, link, source_mac, now)
        elif header.protocol == ip.ICMPV6 and v6:
            self._receive_v6(message, header, link, source_mac, now)
        elif header.protocol == ip.UDP:
            self._receive_udp(packet, header, link, source_mac, now)
        elif v6 and header.protocol != ip.NO_NEXT_HEADER:
            self._mib.Ip6InUnknownProtos += 1
            self.complain(packet, link, source_mac, now)
        elif not v6 and header.protocol != ip.IGMP:
            self._mib.IpInUnknownProtos += 1
            error = IcmpError(icmp.UNREACHABLE, icmp.PROTOCOL_UNREACHABLE, 0, packet)
            self._errors.send(error, link, source_mac, now)

    def _receive_udp(
        self, packet: bytes, header: IpHeader, link: Link, source_mac: bytes, now: float
    ) -> None:
        """No port is open."""
        v6, mib = ip.is_ipv6(header.dst), self._mib
        if not udp.is_intact(packet[header.header_bytes :], header.src, header.dst):
            mib.Udp6InErrors += v6
            mib.UdpInErrors += not v6
        elif v6 and not ipv6.is_multicast(header.dst):
            mib.Udp6NoPorts += 1
            error = IcmpError(icmpv6.UNREACHABLE, icmpv6.PORT_UNREACHABLE, 0, packet)
            self._errors.send(error, link, source_mac, now)
        elif not v6:
            mib.UdpNoPorts += 1
            error = IcmpError(icmp.UNREACHABLE, icmp.PORT_UNREACHABLE, 0, packet)
            self._errors.send(error, link, source_mac, now)

    def complain(self, packet: bytes, link: Link, source_mac: bytes, now: float) -> None:
        """An IPv6 packet for us or for one of our groups whose headers cannot be processed."""
        problem = ipv6.parameter_problem(packet)
        to = ip.destination(packet)
        if problem is not None and (problem.to_group or not ipv6.is_multicast(to)):
            self.send_problem(problem, packet, link, source_mac, now)

    def send_problem(
        self, problem: Problem, packet: bytes, link: Link, source_mac: bytes, now: float
    ) -> None:
        error = IcmpError(icmpv6.PARAMETER_PROBLEM, problem.code, problem.pointer, packet)
        self._errors.send(error, link, source_mac, now)

    def reassembly_timed_out(self, first: FirstFragment, now: float) -> None:
        """A packet did not become whole in time, and its first fragment came."""
        v6 = first.packet[0] >> 4 == 6
        kind = icmpv6.TIME_EXCEEDED if v6 else icmp.TIME_EXCEEDED
        error = IcmpError(kind, _REASSEMBLY_TIME, 0, first.packet)
        self._errors.send(error, first.link, first.mac, now)

    def next_hop_unreachable(self, packet: bytes, now: float) -> None:
        """The next hop of `packet`, an IP packet of ours, does not answer: tell TCP what a router would."""
        if packet[0] >> 4 == 6:
            ours = int.from_bytes(packet[8:24], "big")
            self._on_error(IcmpError(icmpv6.UNREACHABLE, _ADDRESS_UNREACHABLE, 0, packet, 0, ours), True, now)
        else:
            ours = int.from_bytes(packet[12:16], "big")
            self._on_error(IcmpError(icmp.UNREACHABLE, _HOST_UNREACHABLE, 0, packet, 0, ours), False, now)

    def _receive_v4(
        self, message: bytes, header: IpHeader, link: Link, source_mac: bytes, now: float
    ) -> None:
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
            packets = ip_output.reply(link, header, source_mac, reply, self._idents, now)
            if packets > 1:
                mib.IpFragOKs += 1
                mib.IpFragCreates += packets
            return
        error = icmp.parse_error(message, header.src)
        if error is not None:
            mib.IcmpInDestUnreachs += error.type == icmp.UNREACHABLE
            mib.IcmpInTimeExcds += error.type == icmp.TIME_EXCEEDED
            mib.IcmpInRedirects += error.type == icmp.REDIRECT
            self._on_error(error, False, now)

    def _receive_v6(
        self, message: bytes, header: IpHeader, link: Link, source_mac: bytes, now: float
    ) -> None:
        mib = self._mib
        mib.Icmp6InMsgs += 1
        if not message or not icmpv6.checksum_good(message, header.src, header.dst):
            mib.Icmp6InErrors += 1
            mib.Icmp6InCsumErrors += 1
        elif message[0] in (ndisc.SOLICITATION, ndisc.ADVERTISEMENT):
            link.ndisc.receive(message, header, source_mac, now)
        elif ipv6.is_multicast(header.dst):
            return  # a group receives nothing else
        elif (reply := icmpv6.echo_reply(message, header.src, header.dst)) is not None:
            mib.Icmp6InEchos += 1
            mib.Icmp6OutMsgs += 1
            mib.Icmp6OutEchoReplies += 1
            packets = ip_output.reply(link, header, source_mac, reply, self._idents, now)
            if packets > 1:
                mib.Ip6FragOKs += 1
                mib.Ip6FragCreates += packets
        elif (error := icmpv6.parse_error(message, header.src, header.dst)) is not None:
            mib.Icmp6InDestUnreachs += error.type == icmpv6.UNREACHABLE
            mib.Icmp6InPktTooBigs += error.type == icmpv6.PACKET_TOO_BIG
            mib.Icmp6InTimeExcds += error.type == icmpv6.TIME_EXCEEDED
            self._on_error(error, True, now)

"""The counters of the IP layer, under the kernel's names. Owns the numbers; other parts add to them.

Source: net/ipv4/proc.c, net/ipv6/proc.c (/proc/net/snmp, netstat, snmp6). Only events that are really counted
have a field; the counters of connections are in nodes.tcp.mib.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(slots=True)
class IpMib:
    """Counters since the host began. A packet that the NIC coalesced counts as one, as after GRO."""

    IpInReceives: Annotated[int, "packets", "IPv4 packets received"] = 0
    IpInHdrErrors: Annotated[int, "packets", "with a wrong header"] = 0
    IpInAddrErrors: Annotated[int, "packets", "for an address that is not the host's"] = 0
    IpInUnknownProtos: Annotated[int, "packets", "of a protocol that nobody here speaks"] = 0
    IpReasmReqds: Annotated[int, "packets", "fragments received"] = 0
    IpReasmOKs: Annotated[int, "packets", "put together"] = 0
    IpReasmFails: Annotated[int, "packets", "given up"] = 0
    IpReasmTimeout: Annotated[int, "packets", "given up since fragments were missing for too long"] = 0
    IpFragOKs: Annotated[int, "packets", "cut into fragments to be sent"] = 0
    IpFragCreates: Annotated[int, "packets", "fragments sent"] = 0
    IpOutNoRoutes: Annotated[int, "packets", "not sent, since there is no route"] = 0
    Ip6InReceives: Annotated[int, "packets", "IPv6 packets received"] = 0
    Ip6InHdrErrors: Annotated[int, "packets", "likewise, as of IPv4"] = 0
    Ip6InAddrErrors: Annotated[int, "packets", "likewise"] = 0
    Ip6InUnknownProtos: Annotated[int, "packets", "likewise"] = 0
    Ip6OutNoRoutes: Annotated[int, "packets", "likewise"] = 0
    Ip6ReasmReqds: Annotated[int, "packets", "likewise"] = 0
    Ip6ReasmOKs: Annotated[int, "packets", "likewise"] = 0
    Ip6ReasmFails: Annotated[int, "packets", "likewise"] = 0
    Ip6ReasmTimeout: Annotated[int, "packets", "likewise"] = 0
    Ip6FragOKs: Annotated[int, "packets", "likewise"] = 0
    Ip6FragCreates: Annotated[int, "packets", "likewise"] = 0
    IcmpInMsgs: Annotated[int, "packets", "ICMP messages received"] = 0
    IcmpInErrors: Annotated[
        int, "packets", "those among them that are wrong, or about no connection of ours"
    ] = 0
    IcmpInCsumErrors: Annotated[int, "packets", "those with a wrong checksum"] = 0
    IcmpInEchos: Annotated[int, "packets", "echo requests received"] = 0
    IcmpInDestUnreachs: Annotated[
        int, "packets", "destination unreachable received, fragmentation needed among it"
    ] = 0
    IcmpInTimeExcds: Annotated[int, "packets", "time exceeded received"] = 0
    IcmpInRedirects: Annotated[int, "packets", "redirects received"] = 0
    IcmpOutMsgs: Annotated[int, "packets", "ICMP messages sent"] = 0
    IcmpOutEchoReps: Annotated[int, "packets", "echo replies sent"] = 0
    IcmpOutDestUnreachs: Annotated[int, "packets", "destination unreachable sent"] = 0
    IcmpOutTimeExcds: Annotated[int, "packets", "time exceeded sent"] = 0
    Icmp6InMsgs: Annotated[int, "packets", "ICMPv6 messages received"] = 0
    Icmp6InErrors: Annotated[int, "packets", "likewise, as of ICMP"] = 0
    Icmp6InCsumErrors: Annotated[int, "packets", "likewise"] = 0
    Icmp6InEchos: Annotated[int, "packets", "likewise"] = 0
    Icmp6InDestUnreachs: Annotated[int, "packets", "likewise"] = 0
    Icmp6InPktTooBigs: Annotated[int, "packets", "packet too big received"] = 0
    Icmp6InTimeExcds: Annotated[int, "packets", "time exceeded received"] = 0
    Icmp6OutMsgs: Annotated[int, "packets", "ICMPv6 messages sent"] = 0
    Icmp6OutEchoReplies: Annotated[int, "packets", "echo replies sent"] = 0
    Icmp6OutDestUnreachs: Annotated[int, "packets", "destination unreachable sent"] = 0
    Icmp6OutTimeExcds: Annotated[int, "packets", "time exceeded sent"] = 0
    Icmp6OutParmProblems: Annotated[int, "packets", "parameter problem sent"] = 0
    UdpNoPorts: Annotated[int, "packets", "UDP packets received: nothing here has a UDP port"] = 0
    UdpInErrors: Annotated[int, "packets", "UDP packets with a wrong checksum or length"] = 0
    Udp6NoPorts: Annotated[int, "packets", "likewise, over IPv6"] = 0
    Udp6InErrors: Annotated[int, "packets", "likewise"] = 0
    TcpInCsumErrors: Annotated[
        int, "segments", "with a wrong checksum, those that the NIC dropped included"
    ] = 0
    TcpExtListenOverflows: Annotated[int, "times", "a connection found a listener's queue full"] = 0
    TcpExtListenDrops: Annotated[int, "times", "likewise, and what brought it was dropped"] = 0
    TcpExtTCPDeferAcceptDrop: Annotated[
        int, "segments", "ACKs of handshakes that wait for data (TCP_DEFER_ACCEPT)"
    ] = 0
    TcpExtOutOfWindowIcmps: Annotated[int, "packets", "ICMP messages that quote no segment in flight"] = 0
    TcpExtSyncookiesSent: Annotated[int, "segments", "SYN cookies sent"] = 0
    TcpExtSyncookiesRecv: Annotated[int, "segments", "ACKs that brought a right cookie"] = 0
    TcpExtSyncookiesFailed: Annotated[
        int, "segments", "ACKs that brought a wrong one, or none where cookies had been sent"
    ] = 0
    TcpExtTCPReqQFullDoCookies: Annotated[
        int, "times", "a listener had too many handshakes under way, so a cookie was sent"
    ] = 0

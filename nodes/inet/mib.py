"""The counters of the IP layer, under the kernel's names. Owns the numbers; other parts add to them.

Source: net/ipv4/proc.c, net/ipv6/proc.c (/proc/net/snmp, netstat, snmp6). Only events that are really counted
have a field; the counters of connections are in nodes.tcp.mib.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class IpMib:
    """Counters since the host began. A packet that the NIC coalesced counts as one, as after GRO."""

    IpInReceives: int = 0
    IpInHdrErrors: int = 0
    IpInAddrErrors: int = 0
    IpInUnknownProtos: int = 0
    IpReasmReqds: int = 0
    IpReasmOKs: int = 0
    IpReasmFails: int = 0
    IpReasmTimeout: int = 0
    IpFragOKs: int = 0
    IpFragCreates: int = 0
    IpOutNoRoutes: int = 0
    Ip6InReceives: int = 0
    Ip6InHdrErrors: int = 0
    Ip6InAddrErrors: int = 0
    Ip6InUnknownProtos: int = 0
    Ip6OutNoRoutes: int = 0
    Ip6ReasmReqds: int = 0
    Ip6ReasmOKs: int = 0
    Ip6ReasmFails: int = 0
    Ip6ReasmTimeout: int = 0
    Ip6FragOKs: int = 0
    Ip6FragCreates: int = 0
    IcmpInMsgs: int = 0
    IcmpInErrors: int = 0
    IcmpInCsumErrors: int = 0
    IcmpInEchos: int = 0
    IcmpInDestUnreachs: int = 0
    IcmpInTimeExcds: int = 0
    IcmpInRedirects: int = 0
    IcmpOutMsgs: int = 0
    IcmpOutEchoReps: int = 0
    IcmpOutDestUnreachs: int = 0
    IcmpOutTimeExcds: int = 0
    Icmp6InMsgs: int = 0
    Icmp6InErrors: int = 0
    Icmp6InCsumErrors: int = 0
    Icmp6InEchos: int = 0
    Icmp6InDestUnreachs: int = 0
    Icmp6InPktTooBigs: int = 0
    Icmp6InTimeExcds: int = 0
    Icmp6OutMsgs: int = 0
    Icmp6OutEchoReplies: int = 0
    Icmp6OutDestUnreachs: int = 0
    Icmp6OutTimeExcds: int = 0
    Icmp6OutParmProblems: int = 0
    UdpNoPorts: int = 0
    UdpInErrors: int = 0
    Udp6NoPorts: int = 0
    Udp6InErrors: int = 0
    TcpInCsumErrors: int = 0
    TcpExtListenOverflows: int = 0
    TcpExtListenDrops: int = 0
    TcpExtTCPDeferAcceptDrop: int = 0
    TcpExtOutOfWindowIcmps: int = 0
    TcpExtSyncookiesSent: int = 0
    TcpExtSyncookiesRecv: int = 0
    TcpExtSyncookiesFailed: int = 0
    TcpExtTCPReqQFullDoCookies: int = 0

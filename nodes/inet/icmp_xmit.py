"""ICMP and ICMPv6 errors that this host sends: what is wrong with a packet in, an error to its sender out.

Owns the rate limits: as many errors to one address, and as many to all, as Linux sends by default. Source:
__icmp_send, icmpv4_xrlim_allow, icmp_global_allow (net/ipv4/icmp.c), icmp6_send, icmpv6_xrlim_allow
(net/ipv6/icmp.c), inet_peer_xrlim_allow (net/ipv4/inetpeer.c).
"""

from __future__ import annotations

from nodes.inet.ip_ident import IpIdents
from nodes.inet.link import Link
from nodes.inet.mib import IpMib
from nodes.skb import Skb
from nodes.wire import icmp, icmpv6, ip, ipv4, ipv6
from nodes.wire.icmp import IcmpError

# Between two errors to one address, once the burst is used up: sysctls icmp_ratelimit, icmp.ratelimit.
INTERVAL_V4_S, INTERVAL_V6_S = 1.0, 0.1
BURST = 6  # XRLIM_BURST_FACTOR
_ALL_INTERVAL_S, _ALL_BURST = 0.001, 50  # sysctl icmp_msgs_per_sec, icmp_msgs_burst: to all addresses
_PEERS_MAX = 1024
_ALL = 0  # no peer has this address
_PRECEDENCE, _TOS_MASK = 0xC0, 0x1E  # IPTOS_PREC_INTERNETCONTROL, IPTOS_TOS_MASK


class RateLimit:
    """Token buckets; a token comes every `interval_s`, until there are `burst`."""

    def __init__(self) -> None:
        self._credit: dict[int, tuple[float, float]] = {}  # address -> tokens, as of when

    def allow(self, peer: int, interval_s: float, burst: int, now: float) -> bool:
        credit, since = self._credit.pop(peer, (float(burst), now))
        credit = min(credit + (now - since) / interval_s, burst)
        allowed = credit >= 1
        if len(self._credit) >= _PEERS_MAX:
            del self._credit[next(iter(self._credit))]
        self._credit[peer] = (credit - allowed, now)
        return allowed


class IcmpXmit:
    def __init__(self, mib: IpMib, idents: IpIdents) -> None:
        self._mib = mib
        self._idents = idents
        self._limit = RateLimit()

    def send(self, error: IcmpError, link: Link, mac: bytes, now: float) -> None:
        """`error.quote` is the whole packet that it is about, which came by `link` from `mac`. No error
        answers a packet whose source is no single host, nor an error (RFC 1122 section 3.2.2, RFC 4443
        section 2.4)."""
        packet = error.quote
        v6 = packet[0] >> 4 == 6
        at, size = (8, 16) if v6 else (12, 4)
        source = int.from_bytes(packet[at : at + size], "big")
        to = int.from_bytes(packet[at + size : at + 2 * size], "big")
        if not _is_host(source, link) or (v6 and _is_error(packet)) or not self._may_send(source, now):
            return
        if v6:
            ours = link.v6.address if ipv6.is_multicast(to) else to
            message = icmpv6.emit_error(error, ours, source)
            packets = [ipv6.emit(ours, source, ip.ICMPV6, len(message)) + message]
        else:
            message = icmp.emit_error(error)
            tos = _PRECEDENCE | packet[1] & _TOS_MASK
            ident = self._idents.select_v4(source, to, ip.ICMP, now)
            mtu = link.device.config.mtu
            packets = ipv4.fragments(to, source, ip.ICMP, message, mtu, ident, tos)
        self._count(error, v6)
        ethertype = (link.v6 if v6 else link.v4).ethertype
        for each in packets:
            link.xmit_frame(Skb(each, None), mac, ethertype)

    def _may_send(self, peer: int, now: float) -> bool:
        interval_s = INTERVAL_V6_S if ip.is_ipv6(peer) else INTERVAL_V4_S
        allow = self._limit.allow
        return allow(peer, interval_s, BURST, now) and allow(_ALL, _ALL_INTERVAL_S, _ALL_BURST, now)

    def _count(self, error: IcmpError, v6: bool) -> None:
        mib = self._mib
        if v6:
            mib.Icmp6OutMsgs += 1
            mib.Icmp6OutDestUnreachs += error.type == icmpv6.UNREACHABLE
            mib.Icmp6OutTimeExcds += error.type == icmpv6.TIME_EXCEEDED
            mib.Icmp6OutParmProblems += error.type == icmpv6.PARAMETER_PROBLEM
        else:
            mib.IcmpOutMsgs += 1
            mib.IcmpOutDestUnreachs += error.type == icmp.UNREACHABLE
            mib.IcmpOutTimeExcds += error.type == icmp.TIME_EXCEEDED


def _is_host(address: int, link: Link) -> bool:
    """Whether `address` is that of one host, and not unspecified, broadcast or of a group."""
    if ip.is_ipv6(address):
        return not ipv6.is_multicast(address)
    return ipv4.is_unicast(address) and address != link.v4.broadcast


def _is_error(packet: bytes) -> bool:
    """Whether an IPv6 packet is an ICMPv6 error, or cannot be told."""
    protocol, at = ipv6.upper_layer(packet)
    return protocol == ip.ICMPV6 and (at >= len(packet) or packet[at] < icmpv6.ECHO_REQUEST)

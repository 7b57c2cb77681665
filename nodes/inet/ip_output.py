"""IP headers in front of what TCP and ICMP send, and the choice of the link.

In: a TCP header with its payload and the connection's route; an ICMP reply. Out: IP packets to a link. Owns
nothing. Source: __ip_queue_xmit, ip_fragment (net/ipv4/ip_output.c), ip6_xmit (net/ipv6/ip6_output.c).
"""

from __future__ import annotations

from dataclasses import dataclass

from mypy_extensions import mypyc_attr

from nodes.inet.ip_ident import IpIdents
from nodes.inet.link import Link
from nodes.inet.route import Route
from nodes.skb import Frags, Skb
from nodes.wire import ip, ipv4, ipv6
from nodes.wire.ip import IpHeader


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, init=False)
class IpFields:
    """Fields of a header that a socket decides on: type of service or traffic class, time to live or hop
    limit. IPv4 alone has an identification and DF, by which no router may fragment the packet."""

    tos: int
    ttl: int
    ident: int
    df: bool

    def __init__(self, tos: int = 0, ttl: int = ip.HOP_LIMIT, ident: int = 0, df: bool = True) -> None:
        self.tos = tos
        self.ttl = ttl
        self.ident = ident
        self.df = df


def queue_xmit(
    tcp_header: bytes, payload: Frags | None, mss: int, route: Route, remote: int, fields: IpFields,
    now: float,
) -> int:  # fmt: skip
    """Send a TCP segment to `remote` by `route`. The NIC cuts a payload longer than `mss` bytes (0: does not
    cut). Returns how many wire packets it is; they count up from the identification in `fields`."""
    length = len(payload) if payload is not None else 0
    source = route.source
    ours, l4_bytes, tos, ttl = source.address, len(tcp_header) + length, fields.tos, fields.ttl
    if source.is_v6:
        header = ipv6.emit(ours, remote, ip.TCP, l4_bytes, tos, ttl)
    else:
        header = ipv4.emit(ours, remote, ip.TCP, l4_bytes, tos, ttl, fields.ident, fields.df)
    skb = Skb(header + tcp_header, payload)
    if mss and length > mss:
        skb.gso_size = mss
        skb.wire_packets = -(-length // mss)
    route.link.xmit(skb, route.next_hop(remote), now)
    return skb.wire_packets


def reply(link: Link, to: IpHeader, mac: bytes, message: bytes, idents: IpIdents, now: float) -> int:
    """Send an ICMP message back to the sender of `to`, at `mac`, from the address that it was sent to;
    returns in how many packets. Those of IPv4 may be fragmented by routers (IP_PMTUDISC_DONT)."""
    v6 = ip.is_ipv6(to.dst)
    source, protocol = (link.v6, ip.ICMPV6) if v6 else (link.v4, ip.ICMP)
    mtu = link.device.config.mtu
    ours, theirs = to.dst, to.src
    if not v6:
        ident = idents.select_v4(theirs, ours, protocol, now)
        packets = ipv4.fragments(ours, theirs, protocol, message, mtu, ident)
    elif source.header_bytes + len(message) <= mtu:
        packets = [ipv6.emit(ours, theirs, protocol, len(message)) + message]
    else:
        packets = ipv6.fragments(ours, theirs, protocol, message, mtu, idents.select_v6())
    for packet in packets:
        link.xmit_frame(Skb(packet, None), mac, source.ethertype)
    return len(packets)

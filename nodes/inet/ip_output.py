"""IP headers in front of what TCP and ICMP send, and the choice of the link.

In: a TCP header with its payload and the connection's route; an ICMP reply. Out: IP packets to a link. Owns
nothing. Source: __ip_queue_xmit, ip_fragment (net/ipv4/ip_output.c), ip6_xmit (net/ipv6/ip6_output.c).
"""

from __future__ import annotations

from nodes.inet.link import Link
from nodes.inet.route import Route
from nodes.skb import Frags, Skb
from nodes.wire import ip, ipv4, ipv6
from nodes.wire.ip import IpHeader


def queue_xmit(
    tcp_header: bytes, payload: Frags | None, mss: int, route: Route, remote: int, tos: int, now: float,
    ident: int = 0,
) -> None:  # fmt: skip
    """Send a TCP segment to `remote` by `route`. The NIC cuts a payload longer than `mss` bytes (0: does not
    cut). `tos`: DSCP and ECN bits. `ident`: of an IPv4 packet that routers may fragment."""
    length = len(payload) if payload is not None else 0
    source = route.source
    if ident:
        header = ipv4.emit(source.address, remote, ip.TCP, len(tcp_header) + length, tos, ident)
    else:
        header = source.emit(source.address, remote, ip.TCP, len(tcp_header) + length, tos)
    skb = Skb(memoryview(header + tcp_header), payload)
    if mss and length > mss:
        skb.gso_size = mss
        skb.wire_packets = -(-length // mss)
    route.link.xmit(skb, route.gateway or remote, now)


def reply(link: Link, to: IpHeader, mac: bytes, message: bytes) -> int:
    """Send an ICMP message back to the sender of `to`, at `mac`; returns in how many packets."""
    v6 = ip.is_ipv6(to.dst)
    source, protocol = (link.v6, ip.ICMPV6) if v6 else (link.v4, ip.ICMP)
    mtu = link.device.config.mtu
    if source.header_bytes + len(message) <= mtu:
        packets = [source.emit(source.address, to.src, protocol, len(message), 0) + message]
    else:
        cut = ipv6.fragments if v6 else ipv4.fragments
        packets = cut(source.address, to.src, protocol, message, mtu, next(link.idents))
    for packet in packets:
        link.xmit_frame(Skb(memoryview(packet), None), mac, source.ethertype)
    return len(packets)

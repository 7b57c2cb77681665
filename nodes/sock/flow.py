"""The four numbers that tell a connection from all others, and how a packet has them. Pure.

Source: struct inet_ehashfn's arguments (net/ipv4/inet_hashtables.c).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from nodes.nic import header_split
from nodes.tcp.segment import Segment
from nodes.wire import ip
from nodes.wire.ip import IpHeader

# Where the addresses lie in a frame.
_IPV4_ADDRESSES: Final = 26
_IPV4_END: Final = 34
_IPV6_ADDRESSES: Final = 22
_IPV6_END: Final = 54


class Flow(NamedTuple):
    """Addresses are integers, see wire.ip."""

    local_address: int
    local_port: int
    remote_address: int
    remote_port: int

    @property
    def local(self) -> tuple[int, int]:
        return self.local_address, self.local_port

    @property
    def remote(self) -> tuple[int, int]:
        return self.remote_address, self.remote_port

    @property
    def key(self) -> bytes:
        """As `key_of` a packet of this flow."""
        return header_split.flow_of(self.remote, self.local)

    @property
    def secret_input(self) -> bytes:
        """What keyed hashes of the flow are over (RFC 6528, RFC 4987)."""
        return repr((self.local, self.remote)).encode()


def key_of(packet: bytes, found: IpHeader, l4_start: int) -> bytes:
    """The flow of a received packet, of which `l4_start` is where TCP begins: addresses and ports as it has
    them. Four numbers would be a tuple of objects, made and hashed for every packet."""
    addresses = (
        packet[_IPV6_ADDRESSES:_IPV6_END] if ip.is_ipv6(found.dst) else packet[_IPV4_ADDRESSES:_IPV4_END]
    )
    return addresses + packet[l4_start : l4_start + 4]


def flow_of(found: IpHeader, segment: Segment) -> Flow:
    """As the receiver of the segment sees it."""
    return Flow(found.dst, segment.header.dst_port, found.src, segment.header.src_port)

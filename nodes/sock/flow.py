"""The four numbers that tell a connection from all others. Pure.

Source: struct inet_ehashfn's arguments (net/ipv4/inet_hashtables.c).
"""

from __future__ import annotations

from typing import NamedTuple

from nodes.tcp.segment import Segment
from nodes.wire.ip import IpHeader


class Flow(NamedTuple):
    """Addresses are integers, see wire.ip. A plain tuple of the same four numbers finds it in a table."""

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
    def secret_input(self) -> bytes:
        """What keyed hashes of the flow are over (RFC 6528, RFC 4987)."""
        return repr((self.local, self.remote)).encode()


def flow_of(found: IpHeader, segment: Segment) -> Flow:
    """As the receiver of the segment sees it."""
    return Flow(found.dst, segment.header.dst_port, found.src, segment.header.src_port)

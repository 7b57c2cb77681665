"""What a path's stack has counted: bytes moved through memory, and packets.

In: an endpoint's statistics, or Linux's TCP_INFO. Out: snapshots, of which a rank takes differences. Owns
nothing.
"""

from __future__ import annotations

import msgspec

from nodes.client.host import HostStats
from nodes.machine.routes import Moved
from workloads.transports.token_returns import Held


class PacketCounters(msgspec.Struct, frozen=True):
    """Packets of the stack that carries a path; None for what that stack does not report. `rx_packets` and
    `tx_packets` count super-packets, the `wire` ones what a link without segmentation offload carries."""

    rx_packets: int | None = None
    tx_packets: int | None = None
    rx_wire_packets: int | None = None
    tx_wire_packets: int | None = None
    rx_alloc_fail: int | None = None
    rx_hw_drops: int | None = None
    rx_hw_drop_overruns: int | None = None
    tcp_retrans_segs: int | None = None


class StackCounters(msgspec.Struct, frozen=True):
    """A snapshot: what a stack has moved through memory, and its packets. `held_tokens`: how long the
    application held tokens, of a path that has them."""

    moved: tuple[Moved, ...]
    packets: PacketCounters
    held_tokens: Held | None = None


def endpoint_counters(stats: HostStats) -> StackCounters:
    """Of the endpoint's own stack."""
    packets = PacketCounters(
        rx_packets=stats.rx_packets,
        tx_packets=stats.tx_packets,
        rx_wire_packets=stats.rx_wire_packets,
        tx_wire_packets=stats.tx_wire_packets,
        rx_alloc_fail=stats.rx_alloc_fail,
        rx_hw_drops=stats.rx_hw_drops,
        rx_hw_drop_overruns=stats.rx_hw_drop_overruns,
        tcp_retrans_segs=stats.tcp_retrans_segs,
    )
    return StackCounters(stats.ledger, packets)

"""What an endpoint tells of its NICs: records that replies of the channel carry.

In and out: fields. Owns nothing.
"""

from __future__ import annotations

import msgspec

from nodes.machine.routes import Moved


class NicInfo(msgspec.Struct, frozen=True, array_like=True):
    """One NIC. `address` and `address6` are the endpoint's ("" without IPv6), each with the length of its
    network's prefix; `mtu` in bytes."""

    ifname: str
    ifindex: int
    mtu: int
    address: str
    prefix: int
    address6: str = ""
    prefix6: int = 0


class Impaired(msgspec.Struct, frozen=True):
    """What the impairment of a NIC (nodes.nic) did to wire packets of a direction ("rx", "tx")."""

    ifname: str
    direction: str
    packets: int
    lost: int
    reordered: int
    duplicated: int
    corrupted: int
    overflowed: int


class NicStats(msgspec.Struct, frozen=True, array_like=True):
    """What one NIC has done so far. `moved` is its DMA: its part of the host's ledger, of which
    nodes.machine.routes.totals makes the bytes that crossed its PCIe switch."""

    ifname: str
    ifindex: int
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    rx_wire_packets: int
    tx_wire_packets: int
    rx_alloc_fail: int
    moved: tuple[Moved, ...]

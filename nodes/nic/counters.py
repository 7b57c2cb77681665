"""Counters of a NIC's queues.

In: additions by their owner. Out: the numbers, with unit and meaning for who shows them. Owns nothing.
This file is not compiled: a compiled class would forget what its annotations say.
"""

from __future__ import annotations

from typing import Annotated

import msgspec


class RxCounters(msgspec.Struct):
    """netdev.yaml's qstats of one rx queue. rx_packets counts a super-packet once; rx_wire_packets and the
    rx_hw_gro_wire_ counters count the wire packets that it was coalesced from."""

    rx_packets: Annotated[int, "packets", "frames received, a super-packet as one"] = 0
    rx_bytes: Annotated[int, "B", "bytes of these frames, a super-packet with one header"] = 0
    rx_alloc_fail: Annotated[int, "times", "how often the page pool had no buffer to post"] = 0
    rx_hw_drops: Annotated[int, "packets", "frames taken and dropped, for whatever reason"] = 0
    rx_hw_drop_overruns: Annotated[int, "packets", "those among them that found too few buffers posted"] = 0
    rx_csum_none: Annotated[
        int, "packets",
        "frames that reached the stack without a verified checksum: the NIC knows no such protocol",
    ] = 0
    rx_csum_bad: Annotated[int, "packets", "frames dropped since their TCP checksum is wrong"] = 0
    rx_hw_gro_packets: Annotated[int, "packets", "super-packets received"] = 0
    rx_hw_gro_bytes: Annotated[int, "B", "bytes of these, with one header each"] = 0
    rx_hw_gro_wire_packets: Annotated[int, "packets", "wire packets that they were coalesced from"] = 0
    rx_hw_gro_wire_bytes: Annotated[int, "B", "bytes of these, with a header each"] = 0
    rx_wire_packets: Annotated[int, "packets", "wire packets received, coalesced ones each"] = 0


class HsplitCounters(msgspec.Struct):
    """Counters of a driver beyond netdev.yaml, with the names of gve (ethtool -S)."""

    rx_hsplit_pkt: Annotated[int, "packets", "frames with payload while header split was on"] = 0
    rx_hsplit_bytes: Annotated[int, "B", "bytes of the headers that were split off"] = 0
    rx_hsplit_unsplit_pkt: Annotated[
        int, "packets", "those among the frames that could not be split: not TCP, fragments, unknown headers"
    ] = 0


class TxCounters(msgspec.Struct):
    """netdev.yaml's qstats of the tx queue."""

    tx_packets: Annotated[int, "packets", "packets sent, a super-packet as one"] = 0
    tx_bytes: Annotated[int, "B", "bytes of these frames, a super-packet with one header"] = 0
    tx_hw_drops: Annotated[
        int, "packets",
        "packets lost on the way out: the device or its link was down, or the link refused the frame",
    ] = 0
    tx_csum_none: Annotated[int, "packets", "packets that the NIC was not asked to compute a checksum of"] = 0
    tx_hw_gso_packets: Annotated[int, "packets", "super-packets sent"] = 0
    tx_hw_gso_bytes: Annotated[int, "B", "bytes of these, with one header each"] = 0
    tx_hw_gso_wire_packets: Annotated[int, "packets", "wire packets that they were cut into"] = 0
    tx_hw_gso_wire_bytes: Annotated[int, "B", "bytes of these, with a header each"] = 0
    tx_wire_packets: Annotated[
        int, "packets", "wire packets sent, those that super-packets were cut into each"
    ] = 0
    tx_stop: Annotated[int, "times", "how often the wire was busy and a packet had to wait"] = 0
    tx_wake: Annotated[int, "times", "how often all that waited had been sent"] = 0

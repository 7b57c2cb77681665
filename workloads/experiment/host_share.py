"""Which rank of a host answers for what the host's endpoint has counted: each count is in one rank's row.

In: an endpoint's statistics, the rank's place. Out: its share of them; pure. Owns nothing. The first rank of
a NIC answers for that NIC's DMA and packets. The first rank of the host answers for all else: the CPU, TCP,
and NICs that are no rank's. So the rows of a host add up to the host, and those of a NIC to the NIC.
"""

from __future__ import annotations

import msgspec

from nodes.machine.routes import negated
from nodes.uapi.nic_records import NicStats
from nodes.uapi.syscalls import Stats
from workloads.experiment.records import RankPlace

_OF_NIC = (
    "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_wire_packets", "tx_wire_packets", "rx_alloc_fail",
)  # fmt: skip
_OF_HOST = (
    "rx_hw_drops", "rx_hw_drop_overruns", "tcp_retrans_segs", "voluntary_switches", "involuntary_switches",
)  # fmt: skip


def share(stats: Stats, place: RankPlace) -> Stats:
    """That of the rank at `place`; all of it where it is the host's only one."""
    led = {each.nic for each in place.local}
    if place.leads_host:
        others = [nic for nic in stats.nics if nic.ifname in led - {place.slot.nic}]
        left = (*stats.ledger, *(each for nic in others for each in negated(nic.moved)))
        counts = {name: getattr(stats, name) - _total(others, name) for name in _OF_NIC}
        return msgspec.structs.replace(stats, ledger=left, **counts)
    own = [nic for nic in stats.nics if nic.ifname == place.slot.nic and place.leads_nic]
    return msgspec.structs.replace(
        stats,
        ledger=tuple(each for nic in own for each in nic.moved),
        cpu_s=0.0,
        **{name: _total(own, name) for name in _OF_NIC},
        **dict.fromkeys(_OF_HOST, 0),
    )


def _total(nics: list[NicStats], name: str) -> int:
    return sum(getattr(nic, name) for nic in nics)

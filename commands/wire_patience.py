"""The default of --timeout: how long nothing at all may move before a rank counts as hung.

In: what the wire does: --impair (None: nothing), and the links. Out: seconds. Owns nothing. On a good wire
something always moves. On a bad one everybody waits at times for one retransmission timer, whose time doubles
with each packet that is lost again: RFC 6298, section 5. Linux gives a connection up after 15 of them
(tcp_retries2), and so does the endpoint.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from topologies.link import Quality
from topologies.topology import Topology

if TYPE_CHECKING:
    from nodes.nic.impairment import ImpairmentConfig

QUIET_S = 10.0
_RTO_INITIAL_S, _RTO_MAX_S = 1.0, 120.0  # of RFC 6298, and TCP_RTO_MAX
_RETRIES_MAX = 15
_CHANCE = 1e-4  # that a rank is given up though its wire would have carried its bytes


def wire_patience_s(impair: str | None, topology: Topology) -> float:
    """QUIET_S, one round trip, and the longest run of lost packets that has to be expected."""
    from nodes.nic.impairment import ImpairmentConfig, parse  # numpy comes with it, and takes its time

    wire = ImpairmentConfig() if impair is None else parse(impair)
    one_way_s, arrives = _longest_path(topology)
    round_trip_s = 4 * (wire.delay + wire.jitter) + 2 * one_way_s  # by two NICs there, and by two back
    # A packet and its acknowledgement.
    passes = math.pow(1 - _lost_again(wire) - wire.corrupt, 4) * arrives**2
    if not 0 < passes < 1:  # nothing is lost; or everything is, and no patience helps
        return QUIET_S + round_trip_s
    lost_in_a_row = min(math.ceil(math.log(_CHANCE) / math.log(1 - passes)), _RETRIES_MAX)
    rto_s = max(_RTO_INITIAL_S, round_trip_s)
    timers_s = (min(rto_s * (1 << n), _RTO_MAX_S) for n in range(lost_in_a_row))
    return QUIET_S + round_trip_s + sum(timers_s)


def _lost_again(wire: ImpairmentConfig | Quality) -> float:
    """The chance that a packet is lost if the one before was: in bursts it meets the same state, most likely,
    and there is nothing between two retransmissions that would end it."""
    bursts = wire.gemodel
    return wire.loss if bursts is None else (1 - bursts.r) * bursts.lost_bad + bursts.r * bursts.lost_good


def _longest_path(topology: Topology) -> tuple[float, float]:
    """The delay of the network's longest path if its links are the worst, and the chance that a packet
    arrives."""
    links = [link for link in topology.links if link.is_relayed]
    if not links:
        return 0.0, 1.0
    from topologies.graph import diameter  # networkx takes its time to import

    hops = min(diameter(topology) or len(links), len(links))
    delays = sorted((max(way.delay_s + way.jitter_s for way in link.ways) for link in links), reverse=True)
    arriving = sorted(
        min(max(0.0, 1 - _lost_again(way) - way.corrupt) for way in link.ways) for link in links
    )
    return sum(delays[:hops]), math.prod(arriving[:hops])

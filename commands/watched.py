"""What is watched while trials run: endpoints, ranks, and links.

In: a started network, the ranks' places and pids. Out: what `workloads.experiment` observes. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from commands.network import StartedNetwork
from topologies.mininet.qdisc import token_bucket
from topologies.topology import Topology
from workloads.experiment.link_usage import LinkDirection
from workloads.experiment.records import RankPlace
from workloads.experiment.usage import Watched, WatchedLink, WatchedProcess


def watched(
    topology: Topology, started: StartedNetwork, places: Sequence[RankPlace], pids: Sequence[int]
) -> Watched:
    """`pids`: of the ranks at `places`. A link without a rate is as fast as the CPU, so it limits nothing."""
    ranks = [WatchedProcess(place.host, "rank", pid) for place, pid in zip(places, pids, strict=True)]
    endpoints = [WatchedProcess(host.name, "endpoint", host.pid) for host in started.hosts]
    links = [
        WatchedLink(end.interface, started.node_pids[end.node], link.rate_bps, bucket.burst, link.mtu)
        for link in topology.links
        if link.rate_bps
        for bucket in (token_bucket(link),)
        for end in link.ends
    ]
    return Watched((*ranks, *endpoints), tuple(links))


def directions(topology: Topology, started: StartedNetwork) -> tuple[LinkDirection, ...]:
    """Both of every link."""
    return tuple(
        LinkDirection(
            near.interface, far.interface, started.node_pids[near.node], link.rate_bps, link.mtu
        )
        for link in topology.links
        for near, far in (link.ends, link.ends[::-1])
    )

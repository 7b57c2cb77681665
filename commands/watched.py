"""What is watched while trials run: endpoints, ranks, background traffic, and links.

In: a started network, the ranks' places and pids. Out: what `workloads.experiment` observes. Owns nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from commands.network import StartedNetwork
from topologies.mininet.qdisc import token_bucket
from topologies.mininet.queue_drops import queue_drops
from topologies.topology import Topology
from workloads.experiment.link_usage import LinkDirection
from workloads.experiment.records import RankPlace
from workloads.experiment.usage import Watched, WatchedLink, WatchedProcess


def watched(
    topology: Topology,
    started: StartedNetwork,
    places: Sequence[RankPlace],
    pids: Sequence[int],
    traffic_pids: Mapping[str, int],
) -> Watched:
    """`pids`: of the ranks at `places`; `traffic_pids`: of background traffic, by host. A link without a rate
    is as fast as the CPU, so it limits nothing. Of a link to another machine, the direction that begins here.
    """
    ranks = [
        WatchedProcess(place.host, f"rank{place.rank}", pid, place.rank)
        for place, pid in zip(places, pids, strict=True)
    ]
    endpoints = [WatchedProcess(host.name, "endpoint", host.pid) for host in started.hosts]
    traffic = [WatchedProcess(host, "traffic", pid) for host, pid in traffic_pids.items()]
    links = [
        WatchedLink(
            end.interface, started.node_pids[end.node], sent.rate_bps, token_bucket(sent).burst, link.mtu
        )
        for link in topology.links
        for end in link.ends
        if end.node in started.node_pids and (sent := link.sent_by(end)).rate_bps
    ]
    return Watched((*ranks, *endpoints, *traffic), tuple(links))


def directions(topology: Topology, started: StartedNetwork) -> tuple[LinkDirection, ...]:
    """Both of every link; of links to another machine, the one that begins here."""
    return tuple(
        LinkDirection(
            near.interface,
            far.interface,
            started.node_pids[near.node],
            link.sent_by(near).rate_bps,
            link.mtu,
        )
        for link in topology.links
        for near, far in (link.ends, link.ends[::-1])
        if near.node in started.node_pids
    )


def dropped(topology: Topology, started: StartedNetwork) -> Callable[[], dict[str, int]]:
    """What the queues in front of links with a rate have dropped so far, by interface."""
    pids = {
        started.node_pids[end.node]
        for link in topology.links
        for end in link.ends
        if end.node in started.node_pids and link.sent_by(end).rate_bps
    }
    return functools.partial(queue_drops, tuple(sorted(pids)))

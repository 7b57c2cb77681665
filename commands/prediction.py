"""What a run's times would be if its links were the only limit.

In: a network, what its links were found to be or are asked to be, the hosts of the ranks. Out: seconds for
each size. Owns nothing; pure. The model is LogGP's, of one line a rank (workloads.trace.dry_run). Its latency
is the mean over pairs of hosts of what the links between them delay, its rate that of the slowest link
between any two. There is none where a rank's way has no link with a rate, where hosts have several NICs or
ranks, and for a workload that is no trace.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence

import networkx

from commands.placement import taking_part
from nodes.simulation.frame import FRAMING_BYTES
from topologies.calibration import LinkCalibration
from topologies.topology import Topology
from workloads.experiment.manifest_records import Prediction
from workloads.experiment.records import SIMULATED, ExperimentConfig
from workloads.registry import workload_of
from workloads.trace.dry_run import Model, dry_run

_HEADERS_BYTES = 52  # of IPv4 and of TCP with timestamps
_FRAME_BYTES = 14  # what a calibrated rate counts besides the IP packet


def predictions(config: ExperimentConfig, model: Model | None) -> tuple[Prediction, ...]:
    """Of the ranks whose times a measured iteration's is: their mean, or the last one's."""
    workload = workload_of(config)
    traces = workload.traces
    if model is None or traces is None:
        return ()
    of_ranks = statistics.fmean if workload.measure(config).timed == "mean" else max
    return tuple(
        Prediction(size, of_ranks(each.time_s for each in dry_run(traces(config, size), model)))
        for size in config.sizes_bytes
    )


def predicted_s(config: ExperimentConfig, network: Topology) -> dict[int, float]:
    """Of an iteration, by size, before anything is started: if links are as asked. Without a rate only the
    accelerators take time."""
    places = taking_part(config, network)
    framing = FRAMING_BYTES if config.clock == SIMULATED else 0
    model = model_of(network, asked(network), [place.host for place in places], config.mtu, framing)
    return {each.size_bytes: each.time_s for each in predictions(config, model or Model())}


def asked(network: Topology) -> list[LinkCalibration]:
    """Links as they are before they have been calibrated: exactly what was asked for."""
    return [
        LinkCalibration(near.interface, far.interface, way.rate_bps, way.rate_bps, way.delay_s, way.delay_s)
        for link in network.links
        for near, far, way in zip(link.ends, link.ends[::-1], link.ways, strict=True)
    ]


def model_of(
    network: Topology, links: Iterable[LinkCalibration], hosts: Sequence[str], mtu: int, framing: int = 0
) -> Model | None:
    """`hosts`: of each rank. `framing`: bytes around a frame for which a simulated line is busy. The model's
    rate is of payload."""
    if any(len(network.host(name).nics) > 1 for name in hosts):
        return None
    node_of = {end.interface: end.node for link in network.links for end in (link.a, link.b)}
    graph = networkx.DiGraph()
    for link in network.links:
        graph.add_edges_from(((link.a.node, link.b.node), (link.b.node, link.a.node)), delay_s=0.0, bps=0)
    for way in links:
        edge = graph.edges[node_of[way.sender], node_of[way.receiver]]
        edge["delay_s"], edge["bps"] = way.achieved_delay_s or 0.0, way.asked_bps and way.achieved_bps
    delays_s, rates = [], []
    paths = {near: networkx.single_source_shortest_path(graph, near) for near in dict.fromkeys(hosts)}
    for near, far in itertools.permutations(hosts, 2):
        edges = [graph.edges[pair] for pair in itertools.pairwise(paths[near][far])]
        found = [edge["bps"] for edge in edges if edge["bps"]]
        if not found:  # nor between two ranks of one host
            return None
        delays_s.append(sum(edge["delay_s"] for edge in edges))
        rates.append(min(found))
    wire = (mtu + _FRAME_BYTES + framing) / (mtu - _HEADERS_BYTES)
    return Model(statistics.fmean(delays_s), 8 * wire / min(rates)) if rates else None

"""Which rank is where: from a topology to the host, the accelerator and the NIC of each rank.

In: a topology, how many ranks a host has, the hosts' channels. Out: a RankPlace a rank, in the order of
ranks: by host, then by accelerator, as NCCL orders a ring. Owns nothing. A rank has an accelerator of its
own, and its own NIC is the one that shares the accelerator's PCIe switch. Fewer ranks than accelerators are
spread over these, and so over the NICs. A host without accelerators has one rank, at its first NIC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from commands.usage import UsageError
from nodes.machine.accelerator import Slot
from topologies.host import Host
from topologies.topology import Topology
from workloads.experiment.records import ExperimentConfig, LocalRank, NicPlace, RankPlace
from workloads.registry import workload_of


def slots(host: Host, ranks_per_host: int | None) -> list[Slot]:
    """Of the host's ranks; None: one an accelerator. Raises UsageError."""
    found = [Slot(each.name, each.nic, each.memory_bytes) for each in host.accelerators]
    found = found or [Slot("", host.nics[0].interface)]
    count = len(found) if ranks_per_host is None else ranks_per_host
    if count > len(found):
        has = f"{len(host.accelerators)} accelerator{'s' * (len(host.accelerators) != 1)}"
        raise UsageError(
            f"--ranks-per-host {count}: host {host.name} has {has}, and each rank needs one of its own; ask "
            f"for {len(found)} or fewer, or give the host more"
        )
    return [found[number * len(found) // count] for number in range(count)]


def placement(
    topology: Topology, ranks_per_host: int | None = None, channels: Mapping[str, str] | None = None
) -> tuple[RankPlace, ...]:
    """All ranks that the topology has room for; without `channels`, as they are before anything is started.
    Raises UsageError."""
    networks = _networks(topology)
    places: list[RankPlace] = []
    for host in topology.hosts:
        nics = tuple(
            NicPlace(nic.interface, nic.kernel_address.partition("/")[0], networks[nic.interface], rail)
            for rail, nic in enumerate(host.nics)
        )
        of_host = slots(host, ranks_per_host)
        local = tuple(LocalRank(len(places) + at, slot.nic) for at, slot in enumerate(of_host))
        channel = channels[host.name] if channels is not None else ""
        places += [
            RankPlace(each.rank, host.name, channel, slot, nics, local)
            for each, slot in zip(local, of_host, strict=True)
        ]
    return tuple(places)


def of_first(places: Sequence[RankPlace], count: int) -> tuple[RankPlace, ...]:
    """The first `count` ranks alone take part."""
    return tuple(
        RankPlace(
            each.rank, each.host, each.channel, each.slot, each.nics,
            tuple(other for other in each.local if other.rank < count),
        )
        for each in places[:count]
    )  # fmt: skip


def taking_part(
    config: ExperimentConfig, topology: Topology, channels: Mapping[str, str] | None = None
) -> tuple[RankPlace, ...]:
    """The ranks of the workload; `channels` as for `placement`. Raises UsageError."""
    return of_first(placement(topology, config.ranks_per_host, channels), workload_of(config).ranks(config))


def _networks(topology: Topology) -> dict[str, int]:
    """A number for each NIC, by interface: the same where switches and links connect them. Hosts forward
    nothing."""
    import networkx  # takes its time, and a command line's help does without

    graph = networkx.Graph()
    hosts = {host.name for host in topology.hosts}
    for link in topology.links:
        graph.add_edge(*(end.interface if end.node in hosts else f"switch {end.node}" for end in link.ends))
    return {
        node: number
        for number, connected in enumerate(networkx.connected_components(graph))
        for node in connected
    }

"""An all-reduce over hosts with several ranks each: first within the hosts, then between them.

In: a rank's part of a collective, with every rank's host. Out: its actions; pure. Owns nothing. With m ranks
a host, each sends to other hosts an m-th of what a flat ring's ranks at the hosts' borders send: the ranks
of a host share its NICs' work. Source: NCCL's and Horovod's hierarchical all-reduce.
"""

from __future__ import annotations

import msgspec

from workloads.schedules import ring
from workloads.schedules.schedule import Action, Call, among


def all_reduce(call: Call) -> list[Action]:
    """Reduce-scatter within the host, an all-reduce of the own chunk with the ranks of the same place on
    other hosts, all-gather within the host.

    Raises ValueError where hosts have unlike numbers of ranks.
    """
    hosts = _ranks_of_hosts(call)
    local = next(ranks for ranks in hosts if call.rank in ranks)
    place = local.index(call.rank)
    across = [ranks[place] for ranks in hosts]
    if len(local) == 1:
        return among(across, ring.all_reduce(_part(call, across)))
    within = _part(call, local)
    own = within.parts()[place]
    between = msgspec.structs.replace(
        _part(call, across),
        count=own.length // call.element_bytes,
        input=call.output + own.offset,
        output=call.output + own.offset,
    )
    size = len(local)
    scattered = [(place - 1 - turn) % size for turn in range(size)]
    gathered = [(place - turn) % size for turn in range(size)]
    return [
        *among(local, ring.reduced_around(within, scattered, call.output, call.output, averages=False)),
        *among(across, ring.all_reduce(between)),
        *among(local, ring.passed_around(within, gathered)),
    ]


def _ranks_of_hosts(call: Call) -> list[list[int]]:
    """The ranks of each host, in order."""
    hosts: dict[int, list[int]] = {}
    for rank, host in enumerate(call.host_of or range(call.nranks)):
        hosts.setdefault(host, []).append(rank)
    sizes = {len(ranks) for ranks in hosts.values()}
    if len(sizes) > 1:
        raise ValueError(
            f"hosts have between {min(sizes)} and {max(sizes)} ranks; hierarchical needs as many on each"
        )
    return list(hosts.values())


def _part(call: Call, members: list[int]) -> Call:
    """The same collective among `members` alone, whose ranks are their places in the list."""
    return msgspec.structs.replace(call, rank=members.index(call.rank), nranks=len(members))

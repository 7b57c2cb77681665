"""Folded Clos networks, where every leaf reaches every other over each spine: leaf_spine, fat_tree, storage.

In: numbers of switches and hosts. Out: a drawing on a `Net`. Owns nothing.
Source of fat_tree: Al-Fares et al., "A scalable, commodity data center network architecture" (SIGCOMM 2008).
"""

from __future__ import annotations

from typing import Annotated

from topologies import quantity
from topologies.address_plan import HOSTS_MAX
from topologies.net import Net, spread
from topologies.shapes.shape import Parameter, shape
from topologies.topology_error import TopologyError

_K_MAX, _FAT_TREE_MAX = 10, 250


@shape("racks: hosts below leaf routers, every leaf linked to every spine router")
def leaf_spine(
    net: Net,
    hosts: Annotated[int, Parameter("hosts of all leaves; 0: two a leaf", 2, HOSTS_MAX)] = 0,
    leaves: Annotated[int, Parameter("leaves", 2, 64)] = 2,
    spines: Annotated[int, Parameter("spines", 1, 64)] = 2,
    oversubscription: Annotated[
        float,
        Parameter("what hosts of a leaf send over what its uplinks carry; 0: all links alike", 0.1, 100),
    ] = 0.0,
) -> None:
    shares = spread(hosts or 2 * leaves, leaves)
    if shares[-1] == 0:
        raise TopologyError(
            f"topology leaf_spine cannot have {hosts} hosts on {leaves} leaves; choose {leaves} or more"
        )
    rate = _uplink_rate(net, shares[0] / (spines * oversubscription)) if oversubscription else None
    above = [net.router(f"spine{number}") for number in range(1, spines + 1)]
    for number, share in enumerate(shares, 1):
        leaf = net.router(f"leaf{number}")
        for spine in above:
            net.link(leaf, spine, rate=rate)
        for _ in range(share):
            net.link(net.host(), leaf)


def _uplink_rate(net: Net, times: float) -> str:
    if not net.asked.rate:
        raise TopologyError("oversubscription needs the rate of the hosts' links; give it, as --link 1Gbit")
    return f"{round(quantity.bit_rate(net.asked.rate) * times)}bit"


@shape("pods of edge and aggregation routers below core routers, all with k ports")
def fat_tree(
    net: Net,
    hosts: Annotated[int, Parameter("hosts of all edges; 0: as many as k allows", 2, _FAT_TREE_MAX)] = 0,
    k: Annotated[
        int, Parameter("ports of a router, even; 0: the fewest that hosts need, or 4", 2, _K_MAX)
    ] = 0,
) -> None:
    k = k or next(ports for ports in range(2 if hosts else 4, _K_MAX + 2, 2) if ports**3 // 4 >= hosts)
    half = k // 2
    if k % 2:
        raise TopologyError(f"topology fat_tree cannot have k={k}, which is odd; choose an even one")
    if hosts > k * half**2:
        raise TopologyError(
            f"topology fat_tree cannot have {hosts} hosts with k={k}; choose 2 to {k * half**2}, or "
            "a larger k"
        )
    cores = [net.router(f"core{number}") for number in range(1, half**2 + 1)]
    shares = spread(hosts or k * half**2, k * half)
    for pod in range(k):
        upper = [net.router(f"agg{pod * half + number}") for number in range(1, half + 1)]
        for number, aggregation in enumerate(upper):
            for core in cores[number * half : (number + 1) * half]:
                net.link(aggregation, core)
        for number in range(pod * half, (pod + 1) * half):
            edge = net.router(f"edge{number + 1}")
            for aggregation in upper:
                net.link(edge, aggregation)
            for _ in range(shares[number]):
                net.link(net.host(), edge)


@shape("compute hosts below one leaf router, storage hosts below another, spines above")
def storage(
    net: Net,
    hosts: Annotated[int, Parameter("hosts of both kinds", 2, HOSTS_MAX)] = 4,
    storage: Annotated[int, Parameter("storage hosts, the last ones; 0: a quarter", 1, HOSTS_MAX - 1)] = 0,
    spines: Annotated[int, Parameter("spines", 1, 64)] = 2,
) -> None:
    stores = storage or max(1, hosts // 4)
    if stores >= hosts:
        raise TopologyError(
            f"topology storage cannot have {hosts} hosts with storage={stores}; choose {stores + 1} or more"
        )
    above = [net.router(f"spine{number}") for number in range(1, spines + 1)]
    compute_leaf, storage_leaf = net.router("leaf1"), net.router("leaf2")
    for leaf in (compute_leaf, storage_leaf):
        for spine in above:
            net.link(leaf, spine)
    for _ in range(hosts - stores):
        net.link(net.host(), compute_leaf)
    for _ in range(stores):
        net.link(net.host(role="storage", accelerators=0), storage_leaf)

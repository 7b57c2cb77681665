"""Hosts with several NICs, each in a network of its own: rail_optimized, a3, dual_plane.

In: numbers of hosts, rails and switches. Out: a drawing on a `Net`. Owns nothing.
"""

from __future__ import annotations

from typing import Annotated

from topologies.address_plan import HOSTS_MAX
from topologies.net import Net, spread
from topologies.shapes.shape import Parameter, shape
from topologies.topology_error import TopologyError

_A3_NICS, _A3_ACCELERATORS = 4, 8  # as the machine type a3-highgpu-8g has them


@shape("hosts with a NIC and an accelerator a rail, a router a rail, spines above")
def rail_optimized(
    net: Net,
    hosts: Annotated[int, Parameter("hosts", 2, HOSTS_MAX)] = 2,
    rails: Annotated[int, Parameter("rails, which is NICs of a host", 2, 16)] = 4,
    spines: Annotated[int, Parameter("spines", 1, 16)] = 2,
    accelerators: Annotated[int, Parameter("accelerators of a host; 0: one a rail", 1, 64)] = 0,
) -> None:
    _rails(net, hosts, rails, spines, accelerators or rails)


@shape("rail_optimized, of hosts as A3 VMs: 4 NICs, 8 accelerators, a PCIe switch for a NIC and two of them")
def a3(
    net: Net,
    hosts: Annotated[int, Parameter("hosts", 2, HOSTS_MAX)] = 2,
    spines: Annotated[int, Parameter("spines", 1, 16)] = 2,
) -> None:
    _rails(net, hosts, _A3_NICS, spines, _A3_ACCELERATORS)


def _rails(net: Net, hosts: int, rails: int, spines: int, accelerators: int) -> None:
    above = [net.router(f"spine{number}") for number in range(1, spines + 1)]
    routers = [net.router(f"rail{number}") for number in range(1, rails + 1)]
    for rail in routers:
        for spine in above:
            net.link(rail, spine)
    for _ in range(hosts):
        host = net.host(accelerators=accelerators)
        for rail in routers:
            net.link(host, rail)


@shape("two leaf_spine networks apart; every host has a NIC in each")
def dual_plane(
    net: Net,
    hosts: Annotated[int, Parameter("hosts; 0: two a leaf", 2, HOSTS_MAX)] = 0,
    leaves: Annotated[int, Parameter("leaves of a plane", 2, 64)] = 2,
    spines: Annotated[int, Parameter("spines of a plane", 1, 64)] = 2,
) -> None:
    shares = spread(hosts or 2 * leaves, leaves)
    if shares[-1] == 0:
        raise TopologyError(
            f"topology dual_plane cannot have {hosts} hosts on {leaves} leaves; choose {leaves} or more"
        )
    planes = [_plane(net, letter, leaves, spines) for letter in "ab"]
    for share, *below in zip(shares, *planes, strict=True):
        for _ in range(share):
            host = net.host(accelerators=2)
            for leaf in below:
                net.link(host, leaf)


def _plane(net: Net, letter: str, leaves: int, spines: int) -> list[str]:
    """The leaves of a plane."""
    above = [net.router(f"{letter}spine{number}") for number in range(1, spines + 1)]
    below = [net.router(f"{letter}leaf{number}") for number in range(1, leaves + 1)]
    for leaf in below:
        for spine in above:
            net.link(leaf, spine)
    return below

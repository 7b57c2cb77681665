"""Switches one behind another: line, ring, dumbbell.

In: how many hosts. Out: a drawing on a `Net`. Owns nothing.
"""

from __future__ import annotations

from typing import Annotated

from topologies.address_plan import HOSTS_MAX
from topologies.net import Net, spread
from topologies.shapes.shape import Parameter, shape


@shape("a row of switches with a host each, as Mininet's linear")
def line(net: Net, hosts: Annotated[int, Parameter("hosts, a switch each", 2, HOSTS_MAX)] = 4) -> None:
    before = ""
    for _ in range(hosts):
        here = net.switch()
        net.link(net.host(), here)
        if before:
            net.link(before, here)
        before = here


@shape("a circle of routers with a host each")
def ring(net: Net, hosts: Annotated[int, Parameter("hosts, a router each", 3, HOSTS_MAX)] = 4) -> None:
    routers = [net.router() for _ in range(hosts)]
    for router in routers:
        net.link(net.host(), router)
    for here, after in zip(routers, routers[1:] + routers[:1], strict=True):
        net.link(here, after)


@shape("two routers with half of the hosts each; the link between them is the bottleneck")
def dumbbell(net: Net, hosts: Annotated[int, Parameter("hosts of both sides", 2, HOSTS_MAX)] = 4) -> None:
    left, right = net.router("left"), net.router("right")
    net.link(left, right, bottleneck=True)
    for side, share in zip((left, right), spread(hosts, 2), strict=True):
        for _ in range(share):
            net.link(net.host(), side)

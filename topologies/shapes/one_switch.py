"""Hosts that share a link or a switch: pair, star, incast.

In: how many hosts. Out: a drawing on a `Net`. Owns nothing.
"""

from __future__ import annotations

from typing import Annotated

from topologies.address_plan import HOSTS_MAX
from topologies.net import Net
from topologies.shapes.shape import Parameter, shape


@shape("two hosts, one direct link, no switch")
def pair(net: Net, hosts: Annotated[int, Parameter("hosts", 2, 2)] = 2) -> None:
    first, second = (net.host() for _ in range(hosts))
    net.link(first, second)


@shape("hosts around one switch")
def star(net: Net, hosts: Annotated[int, Parameter("hosts", 2, HOSTS_MAX)] = 4) -> None:
    middle = net.switch()
    for _ in range(hosts):
        net.link(net.host(), middle)


@shape("many to one: a star whose bottleneck is the link of h1")
def incast(
    net: Net, hosts: Annotated[int, Parameter("hosts, h1 and those that send", 2, HOSTS_MAX)] = 5
) -> None:
    middle = net.switch()
    net.link(net.host(), middle, bottleneck=True)
    for _ in range(hosts - 1):
        net.link(net.host(), middle)

"""The rt-route netlink family as applications use it: dictionaries in and out, as the spec names them.

    host.route.newroute({"rtm-family": 2, "dst": "10.9.0.0", "rtm-dst-len": 16, "gateway": "10.0.1.254"})

A refusal is an OSError with errno, text and `attribute`. Source: Documentation/netlink/specs/rt-route.yaml.
"""

from __future__ import annotations

from nodes.client.calls import Calls
from nodes.client.netdev import Attributes, Family


class Route(Family):
    """The routing table of a host. Changes need CAP_NET_ADMIN (EPERM), and hold until the endpoint ends."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls, "rt-route")

    def newroute(self, attributes: Attributes, *flags: str) -> None:
        """RTM_NEWROUTE. `flags`: of "create", "excl", "replace" and "append"; without any, those of `ip route
        add`: EEXIST for a route with the same prefix and metric. ENOENT, ENETUNREACH and EHOSTUNREACH for a
        gateway that is no neighbour, ENODEV, EINVAL."""
        self.do("newroute", attributes | {"nlmsg-flags": flags or ("create", "excl")})

    def delroute(self, attributes: Attributes) -> None:
        """RTM_DELROUTE: the first route that has these attributes; ESRCH."""
        self.do("delroute", attributes)

    def getroute(self, attributes: Attributes) -> Attributes:
        """RTM_GETROUTE: the route that a packet to `dst` takes; the errno of connect where there is none."""
        return dict(self.do("getroute", attributes))

    def dump_routes(self, family: int = 0) -> list[Attributes]:
        """All routes, or those of AF_INET or AF_INET6."""
        return self.dump("getroute", {"rtm-family": family})

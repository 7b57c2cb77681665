"""The rt-route netlink family as records: the routing table of a host.

In: nothing. Out: the record type of each operation's request, in `OPERATIONS`; the record of replies. A
record holds the fields of struct rtmsg and the attributes, by their names in the spec. `nlmsg_flags` are
those of the netlink header. Multipath, metrics of a route (RTAX_*), encapsulation and tables other than the
main one are absent, and so refused. Owns nothing. Source: Documentation/netlink/specs/rt-route.yaml.
"""

from __future__ import annotations

import socket
from typing import Annotated, Literal

import msgspec

from nodes.uapi.netlink import U32, Attributes, Ifindex, Mode

AF_INET, AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)
RT_TABLE_MAIN = 254
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTNH_F_LINKDOWN = 16
RTN_NAMES = (
    "unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit",
    "throw", "nat", "xresolve",
)  # fmt: skip

U8 = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
NlmsgFlag = Literal["create", "excl", "replace", "append"]


class RouteAttributes(Attributes, frozen=True):
    """A route, or a pattern of one to delete. `rtm_dst_len`: bits of `dst`; addresses are text. `rtm_type`: a
    name of RTN_NAMES, or its number. `rtm_flags`: of a dump, RTNH_F_LINKDOWN where the link has no carrier.
    `priority` is what ip-route(8) calls the metric."""

    rtm_family: U8 = 0
    rtm_dst_len: U8 = 0
    rtm_tos: U8 = 0
    rtm_table: U8 = 0
    rtm_protocol: U8 = 0
    rtm_scope: U8 = 0
    rtm_type: str | U8 = 0
    rtm_flags: U32 = 0
    dst: str | None = None
    oif: Ifindex | None = None
    gateway: str | None = None
    priority: U32 = 0
    prefsrc: str | None = None
    nlmsg_flags: tuple[NlmsgFlag, ...] = ()


class RouteGet(Attributes, frozen=True):
    """Which route a packet to `dst` takes; `oif`: of a socket that is bound to that device."""

    rtm_family: U8 = 0
    dst: str | None = None
    oif: Ifindex | None = None


class RouteDump(Attributes, frozen=True):
    """Every route, or those of one family."""

    rtm_family: U8 = 0


OPERATIONS: dict[tuple[str, str, Mode], type[Attributes]] = {
    ("rt-route", "getroute", "do"): RouteGet,
    ("rt-route", "getroute", "dump"): RouteDump,
    ("rt-route", "newroute", "do"): RouteAttributes,
    ("rt-route", "delroute", "do"): RouteAttributes,
}

"""The rt-route netlink family: routes are added, deleted and asked for while the host runs.

In: requests of uapi.rtnetlink, the routing table. Out: replies; the table changed; NetlinkError with the
errno, and where Linux has one the sentence, of the same `ip route` command. Owns nothing. Source:
rtm_to_fib_config (net/ipv4/fib_frontend.c), fib_create_info, fib_check_nh (net/ipv4/fib_semantics.c),
rtm_to_fib6_config, ip6_route_add (net/ipv6/route.c).
"""

from __future__ import annotations

import errno
from dataclasses import replace

from nodes.control.netlink_error import NetlinkError
from nodes.control.policy import require
from nodes.inet.link import Link
from nodes.inet.route import REFUSALS, RTPROT_BOOT, UNICAST, FibEntry, Prefix, RouteTable, network_of
from nodes.uapi.rtnetlink import (
    AF_INET,
    AF_INET6,
    RT_SCOPE_LINK,
    RT_SCOPE_UNIVERSE,
    RT_TABLE_MAIN,
    RTN_NAMES,
    RTNH_F_LINKDOWN,
    RouteAttributes,
    RouteDump,
    RouteGet,
)
from nodes.wire import ip

_METRIC_V6 = 1024  # IP6_RT_PRIO_USER


class RtRoute:
    """The caller has made sure of CAP_NET_ADMIN where a request changes something."""

    def __init__(self, table: RouteTable) -> None:
        self._table = table

    def newroute(self, request: RouteAttributes) -> None:
        entry = self._entry(request)
        if request.rtm_flags:
            raise NetlinkError(errno.EINVAL, f"rtm-flags {request.rtm_flags}: there is none that can be set")
        if entry.kind == UNICAST:
            entry = replace(entry, link=self._link(request, entry))
        if entry.source and not self._table.is_ours(entry.source):
            raise NetlinkError(errno.EINVAL, "Invalid prefsrc address", "prefsrc")
        if entry.prefix.v6 and not entry.metric:
            entry = replace(entry, metric=_METRIC_V6)
        entry = replace(entry, protocol=entry.protocol or RTPROT_BOOT)
        self._table.insert(entry, request.nlmsg_flags)

    def delroute(self, request: RouteAttributes) -> None:
        """What the request leaves out matches every route to the prefix; the first is deleted. ESRCH."""
        entry = self._entry(request)
        link = None if request.oif is None else self._device(request.oif)
        kind = entry.kind if request.rtm_type not in (0, "unspec") else 0
        self._table.delete(replace(entry, link=link, kind=kind))

    def getroute(self, request: RouteGet) -> RouteAttributes:
        """The route of a packet; the errno that connect would fail with."""
        v6 = _is_v6(request.rtm_family)
        to = _address(require(request.dst, "dst"), v6, "dst")
        ifname = "" if request.oif is None else self._device(request.oif).name
        route = self._table.resolve(to, 0, ifname)
        return RouteAttributes(
            rtm_family=request.rtm_family,
            rtm_dst_len=128 if v6 else 32,
            rtm_table=RT_TABLE_MAIN,
            rtm_type=RTN_NAMES[UNICAST],
            dst=request.dst,
            oif=route.link.ifindex,
            gateway=_text(route.gateway),
            prefsrc=_text(route.source.address),
        )

    def dump(self, request: RouteDump) -> list[RouteAttributes]:
        families = {0: (AF_INET, AF_INET6)}.get(request.rtm_family, (request.rtm_family,))
        return [
            info
            for family in families
            for info in map(_info, self._table)
            if info.rtm_family == family
        ]  # fmt: skip

    # --- from a request to an entry

    def _entry(self, request: RouteAttributes) -> FibEntry:
        """All but the link."""
        v6 = _is_v6(request.rtm_family)
        if request.rtm_table not in (0, RT_TABLE_MAIN):
            raise NetlinkError(errno.EINVAL, f"table {request.rtm_table}: there is the main one alone, 254")
        return FibEntry(
            prefix=_prefix(request, v6),
            link=None,
            gateway=0 if request.gateway is None else _address(request.gateway, v6, "gateway"),
            source=0 if request.prefsrc is None else _address(request.prefsrc, v6, "prefsrc"),
            metric=request.priority,
            protocol=request.rtm_protocol,
            kind=_kind(request.rtm_type),
        )

    def _link(self, request: RouteAttributes, entry: FibEntry) -> Link:
        """The link of a route that sends packets (fib_check_nh)."""
        named = None if request.oif is None else self._device(request.oif)
        if named is not None and not named.up:
            raise NetlinkError(errno.ENETDOWN, "Device for nexthop is not up", "oif")
        if not entry.gateway:
            if named is None:
                raise NetlinkError(errno.ENODEV, "the route has neither a gateway nor a device")
            return named
        if self._table.is_ours(entry.gateway):
            raise NetlinkError(errno.EINVAL, "Gateway can not be a local address", "gateway")
        link = self._table.link_of_neighbour(entry.gateway, named)
        if link is None:
            number = errno.EHOSTUNREACH if entry.prefix.v6 else errno.ENETUNREACH
            raise NetlinkError(number, "Nexthop has invalid gateway", "gateway")
        return link

    def _device(self, ifindex: int) -> Link:
        for link in self._table.links:
            if link.ifindex == ifindex:
                return link
        raise NetlinkError(errno.ENODEV, f"there is no device {ifindex}", "oif")


def _is_v6(family: int) -> bool:
    if family not in (AF_INET, AF_INET6):
        raise NetlinkError(errno.EOPNOTSUPP, f"family {family} has no routes: give {AF_INET} or {AF_INET6}")
    return family == AF_INET6


def _prefix(request: RouteAttributes, v6: bool) -> Prefix:
    """IPv4 refuses bits behind the prefix length, IPv6 ignores them, as in Linux."""
    length = request.rtm_dst_len
    if length > (128 if v6 else 32):
        raise NetlinkError(errno.EINVAL, "Invalid prefix length")
    address = 0 if request.dst is None else _address(request.dst, v6, "dst")
    prefix = network_of(address, length, v6)
    if not v6 and prefix.network != address:
        raise NetlinkError(errno.EINVAL, "Invalid prefix for given prefix length")
    return prefix


def _kind(rtm_type: str | int) -> int:
    number = RTN_NAMES.index(rtm_type) if rtm_type in RTN_NAMES else rtm_type
    if number in (0, UNICAST):
        return UNICAST
    if not isinstance(number, int) or number not in REFUSALS:
        raise NetlinkError(errno.EINVAL, f"there are no routes of type {rtm_type!r}", "rtm-type")
    return number


def _address(text: str, v6: bool, attribute: str) -> int:
    try:
        address = ip.address_int(text)
    except ValueError as reason:
        raise NetlinkError(errno.EINVAL, f"attribute {attribute!r}: {reason}", attribute) from None
    if (":" in text) is not v6:
        raise NetlinkError(errno.EINVAL, f"{text!r} is of another family than the route", attribute)
    return address


def _text(address: int) -> str | None:
    return ip.address_text(address) if address else None


def _info(entry: FibEntry) -> RouteAttributes:
    v6 = entry.prefix.v6
    prefix = entry.prefix
    shown = ip.address_text(prefix.network) if prefix.network else None
    direct = entry.link is not None and not entry.gateway
    return RouteAttributes(
        rtm_family=AF_INET6 if v6 else AF_INET,
        rtm_dst_len=prefix.length,
        rtm_table=RT_TABLE_MAIN,
        rtm_protocol=entry.protocol,
        rtm_scope=RT_SCOPE_LINK if direct and not v6 else RT_SCOPE_UNIVERSE,
        rtm_type=RTN_NAMES[entry.kind],
        rtm_flags=0 if entry.link is None or entry.link.carrier else RTNH_F_LINKDOWN,
        dst=shown,
        oif=None if entry.link is None else entry.link.ifindex,
        gateway=_text(entry.gateway),
        priority=entry.metric,
        prefsrc=_text(entry.source),
    )

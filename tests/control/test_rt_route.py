"""The rt-route family: answers as Linux's to the same `ip route` commands, and their text."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import msgspec
import pytest

from nodes.client.calls import Calls
from nodes.client.host import Host
from nodes.client.route import Route
from nodes.client.route_command import RouteUsage, run
from nodes.control import families, policy
from nodes.control.netlink_error import NetlinkError
from nodes.inet.route import RouteTable
from nodes.uapi.netlink import needs_admin
from nodes.uapi.rtnetlink import OPERATIONS
from nodes.uapi.syscalls import Netlink, NetlinkReply, Reply, Request
from tests.inet.test_route import make_inet

_R = TypeVar("_R", bound=Reply)
V4, V6 = 2, 10


class LocalCalls:
    """Answers requests of the family as the endpoint does, without a channel."""

    def __init__(self, table: RouteTable) -> None:
        self._answers = families.route_answers(table)

    def call(self, request: Request, kind: type[_R], fds: tuple[int, ...] = ()) -> _R:
        assert isinstance(request, Netlink)
        assert not fds
        operation = (request.family, request.operation, "dump" if request.dump else "do")
        encoded = bytes(msgspec.msgpack.encode(request.attributes))
        answer = self._answers[operation](policy.parse(encoded, OPERATIONS[operation]))  # type: ignore[index]
        reply = NetlinkReply(msgspec.Raw(msgspec.msgpack.encode(answer)))
        assert isinstance(reply, kind)
        return reply


@pytest.fixture
def host() -> Host:
    inet = make_inet(("10.0.1.1", "2001:db8:1::1"), ("10.0.2.1", "2001:db8:2::1"))
    nics = [SimpleNamespace(ifname=link.name, ifindex=link.ifindex) for link in inet.links.values()]
    return cast(Host, SimpleNamespace(nics=nics, route=Route(cast(Calls, LocalCalls(inet.routes)))))


def ip(host: Host, command: str) -> str:
    """The text of `ip route`, or the errno."""
    try:
        return run(host, command.split())
    except NetlinkError as e:
        return f"{errno.errorcode[e.errno or 0]} {e.strerror}"
    except OSError as e:
        return errno.errorcode[e.errno or 0]


# Asked of Linux 6.18, with the same addresses. A sentence is compared where Linux's own gives one.
LINUX = [
    ("add 10.9.1.1/16 via 10.0.1.254", "EINVAL Invalid prefix for given prefix length"),
    ("add 10.9.0.0/16 via 10.7.7.7", "ENETUNREACH Nexthop has invalid gateway"),
    ("add 10.9.0.0/16 via 10.0.1.254 dev eth1", "ENETUNREACH Nexthop has invalid gateway"),
    ("add 10.9.0.0/16 via 10.0.1.255", "ENETUNREACH Nexthop has invalid gateway"),
    ("add 10.9.0.0/16", "ENODEV"),
    ("add 10.9.0.0/33 via 10.0.1.254", "EINVAL Invalid prefix length"),
    ("add 10.9.0.0/16 via 10.0.1.254 src 10.5.5.5", "EINVAL Invalid prefsrc address"),
    ("change 10.8.0.0/16 via 10.0.1.251", "ENOENT"),
    ("del 10.8.0.0/16", "ESRCH"),
    ("del default", "ESRCH"),
    ("get 192.0.2.1", "ENETUNREACH"),
    ("add 2001:db8:a::/48 via 2001:db8:77::fe", "EHOSTUNREACH"),
    ("add 2001:db8:a::/48 via 2001:db8:1::fe dev eth1", "EHOSTUNREACH"),
    ("add 2001:db8:a::/48 via 2001:db8:1::1", "EINVAL Gateway can not be a local address"),
    ("-6 add 2001:db8:a::/48", "ENODEV"),
    ("change 2001:db8:b::/48 via 2001:db8:1::fe", "ENOENT"),
    ("del 2001:db8:b::/48", "ESRCH"),
    ("get 2001:db9::5", "ENETUNREACH"),
]


@pytest.mark.parametrize(("command", "answer"), LINUX)
def test_what_linux_refuses_is_refused_with_its_errno(host: Host, command: str, answer: str) -> None:
    got = ip(host, command)
    assert got == answer if " " in answer else got.split()[0] == answer


def test_routes_are_added_shown_found_and_deleted(host: Host) -> None:
    for command in (
        "add 10.9.0.0/16 via 10.0.1.1 dev eth0 metric 9",  # refused: our own address
        "add default via 10.0.1.254",
        "add 10.9.0.0/16 via 10.0.2.254",
        "append 10.9.0.0/16 via 10.0.2.253",
        "add 10.9.0.0/16 via 10.0.1.252 metric 5 src 10.0.2.1 proto static",
        "prepend 10.9.0.0/16 via 10.0.2.250",
        "replace 10.9.0.0/16 via 10.0.2.251",
        "add unreachable 10.20.0.0/16",
        "add 10.30.0.7 dev eth1",
    ):
        ip(host, command)
    assert ip(host, "show").splitlines() == [
        "10.30.0.7 dev eth1 scope link",
        "10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.1",
        "10.0.2.0/24 dev eth1 proto kernel scope link src 10.0.2.1",
        "10.9.0.0/16 via 10.0.2.251 dev eth1",
        "10.9.0.0/16 via 10.0.2.254 dev eth1",
        "10.9.0.0/16 via 10.0.2.253 dev eth1",
        "unreachable 10.20.0.0/16",
        "10.9.0.0/16 via 10.0.1.252 dev eth0 proto static src 10.0.2.1 metric 5",
        "default via 10.0.1.254 dev eth0",
    ]
    assert ip(host, "get 10.9.1.1") == "10.9.1.1 via 10.0.2.251 dev eth1 src 10.0.2.1"
    assert ip(host, "get 10.0.2.9") == "10.0.2.9 dev eth1 src 10.0.2.1"
    assert ip(host, "get 10.20.1.1") == "EHOSTUNREACH"
    for which in ("10.9.0.0/16 via 10.0.2.253", "10.9.0.0/16 metric 5", "unreachable 10.20.0.0/16"):
        assert ip(host, f"del {which}") == ""
    assert ip(host, "del unreachable 10.9.0.0/16") == "ESRCH"
    assert [line for line in ip(host, "show").splitlines() if line.startswith("10.9")] == [
        "10.9.0.0/16 via 10.0.2.251 dev eth1",
        "10.9.0.0/16 via 10.0.2.254 dev eth1",
    ]


def test_ipv6_has_its_own_table_its_default_metric_and_no_host_bits(host: Host) -> None:
    assert ip(host, "add 2001:db8:9::1/48 via 2001:db8:1::fe") == ""
    assert ip(host, "add 2001:db8:9::/48 via 2001:db8:1::fd") == "EEXIST"
    assert ip(host, "-6 add default via 2001:db8:2::fe metric 7") == ""
    assert ip(host, "-6").splitlines() == [
        "2001:db8:1::/64 dev eth0 proto kernel metric 256",
        "2001:db8:2::/64 dev eth1 proto kernel metric 256",
        "2001:db8:9::/48 via 2001:db8:1::fe dev eth0 metric 1024",
        "default via 2001:db8:2::fe dev eth1 metric 7",
    ]
    assert ip(host, "get 2001:db8:9::5") == "2001:db8:9::5 via 2001:db8:1::fe dev eth0 src 2001:db8:1::1"
    assert ip(host, "-6 del default") == ""


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("frobnicate", "is none of: show"),
        ("add", "the prefix is missing"),
        ("add 10.0.0.0/8 via", "has no value"),
        ("add 10.0.0.0/8 mtu 1400", "none of via"),
        ("add 10.0.0.0/8 dev eth9", "no NIC is called 'eth9'; choose one of eth0, eth1"),
        ("add 10.0.0.0/x via 10.0.1.254", "is no number"),
    ],
)
def test_wrong_words_are_refused_with_a_sentence(host: Host, command: str, part: str) -> None:
    with pytest.raises(RouteUsage, match=part):
        run(host, command.split())


@pytest.mark.parametrize(
    ("operation", "attributes", "name", "attribute"),
    [
        ("newroute", {"rtm-dst-len": 8}, "EOPNOTSUPP", ""),
        ("newroute", {"rtm-family": V4, "rtm-table": 100}, "EINVAL", ""),
        ("newroute", {"rtm-family": V4, "rtm-type": "throw"}, "EINVAL", "rtm-type"),
        ("newroute", {"rtm-family": V4, "rtm-type": "anything"}, "EINVAL", "rtm-type"),
        ("newroute", {"rtm-family": V4, "rtm-type": 99}, "EINVAL", "rtm-type"),
        ("newroute", {"rtm-family": V4, "gateway": "2001:db8:1::fe"}, "EINVAL", "gateway"),
        ("newroute", {"rtm-family": V6, "dst": "10.0.0.0"}, "EINVAL", "dst"),
        ("newroute", {"rtm-family": V4, "dst": "10.0.0"}, "EINVAL", "dst"),
        ("newroute", {"rtm-family": V4, "oif": 99}, "ENODEV", "oif"),
        ("newroute", {"rtm-family": V4, "multipath": ""}, "EINVAL", "multipath"),
        ("newroute", {"rtm-family": V4, "nlmsg-flags": ["bulk"]}, "EINVAL", "nlmsg-flags[0]"),
        ("newroute", {"rtm-family": 300}, "ERANGE", "rtm-family"),
        ("delroute", {"rtm-family": V4, "oif": 99}, "ENODEV", "oif"),
        ("getroute", {"rtm-family": V4}, "EINVAL", "dst"),
        ("getroute", {"rtm-family": V4, "dst": "10.0.1.9", "oif": 99}, "ENODEV", "oif"),
    ],
)
def test_attributes_that_cannot_be_are_named(
    host: Host, operation: str, attributes: dict[str, Any], name: str, attribute: str
) -> None:
    with pytest.raises(NetlinkError) as e:
        host.route.do(operation, attributes)
    number = e.value.errno or 0
    assert (errno.errorcode[number].replace("ENOTSUP", "EOPNOTSUPP"), e.value.attribute) == (name, attribute)


def test_getroute_of_a_bound_socket_and_a_dump_of_all(host: Host) -> None:
    got = host.route.getroute({"rtm-family": V4, "dst": "10.0.1.9", "oif": 3})
    assert (got["oif"], got["prefsrc"], "gateway" in got) == (3, "10.0.2.1", False)
    assert [route["rtm-family"] for route in host.route.dump_routes()] == [V4, V4, V6, V6]
    assert len(host.route.dump_routes(V6)) == 2


def test_changes_need_cap_net_admin_and_questions_do_not() -> None:
    needs = {operation: needs_admin(family, operation) for family, operation, _ in OPERATIONS}
    assert needs == {"newroute": True, "delroute": True, "getroute": False}


def test_a_link_that_is_down_takes_no_routes_one_without_carrier_is_marked() -> None:
    inet = make_inet(("10.0.1.1", "2001:db8:1::1"))
    nics = [SimpleNamespace(ifname="eth0", ifindex=2)]
    host = cast(Host, SimpleNamespace(nics=nics, route=Route(cast(Calls, LocalCalls(inet.routes)))))
    inet.set_link(2, up=True, carrier=False)
    assert ip(host, "show") == "10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.1 linkdown"
    assert ip(host, "-6") == "2001:db8:1::/64 dev eth0 proto kernel metric 256 linkdown"
    inet.set_link(2, up=False, carrier=False)
    assert ip(host, "show") == ""
    for version in ("add 10.9.0.0/16", "-6 add 2001:db8:9::/64"):
        assert ip(host, f"{version} dev eth0") == "ENETDOWN Device for nexthop is not up"
    assert ip(host, "add 10.9.0.0/16 via 10.0.1.2") == "ENETUNREACH Nexthop has invalid gateway"
    with pytest.raises(NetlinkError, match="rtm-flags 16"):
        host.route.newroute({"rtm-family": V4, "rtm-flags": 16, "dst": "10.9.0.1", "rtm-dst-len": 32})

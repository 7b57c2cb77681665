"""What members of multicast groups hear of a host's changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from nodes.client.host import Host, HostError
from nodes.supervisor.netlink.attributes import Values, decode
from nodes.supervisor.netlink.families import FAMILIES
from nodes.supervisor.netlink.netlink_file import NetlinkFile
from nodes.supervisor.netlink.notifications import Notifications, changes, state
from tests.control.local_host import local_host
from tests.nic.bench import Bench
from tests.supervisor.netlink.wire import messages, operation_of

MONITOR, MGMT, PAGE_POOL = 6, 4, 5
NAMES = {family.id: family.name for family in FAMILIES}
HEADER = {"dev-index": 2, "dev-name": "eth0"}


@pytest.fixture
def host(bench: Bench) -> Host:
    here = local_host(bench.device)
    vars(here)["close"] = lambda: None
    return here


@pytest.fixture
def notifications(host: Host) -> Iterator[Notifications]:
    """Whose thread sleeps: the test calls `tell`."""
    each = Notifications(lambda: host, 3600)
    yield each
    each.close()


def heard(datagrams: list[bytes], operation: str) -> list[tuple[int, Values]]:
    """Command and attributes of each notification."""
    found = []
    for each in messages(datagrams):
        assert (each.flags, each.seq, each.port) == (0, 0, 0)
        table = operation_of(NAMES[each.type], operation)[1].attributes
        found.append((each.body[0], decode(each.body[4:], table)[0]))
    return found


def waiting(file: NetlinkFile) -> list[bytes]:
    datagrams: list[bytes] = []
    while True:
        try:
            next(file.take(socket.MSG_DONTWAIT))
        except BlockingIOError:
            return datagrams
        except StopIteration as end:
            datagrams.append(end.value)


def member(*groups: int) -> NetlinkFile:
    file = NetlinkFile("/no/channel", socket.SOCK_RAW, nonblocking=False)
    file.groups = {*groups}
    return file


def test_a_member_of_ethtools_monitor_hears_what_was_set(host: Host, notifications: Notifications) -> None:
    with closing(member(MONITOR)) as file, closing(member(MGMT)) as other:
        notifications.joined(file)
        notifications.joined(other)
        notifications.tell()
        assert waiting(file) == []
        host.ethtool.rings_set({"rx": 128})
        notifications.tell()
        ((command, values),) = heard(waiting(file), "rings-get")
        assert (command, values["header"], values["rx"]) == (17, HEADER, 128)
        host.ethtool.channels_set({"rx-count": 3})
        host.ethtool.features_set({"tx-tcp-segmentation": False})
        notifications.tell()
        said = messages(waiting(file))
        assert {each.body[0] for each in said} >= {13, 19}
        (features,) = (each.body for each in said if each.body[0] == 13)
        active = decode(features[4:], operation_of("ethtool", "features-get")[1].attributes)[0]["active"]
        assert (active["size"], active["value"]) == (7, [0b0111111])  # compact, as in Linux
        file.groups = set()
        host.ethtool.rings_set({"rx": 64})
        assert not notifications.tell()
        assert waiting(file) == waiting(other) == []


def test_an_rss_context_is_new_changes_and_goes(host: Host) -> None:
    before = state(host, MONITOR)
    host.ethtool.rss_create({"indir": [1]})
    after = state(host, MONITOR)
    ((command, values),) = heard([*changes(MONITOR, before, after)], "rss-get")
    assert (command, values["context"], {*values["indir"]}) == (52, 1, {1})
    ((command, values),) = heard([*changes(MONITOR, after, before)], "rss-get")
    assert (command, values["context"]) == (53, 1)


def test_page_pools_come_change_and_go_but_their_counts_are_no_news(host: Host) -> None:
    before = state(host, PAGE_POOL)
    number = max(key[2] for key in before) + 1
    new = {"id": number, "ifindex": 2, "inflight": 0, "dmabuf": 7}
    after = before | {("page-pool-get", 2, number): new}
    assert heard([*changes(PAGE_POOL, before, after)], "page-pool-get") == [(6, new)]
    busy = after | {("page-pool-get", 2, number): new | {"inflight": 9}}
    assert [*changes(PAGE_POOL, after, busy)] == []
    left = after | {("page-pool-get", 2, number): new | {"detach-time": 5}}
    assert [command for command, _ in heard([*changes(PAGE_POOL, busy, left)], "page-pool-get")] == [8]
    assert heard([*changes(PAGE_POOL, after, before)], "page-pool-get") == [(7, new)]


def test_too_many_are_lost_and_the_receiver_is_told() -> None:
    with closing(member(MONITOR)) as file:
        for number in range(300):
            file.notify(bytes([number % 256]))
        with pytest.raises(OSError, match="lost"):
            next(file.take(0))
        assert len(waiting(file)) == 256


def test_joining_works_when_the_endpoint_is_gone() -> None:
    def gone() -> Host:
        raise HostError("no endpoint listens")

    with closing(member(MONITOR)) as file:
        assert Notifications(gone).joined(file) == 0

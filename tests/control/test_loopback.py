"""Requests about ifindex 1, the loopback device: what Linux answers for lo, whose driver is no NIC's."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netdev_get import NetdevGet
from nodes.control.netlink_error import NetlinkError
from nodes.uapi.netlink import (
    BindRx,
    BindTx,
    Device,
    Empty,
    Header,
    HeaderOnly,
    IfindexOnly,
    QstatsGet,
    Queue,
    QueueGet,
    QueueInfo,
)
from tests.control.test_bind import fd_of

LO = 1
QUEUES = [QueueInfo(0, "rx", LO), QueueInfo(0, "tx", LO)]


def test_lo_has_two_queues_without_a_napi_and_no_napis(netdev: Netdev) -> None:
    look = NetdevGet(netdev.devices)
    assert look.dev_get(IfindexOnly(LO)) == Device(LO, (), (), ())
    assert look.queue_dump(IfindexOnly(LO)) == QUEUES
    assert [look.queue_get(QueueGet(LO, kind, 0)) for kind in ("rx", "tx")] == QUEUES
    with pytest.raises(NetlinkError) as refused:
        look.queue_get(QueueGet(LO, "rx", 1))
    assert refused.value.errno == errno.EINVAL
    assert look.napi_dump(IfindexOnly(LO)) == []
    assert LO not in [device.ifindex for device in look.dev_dump(Empty())]


@pytest.mark.parametrize(
    ("ask", "attribute"),
    [
        (lambda n, _: NetdevGet(n.devices).qstats_dump(QstatsGet(LO)), "ifindex"),
        (lambda n, _: NetdevGet(n.devices).qstats_dump(QstatsGet(LO, "queue")), "ifindex"),
        (lambda n, _: n.bind_rx(BindRx(LO, 9, (Queue(0, "rx"),)), fd_of(), True), "ifindex"),
        (lambda n, _: n.bind_tx(BindTx(LO, 9), fd_of()), "ifindex"),
        (lambda _, e: e.rings_get(HeaderOnly(Header(LO))), ""),
        (lambda _, e: e.channels_get(HeaderOnly(Header(None, "lo"))), ""),
    ],
)
def test_what_lo_does_not_support_is_eopnotsupp(
    netdev: Netdev, ethtool: Ethtool, ask: Callable[[Netdev, Ethtool], object], attribute: str
) -> None:
    with pytest.raises(NetlinkError) as refused:
        ask(netdev, ethtool)
    assert (refused.value.errno, refused.value.attribute) == (errno.EOPNOTSUPP, attribute)

"""A host with two NICs, of 4 and 6 rx queues.

In: nothing. Out: its devices and control plane as fixtures, and what tests ask of them. The devices are
closed and counted when the test is over.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Iterator

import pytest

from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netlink_error import NetlinkError
from nodes.machine.ledger import Ledger
from nodes.netmem.binding import RxBinding
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.nic.nic_model import GENERIC, NicModel
from nodes.uapi.netlink import BindRx, Header, Queue, Rings
from tests.control.test_bind import fd_of
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import OUR_MAC

FIRST, SECOND, ABSENT = 3, 7, 5
ETH0, ETH1 = Header(FIRST, "eth0"), Header(SECOND, "eth1")
RX_QUEUES = {FIRST: 4, SECOND: 6}


def nic(
    name: str, ifindex: int, model: NicModel = GENERIC, pool_ids: Iterator[int] | None = None
) -> NetDevice:
    config = DeviceConfig(name, ifindex, OUR_MAC, rx_queues=RX_QUEUES[ifindex], nic=model)
    return NetDevice(config, FakeWire(), Ledger(), pool_ids=pool_ids)


@pytest.fixture
def devices() -> Iterator[Devices]:
    ids = itertools.count(1)
    two = Devices(nic("eth1", SECOND, pool_ids=ids), nic("eth0", FIRST, pool_ids=ids))
    yield two
    pools = [rxq.pool for device in two.values() for rxq in device.all_rx_queues]
    for device in two.values():
        device.close()
    assert [pool.inflight for pool in pools] == [0] * len(pools)


@pytest.fixture
def netdev(devices: Devices) -> Iterator[Netdev]:
    each = Netdev(devices)
    yield each
    for binding in each.bindings:
        each.unbind(binding)
    assert each.bindings == ()


@pytest.fixture
def ethtool(devices: Devices) -> Ethtool:
    return Ethtool(devices)


def split(ethtool: Ethtool, *headers: Header) -> None:
    for header in headers:
        ethtool.rings_set(Rings(header, tcp_data_split="enabled"))


def bind_rx(netdev: Netdev, ifindex: int, *queues: int) -> RxBinding:
    request = BindRx(ifindex, 9, tuple(Queue(queue, "rx") for queue in queues))
    return netdev.bind_rx(request, fd_of(), privileged=True)


def refusal(call: Callable[[], object]) -> tuple[str, str, str]:
    """Errno, text and attribute that a call is refused with."""
    with pytest.raises(NetlinkError) as caught:
        call()
    return errno.errorcode[caught.value.errno or 0], str(caught.value.strerror), caught.value.attribute

"""What the control plane does differently when it is configured as an older or newer kernel."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.kernel_version import VERSIONS
from nodes.machine.ledger import Ledger
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.nic.rings import TcpDataSplit
from nodes.uapi.netlink import BindRx, BindTx, Channels, Queue, Rings
from tests.control.conftest import ETH0
from tests.control.test_bind import IFINDEX, fd_of, rx_request
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import OUR_MAC

TWICE = BindRx(IFINDEX, 9, (Queue(1, "rx"), Queue(1, "rx")))
LARGE = BindRx(IFINDEX, 9, (Queue(1, "rx"),), 16384)


@pytest.fixture(params=["v17", "6.12", "6.18", "newest"])
def netdev(request: pytest.FixtureRequest) -> Iterator[Netdev]:
    config = DeviceConfig("eth0", IFINDEX, OUR_MAC, kernel=VERSIONS[request.param])
    each = Netdev(Devices(NetDevice(config, FakeWire(), Ledger())))
    yield each
    for binding in each.bindings:
        each.unbind(binding)
    assert each.bindings == ()


def outcome(call: Callable[[], object]) -> str:
    """'granted', or the name of the errno."""
    try:
        call()
    except OSError as refusal:
        number = refusal.errno or 0
        return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]
    return "granted"


def expected(netdev: Netdev, v17: str, v6_12: str, v6_18: str, newest: str) -> str:
    by_name = {"v17": v17, "6.12": v6_12, "6.18": v6_18, "newest": newest}
    return by_name[netdev.devices[IFINDEX].config.kernel.name]


def test_without_header_split(netdev: Netdev) -> None:
    found = outcome(lambda: netdev.bind_rx(rx_request(1), fd_of(), privileged=True))
    assert found == expected(netdev, "ENODATA", "EINVAL", "EINVAL", "EINVAL")


@pytest.mark.parametrize(
    ("request_", "outcomes"),
    [
        (rx_request(8), ("ERANGE", "ERANGE", "EINVAL", "EINVAL")),
        (TWICE, ("EEXIST", "EEXIST", "granted", "granted")),
        (LARGE, ("EINVAL", "EINVAL", "EINVAL", "granted")),
    ],
)
def test_binding(netdev: Netdev, request_: BindRx, outcomes: tuple[str, str, str, str]) -> None:
    netdev.devices[IFINDEX].rings.tcp_data_split = TcpDataSplit.ENABLED
    found = outcome(lambda: netdev.bind_rx(request_, fd_of(), privileged=True))
    assert found == expected(netdev, *outcomes)


def test_binding_for_sending(netdev: Netdev) -> None:
    found = outcome(lambda: netdev.bind_tx(BindTx(IFINDEX, 9), fd_of()))
    assert found == expected(netdev, "EOPNOTSUPP", "EOPNOTSUPP", "granted", "granted")


def test_taking_a_bound_queue_out_of_use(netdev: Netdev) -> None:
    netdev.devices[IFINDEX].rings.tcp_data_split = TcpDataSplit.ENABLED
    netdev.bind_rx(rx_request(7), fd_of(), privileged=True)
    found = outcome(lambda: Ethtool(netdev.devices).channels_set(Channels(ETH0, rx_count=4)))
    assert found == expected(netdev, "granted", "EINVAL", "EINVAL", "EINVAL")


def test_the_threshold_of_header_split(netdev: Netdev) -> None:
    found = outcome(lambda: Ethtool(netdev.devices).rings_set(Rings(ETH0, hds_thresh=5)))
    assert found == expected(netdev, "EINVAL", "granted", "granted", "granted")

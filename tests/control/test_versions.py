"""What the control plane does differently from kernel version to kernel version, every version asked."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from nodes.client import ethtool_command
from nodes.client.ncdevmem_nic import Nic, NicConfiguration
from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netdev_get import NetdevGet
from nodes.kernel_version import VERSIONS
from nodes.machine.ledger import Ledger
from nodes.netmem.page_pool import PoolContext
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.nic.nic_model import GENERIC, MODELS
from nodes.nic.rings import TcpDataSplit
from nodes.uapi.netlink import BindRx, BindTx, Channels, HeaderOnly, IfindexOnly, NapiInfo, Queue, Rings
from tests.control.conftest import ETH0, on_nic
from tests.control.local_host import local_host
from tests.control.test_bind import IFINDEX, SIZE, bound_queues, fd_of, ready, rx_request
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import OUR_MAC

NO_FILE = -1
TWICE = BindRx(IFINDEX, 9, (Queue(1, "rx"), Queue(1, "rx")))
NO_TYPE = BindRx(IFINDEX, 9, (Queue(1),))


def of_page_size(size: int) -> BindRx:
    return BindRx(IFINDEX, 9, (Queue(1, "rx"),), size)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> str:
    """The NIC's model."""
    return getattr(request, "param", GENERIC.name)


@pytest.fixture(params=VERSIONS)
def netdev(request: pytest.FixtureRequest, bench: str) -> Iterator[Netdev]:
    config = DeviceConfig("eth0", IFINDEX, OUR_MAC, nic=MODELS[bench], kernel=VERSIONS[request.param])
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


def binding(netdev: Netdev, request: BindRx, fd: int | None = None) -> str:
    return outcome(lambda: netdev.bind_rx(request, fd_of() if fd is None else fd, privileged=True))


def expected(netdev: Netdev, **since: str) -> str:
    """`since` names versions in their order, with what holds from each on: v6_18_0="EINVAL"."""
    names = [*VERSIONS]
    marks = {names.index(_NAMES[mark]): what for mark, what in since.items()}
    own = names.index(netdev.devices[IFINDEX].config.kernel.name)
    return marks[max(mark for mark in marks if mark <= own)]


_NAMES = {f"v{name.removeprefix('v')}".replace(".", "_").replace("-", "_"): name for name in VERSIONS}


def test_without_header_split(netdev: Netdev) -> None:
    assert binding(netdev, rx_request(1)) == expected(netdev, v17="ENODATA", v6_16="EINVAL")


def test_a_queue_that_is_not_there_or_is_named_twice(netdev: Netdev) -> None:
    ready(netdev)
    assert binding(netdev, rx_request(8)) == expected(netdev, v17="ERANGE", v6_18_0="EINVAL")
    assert bound_queues(netdev) == {}
    assert binding(netdev, TWICE) == expected(netdev, v17="EEXIST", v6_18_0="granted")


@pytest.mark.parametrize("request_", [rx_request(8), NO_TYPE])
def test_queues_are_read_behind_the_dma_buf_or_ahead_of_it(netdev: Netdev, request_: BindRx) -> None:
    ready(netdev)
    assert binding(netdev, request_, NO_FILE) == expected(netdev, v17="EBADF", v6_18_0="EINVAL")


def test_queues_are_bound_in_the_order_of_the_request_or_of_their_numbers(netdev: Netdev) -> None:
    """What refuses the whole is the first queue that cannot be bound."""
    ready(netdev)
    taken = netdev.bind_rx(rx_request(3), fd_of(), privileged=True)
    request = BindRx(IFINDEX, 9, (Queue(3, "rx"), Queue(9, "rx")))
    assert binding(netdev, request) == expected(netdev, v17="EEXIST", v6_18_0="EINVAL")
    assert bound_queues(netdev) == {3: taken.dmabuf_id}


@on_nic("no-queue-management")
def test_a_driver_without_queue_management(netdev: Netdev) -> None:
    ready(netdev)
    assert binding(netdev, rx_request(1)) == "EOPNOTSUPP"
    assert binding(netdev, rx_request(9), NO_FILE) == expected(netdev, v17="EBADF", v6_16="EOPNOTSUPP")


@on_nic("multi-pf")
def test_queues_of_two_dma_devices(netdev: Netdev) -> None:
    ready(netdev)
    assert binding(netdev, rx_request(0, 1)) == expected(netdev, v17="granted", v6_18_0="EOPNOTSUPP")


@on_nic("no-dma")
def test_a_device_without_dma(netdev: Netdev) -> None:
    ready(netdev)
    tx = outcome(lambda: netdev.bind_tx(BindTx(IFINDEX, 9), fd_of()))
    assert binding(netdev, rx_request(1)) == expected(netdev, v17="EINVAL", v6_18_0="EOPNOTSUPP")
    assert tx == expected(netdev, v17="EOPNOTSUPP", v6_16="EINVAL", v6_18_0="EOPNOTSUPP")
    assert binding(netdev, rx_request(1), NO_FILE) == expected(netdev, v17="EBADF", v6_18_0="EOPNOTSUPP")


@pytest.mark.parametrize(("size", "since_7_3"), [(16384, "granted"), (2048, "ERANGE"), (5000, "EINVAL")])
def test_rx_page_size(netdev: Netdev, size: int, since_7_3: str) -> None:
    ready(netdev)
    assert binding(netdev, of_page_size(size)) == expected(netdev, v17="EINVAL", v7_3=since_7_3)


@pytest.mark.parametrize("size", [100, 4096 + 1])
def test_a_dma_buf_that_ends_within_a_net_iov(netdev: Netdev, size: int) -> None:
    ready(netdev)
    assert binding(netdev, rx_request(1), fd_of(size)) == expected(netdev, v17="granted", v6_18_55="EINVAL")
    bound = [each.provider.total for each in netdev.bindings if hasattr(each, "provider")]
    assert bound in ([], [size // 4096])


def test_net_iovs_come_singly_from_the_start_or_64_at_once_from_the_end(netdev: Netdev) -> None:
    ready(netdev)
    pool = netdev.bind_rx(rx_request(1), fd_of(), privileged=True).page_pool(64, PoolContext())
    first = pool.alloc_netmem()
    assert first is not None
    found = f"{pool.hold} at {first.offset}"
    assert found == expected(netdev, v17="1 at 0", v7_4_rc=f"64 at {SIZE - 64 * 4096}")
    pool.destroy()
    first.put()


def test_binding_for_sending(netdev: Netdev) -> None:
    found = outcome(lambda: netdev.bind_tx(BindTx(IFINDEX, 9), fd_of()))
    assert found == expected(netdev, v17="EOPNOTSUPP", v6_16="granted")


def test_taking_a_bound_queue_out_of_use(netdev: Netdev) -> None:
    ready(netdev)
    netdev.bind_rx(rx_request(7), fd_of(), privileged=True)
    found = outcome(lambda: Ethtool(netdev.devices).channels_set(Channels(ETH0, rx_count=4)))
    assert found == expected(netdev, v17="granted", v6_12="EINVAL")


def test_header_split_stays_on_while_bound_in_every_version(netdev: Netdev) -> None:
    ready(netdev)
    netdev.bind_rx(rx_request(7), fd_of(), privileged=True)
    assert outcome(lambda: Ethtool(netdev.devices).rings_set(Rings(ETH0, tcp_data_split=1))) == "EINVAL"


def test_the_threshold_of_header_split(netdev: Netdev) -> None:
    ethtool = Ethtool(netdev.devices)
    found = outcome(lambda: ethtool.rings_set(Rings(ETH0, hds_thresh=5)))
    assert found == expected(netdev, v17="EINVAL", v6_16="granted")
    reply = ethtool.rings_get(HeaderOnly(ETH0))
    shown = f"{reply.hds_thresh} of {reply.hds_thresh_max}"
    assert shown == expected(netdev, v17="None of None", v6_16="5 of 1023")


def test_commands_do_without_the_threshold(netdev: Netdev, capsys: pytest.CaptureFixture[str]) -> None:
    host = local_host(netdev.devices[IFINDEX])
    last = ethtool_command.run(host, ["-g"]).splitlines()[-1]
    assert last == expected(netdev, v17="HDS thresh:\t\tn/a", v6_16="HDS thresh:\t\t0")
    NicConfiguration(Nic(IFINDEX, host.ethtool), "", ExitStack()).split_headers(True)
    assert netdev.devices[IFINDEX].rings.tcp_data_split is TcpDataSplit.ENABLED
    capsys.readouterr()


def test_what_napi_get_shows(netdev: Netdev) -> None:
    (napi, *_) = NetdevGet(netdev.devices).napi_dump(IfindexOnly(IFINDEX))
    shown = {
        "nothing": NapiInfo(napi.id, IFINDEX),
        "timeouts": NapiInfo(napi.id, IFINDEX, None, 0, 0, 0),
        "threaded": NapiInfo(napi.id, IFINDEX, "disabled", 0, 0, 0),
    }
    assert napi == shown[expected(netdev, v17="nothing", v6_16="timeouts", v6_18_0="threaded")]

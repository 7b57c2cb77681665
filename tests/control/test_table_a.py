"""Table A, a test a row: what bind-rx and bind-tx refuse, and with which errno and attribute."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import tempfile
from collections.abc import Callable

import msgspec
import pytest

from nodes.control import policy
from nodes.control.netdev import Netdev
from nodes.control.netlink_error import NetlinkError
from nodes.nic.rings import TcpDataSplit
from nodes.uapi.netlink import BindRx, BindTx, Queue, needs_admin
from tests.control.conftest import on_nic
from tests.control.test_bind import IFINDEX, bind, bound_queues, fd_of, no_dmabuf, ready, rx_request
from tests.descriptors import open_descriptors
from tests.nic.bench import Bench
from tests.nic.frames import Tcp

F_SEAL_FUTURE_WRITE = 0x0010
FD = 9  # the number that the caller has for it: the endpoint has another


def refused(call: Callable[[], object]) -> tuple[str, str]:
    """The name of the errno and the attribute that a call is refused with."""
    with pytest.raises(OSError) as caught:
        call()
    number = caught.value.errno or 0
    name = "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]  # Python says ENOTSUP
    return name, getattr(caught.value, "attribute", "")


def bind_rx(netdev: Netdev, request: BindRx, fd: int | None = None) -> tuple[str, str]:
    """Errno and attribute of the refusal; nothing is bound and no descriptor is kept."""
    ready(netdev)
    before = bound_queues(netdev), netdev.bindings
    how = refused(lambda: netdev.bind_rx(request, fd_of() if fd is None else fd, privileged=True))
    assert (bound_queues(netdev), netdev.bindings) == before
    return how


def queues(*entries: Queue) -> BindRx:
    return BindRx(IFINDEX, FD, entries)


def parse(**attributes: object) -> BindRx:
    return policy.parse(msgspec.msgpack.encode(attributes), BindRx)


def test_a1_bind_rx_without_cap_net_admin_is_eperm_before_anything_else(netdev: Netdev) -> None:
    assert needs_admin("netdev", "bind-rx")
    assert refused(lambda: netdev.bind_rx(BindRx(), no_dmabuf(), privileged=False))[0] == "EPERM"


def test_a2_bind_tx_needs_no_privilege(netdev: Netdev) -> None:
    assert not needs_admin("netdev", "bind-tx")
    assert netdev.bind_tx(BindTx(IFINDEX, FD), fd_of()).dmabuf_id == 1


@pytest.mark.parametrize("name", ["ifindex", "fd", "queues"])
def test_a3_a_missing_attribute_is_einval(netdev: Netdev, name: str) -> None:
    whole = rx_request(1)
    without = msgspec.structs.replace(whole, **{name: () if name == "queues" else None})
    assert bind_rx(netdev, without) == ("EINVAL", name)


@pytest.mark.parametrize(
    ("entry", "name"), [(Queue(), "id"), (Queue(type="rx"), "id"), (Queue(id=1), "type")]
)
def test_a4_an_entry_without_id_or_type_is_einval(netdev: Netdev, entry: Queue, name: str) -> None:
    assert bind_rx(netdev, queues(Queue(0, "rx"), entry)) == ("EINVAL", f"queues[1].{name}")


@pytest.mark.parametrize("kind", ["tx", 1])
def test_a5_a_tx_queue_is_einval(netdev: Netdev, kind: object) -> None:
    request = parse(ifindex=IFINDEX, fd=FD, queues=[{"id": 0, "type": kind}])
    assert bind_rx(netdev, request) == ("EINVAL", "queues[0].type")


def test_a6_a_type_that_is_none_and_ifindex_0_are_erange() -> None:
    assert refused(lambda: parse(ifindex=0)) == ("ERANGE", "ifindex")
    assert refused(lambda: parse(queues=[{"id": 0, "type": 2}])) == ("ERANGE", "queues[0].type")


def test_a7_a_queue_beyond_the_device_is_einval(netdev: Netdev) -> None:
    assert bind_rx(netdev, rx_request(0, 8)) == ("EINVAL", "queues[1].id")


def test_a8_a_queue_named_twice_is_bound_once(netdev: Netdev) -> None:
    ready(netdev)
    binding = bind(netdev, 3, 1, 3)
    assert bound_queues(netdev) == {1: binding.dmabuf_id, 3: binding.dmabuf_id}


@pytest.mark.parametrize(
    ("size", "name"), [(0, "ERANGE"), (2048, "ERANGE"), (4095, "ERANGE"), (4097, "EINVAL"), (12288, "EINVAL")]
)
def test_a9_an_rx_page_size_below_a_page_is_erange_another_wrong_one_einval(
    netdev: Netdev, size: int, name: str
) -> None:
    request = msgspec.structs.replace(rx_request(1), rx_page_size=size)
    assert bind_rx(netdev, request) == (name, "rx-page-size")


def test_a9_the_policy_comes_ahead_of_missing_attributes(netdev: Netdev) -> None:
    assert bind_rx(netdev, BindRx(rx_page_size=1)) == ("ERANGE", "rx-page-size")
    assert bind_rx(netdev, BindRx(rx_page_size=4097)) == ("EINVAL", "ifindex")


def test_a10_an_rx_page_size_beyond_the_devices_is_eopnotsupp(netdev: Netdev) -> None:
    request = msgspec.structs.replace(rx_request(1), rx_page_size=1 << 17)
    assert bind_rx(netdev, request)[0] == "EOPNOTSUPP"


@on_nic("gve", "no-order-0-pools")
def test_a10_a_driver_without_rx_page_size_refuses_more_than_a_page(netdev: Netdev) -> None:
    request = msgspec.structs.replace(rx_request(1), rx_page_size=8192)
    assert bind_rx(netdev, request)[0] == "EOPNOTSUPP"


def test_a11_an_unknown_ifindex_is_enodev(netdev: Netdev) -> None:
    request = msgspec.structs.replace(rx_request(1), ifindex=IFINDEX + 1)
    assert bind_rx(netdev, request) == ("ENODEV", "ifindex")
    assert refused(lambda: netdev.bind_tx(BindTx(IFINDEX + 1, FD), fd_of())) == ("ENODEV", "ifindex")


@on_nic("no-queue-management")
def test_a13_a_driver_without_queue_management_is_eopnotsupp_but_can_send(netdev: Netdev) -> None:
    unread = BindRx(IFINDEX, FD, (Queue(99),))  # refused before the queues are looked at
    assert bind_rx(netdev, unread) == ("EOPNOTSUPP", "ifindex")
    assert netdev.bind_tx(BindTx(IFINDEX, FD), fd_of()).dmabuf_id == 1


@on_nic("no-dma")
def test_a14_a_device_without_dma_is_eopnotsupp_ahead_of_the_descriptor(netdev: Netdev) -> None:
    assert bind_rx(netdev, rx_request(1), no_dmabuf())[0] == "EOPNOTSUPP"
    assert bind_rx(netdev, rx_request(99)) == ("EINVAL", "queues[0].id")
    assert refused(lambda: netdev.bind_tx(BindTx(IFINDEX, FD), no_dmabuf()))[0] == "EOPNOTSUPP"


@on_nic("multi-pf")
def test_a15_queues_of_different_dma_devices_are_eopnotsupp(netdev: Netdev) -> None:
    assert bind_rx(netdev, rx_request(1, 3, 6), no_dmabuf())[0] == "EOPNOTSUPP"
    odd, even = bind(netdev, 1, 3, 7), bind(netdev, 6, 0)
    assert set(bound_queues(netdev).values()) == {odd.dmabuf_id, even.dmabuf_id}


@pytest.mark.parametrize("fd", [-1, 999])
def test_a16_a_descriptor_that_is_not_open_is_ebadf(netdev: Netdev, fd: int) -> None:
    assert bind_rx(netdev, rx_request(1), fd)[0] == "EBADF"
    assert refused(lambda: netdev.bind_tx(BindTx(IFINDEX, FD), fd))[0] == "EBADF"


def memfd(size: int, seals: int, name: str = "dmabuf") -> int:
    """A memfd as an application makes it: it has a size, but no pages yet."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def reopened(flags: int) -> int:
    """The memory of a dma-buf, opened again with `flags`."""
    fd = fd_of()
    again = os.open(f"/proc/self/fd/{fd}", flags)
    os.close(fd)
    return again


def pipe() -> int:
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def plain_file() -> int:
    with tempfile.TemporaryFile() as file:
        file.truncate(8192)
        return os.dup(file.fileno())


NO_DMABUF: dict[str, Callable[[], int]] = {
    "a device": no_dmabuf,
    "a plain file": plain_file,
    "a directory": lambda: os.open("/", os.O_RDONLY),
    "a pipe": pipe,
    "a socket": lambda: socket.socket().detach(),
    "an unsealed memfd": lambda: memfd(8192, 0),
    "a memfd sealed only against growing": lambda: memfd(8192, fcntl.F_SEAL_GROW),
    "a memfd sealed against writing": lambda: memfd(8192, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE),
    "a memfd sealed against writable maps": lambda: memfd(8192, fcntl.F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE),
    "an empty memfd": lambda: memfd(0, fcntl.F_SEAL_SHRINK),
    "a memfd of another name": lambda: memfd(8192, fcntl.F_SEAL_SHRINK, "user-memory"),
}


@pytest.mark.parametrize("what", NO_DMABUF)
def test_a17_a_descriptor_that_is_no_dma_buf_is_einval(netdev: Netdev, what: str) -> None:
    before = open_descriptors()
    assert bind_rx(netdev, rx_request(1), NO_DMABUF[what]())[0] == "EINVAL"
    assert refused(lambda: netdev.bind_tx(BindTx(IFINDEX, FD), NO_DMABUF[what]()))[0] == "EINVAL"
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("flags", "name"), [(os.O_RDONLY, "EACCES"), (os.O_WRONLY, "EACCES"), (os.O_PATH, "EBADF")]
)
def test_a18_what_the_memory_refuses_is_the_binds_errno(netdev: Netdev, flags: int, name: str) -> None:
    before = open_descriptors()
    assert bind_rx(netdev, rx_request(1), reopened(flags))[0] == name
    assert refused(lambda: netdev.bind_tx(BindTx(IFINDEX, FD), reopened(flags)))[0] == name
    assert open_descriptors() == before


def test_a19_a_size_that_is_no_multiple_of_the_net_iovs_is_einval(netdev: Netdev) -> None:
    large = msgspec.structs.replace(rx_request(1), rx_page_size=16384)
    assert bind_rx(netdev, large, fd_of(16384 + 4096))[0] == "EINVAL"
    assert bind_rx(netdev, rx_request(1), fd_of(4097))[0] == "EINVAL"
    assert refused(lambda: netdev.bind_tx(BindTx(IFINDEX, FD), fd_of(4097)))[0] == "EINVAL"


@pytest.mark.parametrize("split", [TcpDataSplit.UNKNOWN, TcpDataSplit.DISABLED])
def test_a22_header_split_that_is_not_enabled_is_einval(netdev: Netdev, split: TcpDataSplit) -> None:
    netdev.devices[IFINDEX].rings.tcp_data_split = split
    assert refused(lambda: bind(netdev, 7))[0] == "EINVAL"
    assert bound_queues(netdev) == {}


def test_a23_a_threshold_of_header_split_is_einval(netdev: Netdev) -> None:
    netdev.devices[IFINDEX].rings.hds_thresh = 1
    assert bind_rx(netdev, rx_request(7))[0] == "EINVAL"


def test_a25_a_queue_with_a_memory_provider_is_eexist_and_no_other_is_bound(netdev: Netdev) -> None:
    ready(netdev)
    first = bind(netdev, 6)
    assert bind_rx(netdev, rx_request(5, 6, 7))[0] == "EEXIST"
    assert bound_queues(netdev) == {6: first.dmabuf_id}


DRIVERS_POOLS = on_nic("no-unreadable-pools", "no-synced-pools", "no-order-0-pools")


@on_nic("no-unreadable-pools")
def test_a28_a_driver_whose_pool_ignores_the_provider_is_enodata(netdev: Netdev) -> None:
    assert bind_rx(netdev, rx_request(5, 6))[0] == "ENODATA"


@on_nic("no-synced-pools")
def test_a29_a_pool_that_is_not_mapped_and_synced_is_eopnotsupp(netdev: Netdev) -> None:
    assert bind_rx(netdev, rx_request(5, 6))[0] == "EOPNOTSUPP"


@on_nic("no-order-0-pools")
def test_a30_a_pool_of_another_order_than_the_bindings_is_e2big(netdev: Netdev) -> None:
    assert bind_rx(netdev, rx_request(5, 6))[0] == "E2BIG"


@DRIVERS_POOLS
def test_a28_to_a30_come_after_the_rings_and_leave_the_queues_as_they_were(
    netdev: Netdev, bench: Bench
) -> None:
    assert refused(lambda: bind(netdev, 7))[0] == "EINVAL"  # A22
    bench.wire.put(Tcp(bytes(9)).frame())
    (got,) = bench.poll()
    posted = [(rxq.pool, rxq.posted) for rxq in bench.device.rx_queues]
    refusal = bind_rx(netdev, rx_request(0, 7))
    assert refusal[0] in ("ENODATA", "EOPNOTSUPP", "E2BIG")
    assert [(rxq.pool, rxq.posted) for rxq in bench.device.rx_queues] == posted
    bench.release(got.skb)


@on_nic("no-netmem-tx")
def test_a31_a_device_without_netmem_tx_is_eopnotsupp(netdev: Netdev) -> None:
    assert refused(lambda: netdev.bind_tx(BindTx(IFINDEX, FD), fd_of()))[0] == "EOPNOTSUPP"


def test_a33_without_memory_it_is_enomem_and_nothing_is_bound(netdev: Netdev) -> None:
    ready(netdev)
    with open("/proc/self/statm") as statm:
        in_use = int(statm.read().split()[0]) * resource.getpagesize()
    large = fd_of(64 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + (16 << 20), hard))
    try:
        assert bind_rx(netdev, rx_request(7), large)[0] == "ENOMEM"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("size", [8192, 1 << 40, (1 << 63) - 1])
def test_a33_memory_that_is_not_there_yet_is_enomem_whatever_its_size(netdev: Netdev, size: int) -> None:
    hollow = memfd(size, fcntl.F_SEAL_SHRINK)
    assert bind_rx(netdev, rx_request(7), hollow)[0] == "ENOMEM"


def test_a_refusal_is_a_sentence_that_names_what_offends(netdev: Netdev) -> None:
    with pytest.raises(NetlinkError) as caught:
        netdev.bind_rx(BindRx(IFINDEX + 1, FD, (Queue(0, "rx"),)), fd_of(), privileged=True)
    assert caught.value.strerror == "no device has ifindex 3, this host's has 2"

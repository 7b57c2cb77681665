"""What bind-rx and bind-tx refuse, in the kernel's order, and what a binding and its end change."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from nodes.control.netdev import Netdev
from nodes.control.netdev_get import NetdevGet
from nodes.control.netlink_error import NetlinkError
from nodes.machine import dmabuf
from nodes.machine.routes import Place
from nodes.netmem.binding import RxBinding
from nodes.nic.rings import TcpDataSplit
from nodes.uapi.netlink import BindRx, BindTx, IfindexOnly, Queue
from tests.descriptors import open_descriptors
from tests.nic.bench import Bench
from tests.nic.frames import Tcp

IFINDEX = 2
SIZE = 1 << 20
DUMP = IfindexOnly()


def rx_request(*queues: int) -> BindRx:
    return BindRx(IFINDEX, 9, tuple(Queue(q, "rx") for q in queues))


def fd_of(size: int = SIZE) -> int:
    """A dma-buf as the endpoint gets it from the channel: a descriptor that is the endpoint's own."""
    region = dmabuf.export(size)
    fd = os.dup(region.fd)
    region.close()
    return fd


def no_dmabuf() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def bind(netdev: Netdev, *queues: int, size: int = SIZE) -> RxBinding:
    return netdev.bind_rx(rx_request(*queues), fd_of(size), privileged=True)


def ready(netdev: Netdev) -> None:
    netdev.devices[IFINDEX].rings.tcp_data_split = TcpDataSplit.ENABLED


@contextmanager
def refused(number: int, text: str) -> Iterator[None]:
    with pytest.raises(OSError, match=text) as caught:
        yield
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


def bound_queues(netdev: Netdev) -> dict[int, int]:
    """The dma-buf id of each rx queue that has one."""
    queues = NetdevGet(netdev.devices).queue_dump(DUMP)
    return {q.id: q.dmabuf for q in queues if q.type == "rx" and q.dmabuf}


# --- refusals


def test_bind_rx_checks_in_the_kernels_order(netdev: Netdev) -> None:
    """At first every attribute is wrong; each refusal names the first wrong one, which is then corrected."""
    request = BindRx(None, None, (), rx_page_size=3000)
    fix = msgspec.structs.replace
    device = netdev.devices[IFINDEX]

    def refuse(number: int, text: str, fd: int, privileged: bool = True) -> None:
        with refused(number, text):
            netdev.bind_rx(request, fd, privileged)
        assert not Path(f"/proc/self/fd/{fd}").exists(), "the descriptor was taken over"
        assert netdev.bindings == ()

    refuse(errno.EPERM, "CAP_NET_ADMIN", no_dmabuf(), privileged=False)  # A1
    refuse(errno.ERANGE, "rx-page-size 3000 is less than a page", no_dmabuf())  # A9, the policy
    request = fix(request, rx_page_size=5000)
    refuse(errno.EINVAL, "'ifindex' is missing", no_dmabuf())  # A3
    request = fix(request, ifindex=IFINDEX + 1)
    refuse(errno.EINVAL, "'fd' is missing", no_dmabuf())
    request = fix(request, fd=9)
    refuse(errno.EINVAL, "'queues' is missing", no_dmabuf())
    request = fix(request, queues=(Queue(99, None),))
    refuse(errno.EINVAL, "power of 2", no_dmabuf())  # A9
    request = fix(request, rx_page_size=1 << 17)
    refuse(errno.ENODEV, f"no device has ifindex {IFINDEX + 1}", no_dmabuf())  # A11
    request = fix(request, ifindex=IFINDEX)
    refuse(errno.EINVAL, r"'queues\[0\]\.type' is missing", no_dmabuf())  # A4
    request = fix(request, queues=(Queue(99, "tx"),))
    refuse(errno.EINVAL, "queue 99 is a tx queue", no_dmabuf())  # A5
    request = fix(request, queues=(Queue(99, "rx"),))
    refuse(errno.EINVAL, "rx queue 99 does not exist, the device has 8", no_dmabuf())  # A7
    request = fix(request, queues=(Queue(7, "rx"),))
    refuse(errno.EBADF, "is not open", 999)  # A16
    refuse(errno.EINVAL, "no memfd of that name", no_dmabuf())  # A17
    refuse(errno.EINVAL, "not a multiple of the net_iov size 131072", fd_of(4096))  # A19
    device.rings.hds_thresh = 1
    refuse(errno.EINVAL, "tcp-data-split is not enabled", fd_of())  # A22
    ready(netdev)
    refuse(errno.EINVAL, "hds-thresh is 1", fd_of())  # A23
    device.rings.hds_thresh = 0
    refuse(errno.EOPNOTSUPP, "does not support an rx-page-size", fd_of())  # A10
    request = fix(request, rx_page_size=8192)
    assert netdev.bind_rx(request, fd_of(), privileged=True).dmabuf_id == 4  # the last three used one up each
    with refused(errno.EEXIST, "rx queue 7 has a memory provider already"):  # A25
        netdev.bind_rx(request, fd_of(), privileged=True)


@pytest.mark.parametrize("queue", [Queue(), Queue(id=1), Queue(type="rx")])
def test_a_queue_entry_without_id_or_type_is_einval(netdev: Netdev, queue: Queue) -> None:
    ready(netdev)
    with refused(errno.EINVAL, "is missing"):
        netdev.bind_rx(BindRx(IFINDEX, 9, (Queue(0, "rx"), queue)), fd_of(), privileged=True)
    assert bound_queues(netdev) == {}


@pytest.mark.parametrize(
    ("size", "number", "text"),
    [
        *((size, errno.ERANGE, "is less than a page of 4096 bytes") for size in (0, 1, 2048, 4095)),
        *((size, errno.EINVAL, "must be a power of 2") for size in (4097, 12288)),
    ],
)
def test_an_rx_page_size_below_a_page_is_erange_and_no_power_of_two_is_einval(
    netdev: Netdev, size: int, number: int, text: str
) -> None:
    ready(netdev)
    with refused(number, f"rx-page-size {size} {text}"):
        netdev.bind_rx(BindRx(IFINDEX, 9, (Queue(0, "rx"),), size), fd_of(), privileged=True)


@pytest.mark.parametrize("size", [4096, 8192, 16384, 32768, 65536])
def test_the_rx_page_size_is_the_net_iovs(netdev: Netdev, size: int) -> None:
    ready(netdev)
    request = BindRx(IFINDEX, 9, (Queue(0, "rx"),), size)
    binding = netdev.bind_rx(request, fd_of(), privileged=True)
    assert (binding.provider.size, binding.provider.total) == (size, SIZE // size)


@pytest.mark.parametrize("split", [TcpDataSplit.UNKNOWN, TcpDataSplit.DISABLED])
def test_without_header_split_nothing_is_bound(netdev: Netdev, split: TcpDataSplit) -> None:
    netdev.devices[IFINDEX].rings.tcp_data_split = split
    with refused(errno.EINVAL, "tcp-data-split is not enabled"):
        bind(netdev, 7)
    assert bound_queues(netdev) == {}


def test_a_refusal_names_the_attribute(netdev: Netdev) -> None:
    with pytest.raises(NetlinkError) as caught:
        netdev.bind_rx(BindRx(IFINDEX + 1, 9, (Queue(0, "rx"),)), fd_of(), privileged=True)
    assert caught.value.attribute == "ifindex"


def test_bind_tx_checks_in_the_kernels_order(netdev: Netdev) -> None:
    request = BindTx()
    netdev.devices[IFINDEX].netmem_tx = False

    def refuse(number: int, text: str, fd: int) -> None:
        with refused(number, text):
            netdev.bind_tx(request, fd)
        assert not Path(f"/proc/self/fd/{fd}").exists(), "the descriptor was taken over"

    refuse(errno.EINVAL, "'ifindex' is missing", fd_of())
    request = BindTx(IFINDEX + 1)
    refuse(errno.EINVAL, "'fd' is missing", fd_of())
    request = BindTx(IFINDEX + 1, 9)
    refuse(errno.ENODEV, "no device has ifindex", fd_of())
    request = BindTx(IFINDEX, 9)
    refuse(errno.EOPNOTSUPP, "does not support netmem TX", fd_of())  # A31
    netdev.devices[IFINDEX].netmem_tx = True
    refuse(errno.EBADF, "is not open", 999)
    refuse(errno.EINVAL, "no memfd of that name", no_dmabuf())
    refuse(errno.EINVAL, "dma-buf size 4097", fd_of(4097))  # A19
    assert netdev.bind_tx(request, fd_of()).dmabuf_id == 1  # A2: without privilege


# --- what a binding changes


def test_a_queue_named_twice_is_bound_once(netdev: Netdev) -> None:
    ready(netdev)
    binding = bind(netdev, 3, 1, 3)  # A8
    assert bound_queues(netdev) == {1: binding.dmabuf_id, 3: binding.dmabuf_id}


def test_all_queues_are_bound_or_none(netdev: Netdev) -> None:
    ready(netdev)
    first = bind(netdev, 6)
    before = [rxq.pool.provider for rxq in netdev.devices[IFINDEX].rx_queues]
    with refused(errno.EEXIST, "rx queue 6"):
        bind(netdev, 7, 5, 6)
    assert bound_queues(netdev) == {6: first.dmabuf_id}
    assert [rxq.pool.provider for rxq in netdev.devices[IFINDEX].rx_queues] == before
    assert netdev.bindings == (first,)


def test_a_failed_bind_keeps_no_descriptor_and_no_memory(netdev: Netdev) -> None:
    ready(netdev)
    bind(netdev, 6)
    before = open_descriptors()
    with refused(errno.EEXIST, "rx queue 6"):
        bind(netdev, 5, 6)
    assert open_descriptors() == before


def test_ids_start_at_1_and_increase(netdev: Netdev) -> None:
    ready(netdev)
    ids = []
    for _ in range(3):
        binding = bind(netdev, 7)
        ids.append(binding.dmabuf_id)
        netdev.unbind(binding)
        tx = netdev.bind_tx(BindTx(IFINDEX, 9), fd_of())
        ids.append(tx.dmabuf_id)
        netdev.unbind(tx)
    assert ids == [1, 2, 3, 4, 5, 6]


def test_one_dma_buf_may_be_bound_twice(netdev: Netdev) -> None:
    ready(netdev)
    region = dmabuf.export(SIZE)
    fds = [os.dup(region.fd) for _ in range(3)]
    region.close()
    rx = [netdev.bind_rx(rx_request(q), fds[q], privileged=True) for q in (0, 1)]
    tx = netdev.bind_tx(BindTx(IFINDEX, 9), fds[2])
    assert [each.dmabuf_id for each in (*rx, tx)] == [1, 2, 3]


def test_only_tx_bindings_are_found_for_sending(netdev: Netdev) -> None:
    ready(netdev)
    rx, tx = bind(netdev, 7), netdev.bind_tx(BindTx(IFINDEX, 9), fd_of())
    assert netdev.tx_binding(tx.dmabuf_id) is tx
    assert netdev.tx_binding(rx.dmabuf_id) is None
    assert netdev.tx_binding(99) is None
    netdev.unbind(tx)
    assert netdev.tx_binding(tx.dmabuf_id) is None


# --- unbind


def receive(bench: Bench, netdev: Netdev, queue: int, seqs: Iterable[int]) -> None:
    """Receive into `queue` a frame of one page for each of `seqs`, filled with that number."""
    netdev.devices[IFINDEX].rss.table = [queue] * 128
    netdev.devices[IFINDEX].steering_changed()
    for seq in seqs:
        bench.wire.put(Tcp(bytes([seq]) * 4096, seq=seq).frame())
        bench.poll()


def test_unbind_gives_the_queues_ordinary_pages(netdev: Netdev, bench: Bench) -> None:
    ready(netdev)
    host = netdev.devices[IFINDEX].rx_queues[0].pool.provider
    binding = bind(netdev, 6, 7)
    netdev.unbind(binding)
    assert bound_queues(netdev) == {}
    assert {id(rxq.pool.provider) for rxq in netdev.devices[IFINDEX].rx_queues} == {id(host)}
    receive(bench, netdev, 7, [1])
    payload = bench.held[0].payload
    assert payload is not None
    assert not payload.unreadable
    netdev.unbind(binding)  # again: a session ends after an explicit unbind


def test_memory_stays_until_its_last_net_iov_is_back(netdev: Netdev, bench: Bench) -> None:
    ready(netdev)
    binding = bind(netdev, 7)
    receive(bench, netdev, 7, [1, 2, 3])
    bench.assert_conserved(binding)
    netdev.unbind(binding)
    bench.assert_conserved(binding)
    assert not binding.bound
    held = [*bench.held]
    for number, skb in enumerate(held, 1):
        assert skb.payload is not None
        frag = skb.payload.frags[0]
        assert binding.region.view[frag.offset] == number  # the bytes are still there
        assert [each.dmabuf_id for each in netdev.bindings] == [binding.dmabuf_id]
        bench.release(skb)
    assert [each.dmabuf_id for each in netdev.bindings] == []
    assert binding.region.fd == -1


def test_a_queue_can_be_bound_again_while_the_old_memory_drains(netdev: Netdev, bench: Bench) -> None:
    ready(netdev)
    old = bind(netdev, 7)
    receive(bench, netdev, 7, [1])
    netdev.unbind(old)
    new = bind(netdev, 7)
    receive(bench, netdev, 7, [2])
    assert netdev.bindings == (old, new)
    for binding in (old, new):
        bench.assert_conserved(binding)
    regions = [frag.netmem.region for skb in bench.held if skb.payload for frag in skb.payload.frags]
    assert regions == [old.region, new.region]


def test_a_binding_knows_memory_behind_the_pcie_switch_of_another_nic(bench: Bench, netdev: Netdev) -> None:
    ready(netdev)
    for beside, place in ((bench.device.name, Place.DEVICE), ("other", Place.FAR)):
        region = dmabuf.export(SIZE, beside)
        tx = netdev.bind_tx(BindTx(IFINDEX, 9), os.dup(region.fd))
        rx = netdev.bind_rx(rx_request(1), os.dup(region.fd), privileged=True)
        assert (tx.region.place, rx.region.place) == (place, place)
        for binding in (tx, rx):
            netdev.unbind(binding)
        region.close()

"""Several devices of one host, several hosts of one process: what they share and what each has of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from nodes.machine.ledger import Ledger
from nodes.nic.net_device import DeviceConfig, NetDevice
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import OUR_MAC, Tcp

QUEUES = 2
MEMORY_BYTES = 2 << 20


def device(ifindex: int, ledger: Ledger, pool_ids: Iterator[int] | None = None) -> NetDevice:
    config = DeviceConfig(
        f"eth{ifindex}", ifindex, OUR_MAC, rx_queues=QUEUES, host_memory_bytes=MEMORY_BYTES
    )
    return NetDevice(config, FakeWire(), ledger, pool_ids=pool_ids)


def pool_ids(each: NetDevice) -> list[int]:
    return [rxq.pool.id for rxq in each.all_rx_queues]


def receive(each: NetDevice, frames: int) -> int:
    """How many of `frames` the device receives while none is released; then it releases them."""
    assert isinstance(each.wire, FakeWire)
    for seq in range(frames):
        each.wire.put(Tcp(bytes(100), seq=seq).frame())
    skbs = list(each.poll(frames))
    for skb in skbs:
        skb.release()
    return len(skbs)


def test_page_pool_ids_are_unique_over_the_devices_of_a_host() -> None:
    ids, ledger = itertools.count(1), Ledger()
    devices = [device(ifindex, ledger, ids) for ifindex in (2, 3)]
    devices[0].restart_queue(devices[0].rx_queues[1], devices[0].host_pool())
    found = [number for each in devices for number in pool_ids(each)]
    assert len(set(found)) == 2 * QUEUES
    assert max(found) < next(ids)
    for each in devices:
        each.close()


def test_page_pool_ids_of_two_hosts_both_begin_at_1() -> None:
    hosts = [device(2, Ledger()), device(2, Ledger())]
    assert [pool_ids(each) for each in hosts] == [[1, 2], [1, 2]]
    for each in hosts:
        each.close()


def test_devices_of_a_host_share_its_ledger() -> None:
    ledger = Ledger()
    devices = [device(ifindex, ledger) for ifindex in (2, 3)]
    for each in devices:
        assert receive(each, 3) == 3
    assert ledger.host_dram_bytes == 2 * 3 * 154
    for each in devices:
        each.close()


def test_each_device_has_a_limit_of_host_memory_of_its_own() -> None:
    ledger = Ledger()
    devices = [device(ifindex, ledger) for ifindex in (2, 3)]
    for each in devices:
        assert 0 < receive(each, 1000) <= MEMORY_BYTES // 4096
    assert [each.placement.header_buffer.size for each in devices] == [4096, 4096]
    for each in devices:
        each.close()

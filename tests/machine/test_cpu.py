"""The CPU copies host memory and counts both accesses; device memory raises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodes.machine import dmabuf
from nodes.machine.cpu import Cpu, UnreadableMemory
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.machine.routes import totals


@pytest.fixture
def device() -> Iterator[Region]:
    region = dmabuf.export(4096)
    region.view[:] = b"d" * 4096
    yield region
    region.close()


def test_a_copy_to_user_memory_reads_and_writes_each_byte() -> None:
    ledger, region, user = Ledger(), Region.anonymous(4096), bytearray(6)
    region.view[50:54] = b"data"
    Cpu(ledger).copy(region, 50, memoryview(user)[1:5])
    assert bytes(user) == b"\0data\0"
    found = totals(ledger.snapshot())
    assert (found.host_dram_read_bytes, found.host_dram_write_bytes, found.pcie_switch_bytes) == (4, 4, 0)


def test_a_copy_from_user_memory_goes_to_the_given_offset() -> None:
    ledger, region = Ledger(), Region.anonymous(4096)
    Cpu(ledger).copy_in(memoryview(b"data"), region, 4092)
    assert bytes(region.view[4090:]) == b"\0\0data"
    assert ledger.host_dram_bytes == 8


def test_reading_device_memory_faults(device: Region) -> None:
    ledger, user = Ledger(), bytearray(4)
    with pytest.raises(UnreadableMemory, match="may not read device memory"):
        Cpu(ledger).copy(device, 0, memoryview(user))
    assert bytes(user) == bytes(4)
    assert ledger.snapshot() == ()


def test_writing_device_memory_faults(device: Region) -> None:
    ledger = Ledger()
    with pytest.raises(UnreadableMemory, match="may not write device memory"):
        Cpu(ledger).copy_in(memoryview(b"data"), device, 0)
    assert bytes(device.view) == b"d" * 4096
    assert ledger.snapshot() == ()


def test_headers_are_counted_once_and_as_a_nic_without_coalescing_would() -> None:
    ledger = Ledger()
    cpu = Cpu(ledger)
    cpu.read_header(66, 45)
    cpu.write_header(54, 1)
    found = totals(ledger.snapshot())
    assert (found.host_dram_read_bytes, found.host_dram_write_bytes) == (66, 54)
    assert found.header_host_dram_bytes == 120
    assert found.header_host_dram_uncoalesced_bytes == 66 * 45 + 54

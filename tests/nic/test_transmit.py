"""Frames are gathered from where their payload lies; while the wire is busy they wait in order."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from nodes.machine import dmabuf
from nodes.machine.cpu import Cpu
from nodes.machine.ledger import Ledger
from nodes.machine.routes import totals
from nodes.netmem.binding import TxBinding
from nodes.nic.wire_port import TxOffload
from nodes.skb import Frag, Frags, Skb
from nodes.sock.send_pages import SendPages
from nodes.wire.tcp import CHECKSUM_OFFSET
from tests.nic.bench import Bench

HEADER = bytes(range(54))


class Sender:
    """A dma-buf that is bound to the device of a bench for sending."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.freed = 0
        self.binding = TxBinding(9, 2, dmabuf.export(1 << 16), self._count)
        self.binding.region.view[:] = bytes(range(256)) * 256

    def _count(self, _: object) -> None:
        self.freed += 1

    def skb(self, *spans: tuple[int, int], gso_size: int = 0) -> Skb:
        """An skb with these (offset, size) fragments."""
        payload = Frags([Frag(self.binding.netmem(), at, size) for at, size in spans])
        packets = -(-len(payload) // gso_size) if gso_size else 1
        return Skb(HEADER, payload, gso_size=gso_size, wire_packets=packets)

    @property
    def references(self) -> int:
        return self.binding._area.pp_ref_count


@pytest.fixture
def sender(bench: Bench) -> Iterator[Sender]:
    each = Sender(bench)
    yield each
    each.binding.unbind()
    assert each.freed == 1, f"{each.references} references are still held"


def sent(bench: Bench) -> list[bytes]:
    return [each.frame for each in bench.wire.sent]


def test_a_frame_is_gathered_from_its_fragments(bench: Bench, sender: Sender) -> None:
    bench.device.xmit(sender.skb((10, 5), (4096, 3), (1, 1)), 34)
    assert sent(bench) == [HEADER + bytes([10, 11, 12, 13, 14, 0, 1, 2, 1])]
    assert sender.references == 0


def test_headers_come_from_host_memory_and_payload_from_the_device(bench: Bench, sender: Sender) -> None:
    bench.device.xmit(sender.skb((0, 3000), gso_size=1000), 34)
    found = totals(bench.ledger.snapshot())
    assert (found.host_dram_read_bytes, found.host_dram_write_bytes) == (54, 0)
    assert (found.device_read_bytes, found.pcie_switch_bytes, found.pcie_root_bytes) == (3000, 3054, 54)
    assert found.header_host_dram_uncoalesced_bytes == 3 * 54


def test_host_pages_are_read_from_host_memory(bench: Bench) -> None:
    pages = SendPages(Cpu(Ledger()), 1 << 20)
    bench.device.xmit(Skb(HEADER, pages.copy_from_user(memoryview(b"data"))), 34)
    assert sent(bench) == [HEADER + b"data"]
    assert totals(bench.ledger.snapshot()).host_dram_read_bytes == 54 + 4
    pages.close()
    assert pages.inflight == 0


def test_a_frame_carries_its_tso_and_checksum_offload(bench: Bench, sender: Sender) -> None:
    bench.device.xmit(sender.skb((0, 3000), gso_size=1448), 34)
    bench.device.xmit(Skb(HEADER, None), 0)
    tso, plain = (each.offload for each in bench.wire.sent)
    assert tso == TxOffload(54, 1448, 34, CHECKSUM_OFFSET)
    assert plain == TxOffload(0, 0, 0, 0)


def test_each_frame_has_its_own_offload_though_frames_may_share_a_record(bench: Bench) -> None:
    """A wire encodes the record of a stream's packets once."""
    v6 = bytes((*HEADER[:14], 0x60, *HEADER[15:]))
    wanted = [
        (HEADER, 1448, 34), (HEADER, 1448, 34), (HEADER, 0, 34), (HEADER, 0, 34), (HEADER, 1448, 34),
        (HEADER, 1400, 34), (HEADER[:50], 1400, 34), (HEADER[:50], 1400, 38), (v6, 1400, 38), (HEADER, 0, 0),
        (v6, 0, 38), (HEADER, 0, 38),
    ]  # fmt: skip
    for header, gso_size, l4_start in wanted:
        bench.device.xmit(Skb(header, None, gso_size=gso_size, wire_packets=2), l4_start)
    offloads = [each.offload for each in bench.wire.sent]
    for offload, (header, gso_size, l4_start) in zip(offloads, wanted, strict=True):
        finished = (len(header), gso_size, l4_start, CHECKSUM_OFFSET, header is v6) if l4_start else ()
        assert offload == TxOffload(*finished)
    assert offloads[0] is offloads[1] is offloads[4]
    assert offloads[2] is offloads[3]


def test_counters_count_frames_bytes_and_wire_packets(bench: Bench, sender: Sender) -> None:
    bench.device.xmit(sender.skb((0, 3000), gso_size=1448), 34)
    bench.device.xmit(Skb(HEADER, None), 34)
    bench.device.xmit(Skb(HEADER, None), 0)
    c = bench.device.tx.counters
    assert (c.tx_packets, c.tx_bytes, c.tx_wire_packets) == (3, 3000 + 3 * 54, 5)
    assert (c.tx_hw_gso_packets, c.tx_hw_gso_wire_packets) == (1, 3)
    assert (c.tx_hw_gso_bytes, c.tx_hw_gso_wire_bytes, c.tx_csum_none) == (3054, 3000 + 3 * 54, 1)
    assert (c.tx_stop, c.tx_wake, c.tx_hw_drops) == (0, 0, 0)


def test_a_busy_wire_makes_frames_wait_in_order(bench: Bench, sender: Sender) -> None:
    tx, wire = bench.device.tx, bench.wire
    wire.room = 1
    for at in range(4):
        bench.device.xmit(sender.skb((at, 1)), 34)
    assert sent(bench) == [HEADER + b"\0"]
    assert tx.stopped
    assert sender.references == 3  # the NIC has not fetched them yet
    wire.room = 2
    tx.kick()
    assert tx.stopped
    wire.room = None
    bench.device.xmit(sender.skb((4, 1)), 34)  # must not overtake
    assert len(bench.wire.sent) == 3
    tx.kick()
    assert not tx.stopped
    assert sent(bench) == [HEADER + bytes([at]) for at in range(5)]
    assert (tx.counters.tx_stop, tx.counters.tx_wake) == (1, 1)


def test_a_frame_that_waits_is_recorded_once(bench: Bench, sender: Sender) -> None:
    bench.wire.room = 0
    bench.device.xmit(sender.skb((0, 1000)), 34)
    for _ in range(5):
        bench.device.tx.kick()
    assert bench.ledger.snapshot() == ()
    bench.wire.room = None
    bench.device.tx.kick()
    found = totals(bench.ledger.snapshot())
    assert (found.device_read_bytes, found.host_dram_read_bytes) == (1000, 54)


def test_a_kick_with_nothing_waiting_does_nothing(bench: Bench) -> None:
    bench.device.tx.kick()
    assert bench.device.tx.counters.tx_wake == 0


def test_a_link_that_is_down_loses_frames_and_counts_them(bench: Bench, sender: Sender) -> None:
    bench.wire.down = True
    bench.device.xmit(sender.skb((0, 100)), 34)
    assert bench.device.tx.counters.tx_hw_drops == 1
    assert not bench.device.tx.stopped
    assert sender.references == 0
    bench.wire.down = False
    bench.device.xmit(sender.skb((0, 1)), 34)
    assert sent(bench) == [HEADER + b"\0"]


def test_frames_that_wait_are_lost_when_the_link_goes_down(bench: Bench, sender: Sender) -> None:
    bench.wire.room = 0
    for at in range(3):
        bench.device.xmit(sender.skb((at, 1)), 34)
    bench.wire.down = True
    bench.device.tx.kick()
    assert (bench.device.tx.counters.tx_hw_drops, sender.references) == (3, 0)


@pytest.mark.parametrize(
    ("netmem_tx", "ifindex", "passes"), [(True, 2, True), (True, 3, False), (False, 2, False)]
)
def test_unreadable_payload_is_sent_only_by_its_own_device(
    bench: Bench, sender: Sender, netmem_tx: bool, ifindex: int, passes: bool
) -> None:
    bench.device.netmem_tx = netmem_tx
    sender.binding.ifindex = ifindex
    bench.device.xmit(sender.skb((0, 10)), 34)
    assert bench.device.tx_unreadable_drops == (not passes)
    assert len(bench.wire.sent) == passes
    assert sender.references == 0


def test_readable_payload_is_sent_by_any_device(bench: Bench) -> None:
    bench.device.netmem_tx = False
    pages = SendPages(Cpu(Ledger()), 1 << 20)
    bench.device.xmit(Skb(HEADER, pages.copy_from_user(memoryview(b"data"))), 34)
    assert len(bench.wire.sent) == 1
    pages.close()
    assert pages.inflight == 0


def test_nothing_is_sent_while_the_device_is_closed_and_what_waits_is_lost(
    bench: Bench, sender: Sender
) -> None:
    bench.wire.room = 0
    bench.device.xmit(sender.skb((0, 1)), 34)
    bench.device.stop()
    bench.wire.room = None
    bench.device.xmit(sender.skb((1, 1)), 34)
    bench.device.tx.kick()
    assert (bench.device.tx.counters.tx_hw_drops, sender.references, sent(bench)) == (2, 0, [])
    bench.device.open()
    bench.device.xmit(sender.skb((2, 1)), 34)
    assert sent(bench) == [HEADER + b"\2"]


@pytest.mark.parametrize(
    ("beside", "switch", "root"), [("", 5, 0), ("eth0", 5, 0), ("eth1", 10, 5)]
)
def test_memory_behind_another_switch_is_fetched_through_two_and_the_root(
    bench: Bench, beside: str, switch: int, root: int
) -> None:
    memory = dmabuf.export(4096, beside and (bench.device.name if beside == "eth0" else "other"))
    binding = TxBinding(9, 2, dmabuf.attach(os.dup(memory.fd), bench.device.name), lambda _: None)
    before = totals(bench.device.dma.ledger.snapshot())
    skb = Skb(HEADER, Frags([Frag(binding.netmem(), 7, 5)]), wire_packets=1)
    bench.device.xmit(skb, 34)
    moved = totals(bench.device.dma.ledger.snapshot()).minus(before)
    header = len(HEADER)
    assert (moved.pcie_switch_bytes, moved.pcie_root_bytes) == (header + switch, header + root)
    assert moved.device_read_bytes == 5
    binding.unbind()
    memory.close()

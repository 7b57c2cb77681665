"""Every number of docs/host-memory.md is what the ledger counts and what analysis/ expects."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from analysis.crossover import Limits, Need, crossover
from analysis.host_memory import (
    ACCESSES_PER_HEADER,
    ACCESSES_PER_STAGED_BYTE,
    HEADER_BYTES,
    expected_headers,
    expected_staged,
)
from analysis.memory_model import MemoryModel
from nodes.machine import ledger as routes
from nodes.machine.ledger import PCIE_DOWN, PCIE_UP, Ledger, Totals, totals
from tests.analysis.synthetic import MIB as SIZE
from tests.analysis.synthetic import Made
from tests.docs import pages
from tests.docs.pages import command
from tests.system.reader import project
from workloads.bus_bandwidth import busbw_factor
from workloads.executor import Plan
from workloads.schedules import ring
from workloads.schedules.schedule import Call

PAGE = "docs/host-memory.md"
N = 1000
MIB = 1 << 20
PAYLOAD = pages.table(PAGE, "Payload")
QUANTITIES = dict(
    row
    for heading in ("The whole", "Ring all-reduce", "What it means for hardware")
    for row in pages.table(PAGE, heading)
)


def moved(names: list[str]) -> Totals:
    """What a ledger counts for N bytes along each of the routes."""
    ledger = Ledger()
    for name in names:
        ledger.record(getattr(routes, name), N)
    return totals(ledger.snapshot())


def known(value: float | None) -> float:
    assert value is not None
    return value


@pytest.mark.parametrize("row", PAYLOAD, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_payload_byte_costs_what_its_routes_cost(row: list[str]) -> None:
    found = moved(pages.named(row[2]))
    reads, writes = found.host_dram_read_bytes, found.host_dram_write_bytes
    counted = (reads, writes, reads + writes, found.pcie_switch_bytes, found.pcie_root_bytes)
    assert [int(cell) * N for cell in row[3:]] == list(counted)


def test_devmem_and_bounce_cost_what_the_analysis_expects() -> None:
    costs = {(row[0], row[1]): float(row[5]) for row in PAYLOAD}
    for direction in ("receive", "send"):
        assert costs["devmem", direction] == expected_staged(0, N)
        assert costs["bounce", direction] == expected_staged(N, N) == ACCESSES_PER_STAGED_BYTE


def through_the_switch(path: str, direction: str) -> tuple[int, int]:
    """How often a payload byte goes up and down the PCIe switch, by the page's routes."""
    names = next(pages.named(row[2]) for row in PAYLOAD if row[:2] == [path, direction])
    taken = [getattr(routes, name) for name in names]
    return sum(route in PCIE_UP for route in taken), sum(route in PCIE_DOWN for route in taken)


def test_a_pcie_switch_holds_both_ways_up_as_the_page_says() -> None:
    """`most`: each way, of a switch of so many GB/s in each direction."""
    most = {}
    for path in ("bounce", "devmem"):
        (up_in, down_in), (up_out, down_out) = (
            through_the_switch(path, direction) for direction in ("receive", "send")
        )
        assert max(up_in, down_in) == max(up_out, down_out) == 1, "one way: as much as the switch carries"
        most[path] = 2 / max(up_in + up_out, down_in + down_out)
    assert pages.table(PAGE, "Ceilings") == [
        ["a PCIe switch of 2 GB/s, bounce, both ways, each way at most", f"{most['bounce']:g} GB/s"],
        ["the same, devmem", f"{most['devmem']:g} GB/s"],
    ]


def test_gathering_net_iovs_touches_accelerator_memory_only() -> None:
    assert "one read and one write of accelerator memory" in " ".join(pages.prose(PAGE).split())
    gathered = Totals(device_read_bytes=N, device_write_bytes=N)
    assert moved(["ACC_DEVICE_TO_DEVICE"]) == gathered


@pytest.mark.parametrize(
    "names", [("NIC_HEADER_IN", "CPU_HEADER_READ"), ("CPU_HEADER_WRITE", "NIC_HEADER_OUT")]
)
def test_a_header_is_written_once_read_once_and_crosses_the_root_once(names: tuple[str, str]) -> None:
    assert f"`{names[0]}`, `{names[1]}`" in " ".join(pages.prose(PAGE).split())
    ledger = Ledger()
    for name in names:
        ledger.record_header(getattr(routes, name), HEADER_BYTES, 45)
    found = totals(ledger.snapshot())
    assert (found.host_dram_read_bytes, found.host_dram_write_bytes) == (HEADER_BYTES, HEADER_BYTES)
    assert found.header_host_dram_bytes == ACCESSES_PER_HEADER * HEADER_BYTES == 132
    assert found.header_host_dram_uncoalesced_bytes == 45 * 132
    assert found.pcie_root_bytes == HEADER_BYTES


def test_the_formulas_have_the_factors_of_the_analysis() -> None:
    formulas = "".join(block.text for block in pages.blocks(PAGE))
    staged = f"{ACCESSES_PER_STAGED_BYTE:g} x staged"
    header = f"{ACCESSES_PER_HEADER} x {HEADER_BYTES} x packets"
    for formula in (
        f"DRAM accesses per payload byte = {staged} / (sent + received)\n",
        f"header accesses per payload byte = {header} / (sent + received)\n",
        f"DRAM accesses per payload byte = ({staged} + {header}) / (sent + received)\n",
        f"root crossings per payload byte = (2 x staged + {HEADER_BYTES} x packets) / (sent + received)\n",
    ):
        assert formula in formulas


def test_the_whole_of_a_mixed_transfer_is_the_sum_of_its_parts() -> None:
    """A ledger that is filled as a rank and its endpoint fill it: receive by devmem, send by bounce."""
    ledger, sent, received, packets = Ledger(), 70 * N, 30 * N, 9
    ledger.record(routes.NIC_WIRE_TO_DEVICE, received)
    for route in (routes.ACC_DEVICE_TO_HOST, routes.CPU_HOST_TO_HOST, routes.NIC_HOST_TO_WIRE):
        ledger.record(route, sent)
    for _ in range(packets):
        ledger.record_header(routes.NIC_HEADER_IN, HEADER_BYTES, 1)
        ledger.record_header(routes.CPU_HEADER_READ, HEADER_BYTES, 1)
    found, payload = totals(ledger.snapshot()), sent + received
    accesses = found.host_dram_read_bytes + found.host_dram_write_bytes
    expected = known(expected_staged(sent, payload)) + known(expected_headers(packets, payload))
    assert accesses / payload == pytest.approx(expected, rel=1e-12)
    assert found.pcie_root_bytes == 2 * sent + HEADER_BYTES * packets


def all_reduce(size: int, nranks: int) -> tuple[int, int]:
    """Bytes that a rank sends and receives."""
    call = Call(rank=0, nranks=nranks, count=size // 4, element_bytes=4, scratch=size)
    plan = Plan(ring.all_reduce(call))
    return plan.sent_bytes, plan.received_bytes


def test_a_ring_all_reduce_moves_what_its_formula_says() -> None:
    (formula,) = (block.text for block in pages.blocks(PAGE) if "sent = received" in block.text)
    assert "sent = received = 2 (n - 1) / n x S\n" in formula
    assert "4 x (sent + received) = 16 (n - 1) / n x S\n" in formula
    for nranks in (2, 3, 4, 8):
        size = 24 * MIB
        sent, received = all_reduce(size, nranks)
        assert sent == received == 2 * (nranks - 1) * size // nranks
        assert 4 * (sent + received) == 16 * (nranks - 1) * size // nranks
        assert busbw_factor("all_reduce", nranks) * size == sent  # busbw counts each byte sent once


def test_every_worked_number_is_computed() -> None:
    sent, received = all_reduce(16 * MIB, 4)
    staged = known(expected_staged(1, 1))
    duplex = 2 * 200 / 8 * staged  # GB/s
    with_read_for_ownership = duplex / staged * (staged + 1)
    expected = {
        "bounce, payload": f"{staged:g}",
        "devmem, payload": f"{known(expected_staged(0, 1)):g}",
        "devmem (RX only), as much sent as received": f"{known(expected_staged(1, 2)):g}",
        "header accesses at an MSS of 1448 B, uncoalesced": percent(known(expected_headers(1, 1448)), 1),
        "header accesses at an MSS of 8192 B, uncoalesced": percent(known(expected_headers(1, 8192)), 1),
        "header accesses in super-packets of 45 x 1448 B": percent(known(expected_headers(1, 45 * 1448)), 2),
        "payload of a rank, all_reduce of 16 MiB on 4 ranks": f"{sent + received} B",
        "host DRAM of a rank, bounce, the same": f"{staged * (sent + received):.0f} B",
        "host DRAM for each byte of busbw, bounce": f"{staged * (sent + received) / sent:g}",
        "bounce, a NIC of 200 Gb/s in both directions": f"{duplex:g} GB/s",
        "the same with read-for-ownership": f"{with_read_for_ownership:g} GB/s",
        "bounce, four such NICs": f"{4 * duplex:g} GB/s",
    }
    assert expected == QUANTITIES


CACHE = {
    "as counted": MemoryModel(),
    "read-for-ownership": MemoryModel(rfo=True),
    "DDIO share 0.5": MemoryModel(ddio=0.5),
    "DDIO share 1": MemoryModel(ddio=1.0),
    "read-for-ownership, DDIO share 1": MemoryModel(rfo=True, ddio=1.0),
}
REDRAWN = command("docs/host-memory.md", "python3 run.py report results/mine --rfo --ddio 0.5")


def test_a_cache_changes_what_the_page_says() -> None:
    rows = {row[0]: [float(cell) for cell in row[1:]] for row in pages.table(PAGE, "A cache between")}
    assert rows == {
        name: [model.staged_accesses(1, 0), model.staged_accesses(0, 1), 0.0] for name, model in CACHE.items()
    }


def test_the_formula_of_a_cache_has_the_factors_of_the_model() -> None:
    (formula,) = (block.text for block in pages.blocks(PAGE) if "staged and received" in block.text)
    for words in ("(4 + r) x staged", "2 x d x staged and received", "(2 + r) x packets sent"):
        assert words in formula
    d, r, sent, received = 0.25, 1, 7.0, 3.0
    model = MemoryModel(rfo=True, ddio=d)
    assert model.staged_accesses(sent, received) == (4 + r) * (sent + received) - 2 * d * received
    assert model.header_accesses(sent, received) == (2 + r) * sent + (2 - 2 * d) * received


def test_the_crossovers_of_the_page_are_computed() -> None:
    for memory, ways, said in pages.table(PAGE, "Over time, and the crossover"):
        directions = 2 if ways == "both ways" else 1
        limits = Limits(dram=float(memory.split()[0]) * 1e9)
        at = known(crossover(Need(4.0 * directions), Need(0.01), limits))
        assert said == f"{at * 8 / 1e9:g} Gbit/s", (memory, ways)


def test_a_run_is_drawn_again_with_a_cache_by_the_pages_command(tmp_path: Path) -> None:
    Made(sizes=(SIZE,)).write(tmp_path / "results" / "mine")
    done = subprocess.run(
        REDRAWN,
        shell=True,
        cwd=project(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert re.search(r" bounce .* 4\.50\d\d ", done.stdout), done.stdout
    assert (
        "# DRAM is assumed with 50 % of NICs' writes in the cache (DDIO), read-for-ownership" in done.stdout
    )


def percent(share: float, decimals: int) -> str:
    return f"{100 * share:.{decimals}f} %"

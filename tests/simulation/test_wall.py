"""Where bounce meets the wall of host memory and devmem does not: two hosts, 200 Gbit/s a NIC, both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.simulation.machine_model import CpuCosts
from nodes.simulation.machines import MACHINES
from tests.simulation.wall import LINE_BPS, MTU, reached, received

A3 = replace(MACHINES["a3-high"], cpu=CpuCosts())  # its memory and PCIe alone
ACCESSES = 4  # of DRAM for each byte of payload, sent or received (docs/host-memory.md)
HEADERS_LEAVE = (MTU - 52) / (MTU + 14 + 24)


def closed_form_bps(nics: int) -> float:
    """Of payload, for a NIC and a direction: what headers leave of its line, or its share of DRAM."""
    return min(HEADERS_LEAVE * LINE_BPS, A3.dram_bytes_per_second * 8 / (2 * nics * ACCESSES))


@pytest.mark.parametrize("nics", [1, 2, 4])
def test_bounce_reaches_its_closed_form_and_no_more(nics: int) -> None:
    found = reached(A3, nics, "bounce")
    assert found.goodput_bps == pytest.approx(closed_form_bps(nics), rel=0.02)
    assert found.dram_Bps == pytest.approx(2 * nics * ACCESSES * found.goodput_bps / 8, rel=0.02)
    assert (found.goodput_bps < 0.98 * HEADERS_LEAVE * LINE_BPS) == (nics == 4)  # the wall is behind two


def test_devmem_keeps_four_lines_full_and_leaves_host_memory_alone() -> None:
    found = reached(A3, 4, "devmem", seconds=0.5e-3)
    assert found.goodput_bps >= 0.99 * HEADERS_LEAVE * LINE_BPS
    assert found.dram_Bps < 0.01 * A3.dram_bytes_per_second


def test_small_net_iovs_cost_fragments_and_large_ones_hold_less_of_a_window() -> None:
    """On five cores, so that the CPU is the limit and not the line of 400 Gbit/s. A frame of seven segments
    fills 14 net_iovs of 4 KiB; it leaves an eighth of one of 64 KiB empty, which the window counts."""
    five = replace(MACHINES["a3-high"], cores=5)
    small, middle, large = (received(five, size << 10, 2 * LINE_BPS, 2e-3) for size in (4, 16, 64))
    assert small < 0.95 * middle
    assert large < 0.98 * middle
    free = replace(five, cpu=replace(five.cpu, fragment_ns=0))
    assert received(free, 4 << 10, 2 * LINE_BPS, 2e-3) > 1.03 * small

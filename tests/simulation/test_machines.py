"""The machines that simulated hosts can be have the numbers that are published, and that projections take."""

from __future__ import annotations

import pytest

from analysis.machines import MACHINES as PROJECTED
from nodes.simulation.machine_model import CpuCosts, MachineSpec
from nodes.simulation.machines import MACHINES

# Bytes a second of DRAM, of PCIe in each direction and of an accelerator's memory; its operations a second.
DDR5_4800_16 = 614.4e9
PCIE_5_X16 = 63.015e9
PUBLISHED = {
    "infinite": (0, 0, 0, 0),
    "a3-high": (DDR5_4800_16, PCIE_5_X16, 3.35e12, 989.4e12),
    "a3-mega": (DDR5_4800_16, PCIE_5_X16, 3.35e12, 989.4e12),
    "ddr5-2s": (DDR5_4800_16, PCIE_5_X16, 0, 0),
    "ddr5-half": (DDR5_4800_16 / 4, PCIE_5_X16, 0, 0),
}


def rates(machine: MachineSpec) -> tuple[float, float, float, float]:
    of_host = machine.dram_bytes_per_second, machine.pcie_bytes_per_second
    return *of_host, machine.device_bytes_per_second, machine.device_operations_per_second


def test_every_machine_has_its_published_numbers() -> None:
    assert set(MACHINES) == set(PUBLISHED)
    for name, expected in PUBLISHED.items():
        assert rates(MACHINES[name]) == pytest.approx(expected, rel=1e-4), name
        assert MACHINES[name].name == name


def test_a_packet_and_a_copied_byte_cost_what_was_measured_on_one_core() -> None:
    """Cai et al., SIGCOMM 2021: 42 Gbit/s, half of it for copies: 6.2 us of 64 KiB each."""
    assert MACHINES["infinite"].cpu == CpuCosts()
    for name in set(MACHINES) - {"infinite"}:
        cpu = MACHINES[name].cpu
        assert 65536 / cpu.copy_bytes_per_second == pytest.approx(6.2e-6, rel=0.01)
        took_s = 65536 / cpu.copy_bytes_per_second + cpu.packet_ns / 1e9
        assert 65536 * 8 / took_s == pytest.approx(42e9, rel=0.05)


@pytest.mark.parametrize("name", [*PROJECTED])
def test_a_projection_and_a_simulation_mean_the_same_machine(name: str) -> None:
    projected = PROJECTED[name]
    ours = rates(MACHINES[name])[:2]
    assert ours == pytest.approx((projected.dram_bytes_per_s, projected.pcie_bytes_per_s))

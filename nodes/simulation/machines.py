"""The machines that simulated hosts can be, by name, each with where its numbers come from.

In: names. Out: MachineSpecs. Owns the table. Rates are what the parts can do in theory; what a real machine
reaches is less, and is for the reader to judge.
"""

from __future__ import annotations

from nodes.simulation.machine_model import INFINITE, CpuCosts, MachineSpec

# One core receives about 42 Gbit/s with TSO, GRO and jumbo frames, and spends half of that on copies: 6.2 us
# on 64 KiB each (Cai et al., "Understanding Host Network Stack Overheads", SIGCOMM 2021, section 3.1).
# A system call and a turn of the poll: the order of what the same paper's profile leaves for them.
_XEON = CpuCosts(
    turn_ns=1_000, packet_ns=6_000, fragment_ns=60, syscall_ns=300, copy_bytes_per_second=10_600_000_000
)
_DDR5_4800_X16 = 16 * 4800e6 * 8  # sixteen channels, two sockets: 614 GB/s
_PCIE5_X16 = 32e9 * 16 * (128 / 130) / 8  # 63 GB/s in each direction
# NVIDIA H100 Tensor Core GPU datasheet, H100 SXM: "GPU Memory Bandwidth" of 80 GB of HBM3, and "BFLOAT16
# Tensor Core", 1,979 teraFLOPS with sparsity, of which dense matrices have half (FP16 is as fast).
_H100_SXM_BYTES, _H100_SXM_OPERATIONS = 3.35e12, 989.4e12


def _a3(name: str) -> MachineSpec:
    return MachineSpec(name, _XEON, 32, _DDR5_4800_X16, _PCIE5_X16, _H100_SXM_BYTES, _H100_SXM_OPERATIONS)


MACHINES = {
    each.name: each
    for each in (
        INFINITE,
        # Google Cloud's A3 High, a3-highgpu-8g: 208 vCPUs of two Intel Xeon 8481C, 8 H100 SXM, 4 NICs of 200
        # Gbit/s for them and one for the host (cloud.google.com/compute/docs/accelerator-optimized-machines,
        # cloud.google.com/compute/docs/gpus/gpu-network-bandwidth). NICs are those of the topology's hosts.
        _a3("a3-high"),
        # A3 Mega, a3-megagpu-8g: the same with 8 NICs for the accelerators (the same pages).
        _a3("a3-mega"),
        # A two-socket host with DDR5-4800 in every channel, as server boards of 2023 have it.
        MachineSpec("ddr5-2s", _XEON, 16, _DDR5_4800_X16, _PCIE5_X16),
        # One socket with half of its eight channels filled: where a bounce meets its wall early.
        MachineSpec("ddr5-half", _XEON, 16, _DDR5_4800_X16 / 4, _PCIE5_X16),
    )
}

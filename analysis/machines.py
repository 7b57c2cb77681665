"""Real machines that a projection may be asked for, and where their figures are from.

In: a name. Out: a machine. Owns the table. Rates are what the parts are made for, so that a projection is the
best case of every path: no memory reaches its theoretical bandwidth.
"""

from dataclasses import dataclass

# A channel of DDR5-4800 moves 8 bytes at 4800 MT/s; a socket of these processors has eight channels.
_DDR5_4800_CHANNEL = 8 * 4.8e9
_TWO_SOCKETS = 2 * 8 * _DDR5_4800_CHANNEL
# Sixteen lanes at 32 GT/s, of 130 transferred bits 128 are data.
_PCIE_5_X16 = 16 * 32e9 * 128 / 130 / 8

_CLOUD = "https://cloud.google.com/compute/docs/gpus/gpu-network-bandwidth"
_A3 = "https://cloud.google.com/compute/docs/accelerator-optimized-machines"
_XEON = "https://www.techinsights.com/blog/sapphire-rapids-scales-60-cpus-8-sockets"
_XEON_8480 = (
    "https://www.servethehome.com/intel-xeon-max-9480-deep-dive-intel-has-64gb-hbm2e-onboard-like-a-gpu-or-"
    "ai-accelerator/3/"
)
_PCIE = "https://firmwaresecurity.com/2019/05/31/pcie-5-0-spec-released/"
_PLATFORM = (
    "two sockets with all eight channels of DDR5-4800, and a PCIe 5.0 x16 port for each NIC and the "
    "accelerators beside it, as the platform allows: the provider does not publish the board"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """`nic_bits_per_s`: of each NIC and direction. `dram_bytes_per_s`: of the whole host. `pcie_bytes_per_s`:
    each way, of a NIC's slot and of the root port above its switch. `assumed`: what no source says, a clause.
    """

    name: str
    nics: int
    nic_bits_per_s: float
    accelerators: int
    dram_bytes_per_s: float
    pcie_bytes_per_s: float
    sources: tuple[str, ...] = ()
    assumed: str = ""


MACHINES = {
    "a3-high": Machine(
        "A3 High: 8 H100, 4 NICs of 200 Gbit/s for them",
        4, 200e9, 8, _TWO_SOCKETS, _PCIE_5_X16, (_CLOUD, _A3, _XEON, _PCIE), _PLATFORM,
    ),
    "a3-mega": Machine(
        "A3 Mega: 8 H100, 8 NICs of 200 Gbit/s for them",
        8, 200e9, 8, _TWO_SOCKETS, _PCIE_5_X16, (_CLOUD, _A3, _XEON, _PCIE), _PLATFORM,
    ),
    "ddr5-2s": Machine(
        "two sockets of DDR5-4800, 8 accelerators, 8 NICs of 400 Gbit/s",
        8, 400e9, 8, _TWO_SOCKETS, _PCIE_5_X16, (_XEON_8480, _XEON, _PCIE),
        "the number of NICs and accelerators, one of each a switch",
    ),
    "ddr5-half": Machine(
        "one socket with half of its channels of DDR5-4800, 4 accelerators, 4 NICs of 400 Gbit/s",
        4, 400e9, 4, 4 * _DDR5_4800_CHANNEL, _PCIE_5_X16, (_XEON_8480, _XEON, _PCIE),
        "that four of eight channels are filled; the number of NICs and accelerators, one of each a switch",
    ),
}  # fmt: skip

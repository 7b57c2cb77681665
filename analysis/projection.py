"""What each path would need of a real machine, and where it would saturate: a projection, nothing measured.

In: a machine, a wire, the memory model. Out: needs and rates of each path, times of collectives on up to
thousands of accelerators. Pure. Owns the closed forms of collectives between hosts. A path is as fast as the
line, or as the first resource that its closed form exhausts allows; the CPU is not among them, nor are
latency, congestion and protocol: what is projected is the best that the hardware permits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.crossover import Limits, Need, highest_rate
from analysis.machines import Machine
from analysis.memory_model import AS_COUNTED, MemoryModel

HEADER_BYTES = 66  # of a data packet, in host memory on every path: analysis/host_memory.py
_BESIDE_IP = 52  # IPv4, TCP, timestamp option
_FRAME_BYTES = 14 + 24  # Ethernet's header, and preamble, check sequence and gap, which are on the wire alone
PATHS = ("devmem", "bounce", "kernel")
STAGED = {"devmem": 0.0, "bounce": 1.0, "kernel": 1.0}  # share of payload that crosses host memory


@dataclass(frozen=True, slots=True)
class Wire:
    """`mtu`: bytes of an IP packet. `both_ways`: hosts send and receive at once, as in collectives."""

    mtu: int = 8244
    both_ways: bool = True

    @property
    def mss(self) -> int:
        return self.mtu - _BESIDE_IP

    @property
    def payload_share(self) -> float:
        """Of the line's bits."""
        return self.mss / (self.mtu + _FRAME_BYTES)


@dataclass(frozen=True, slots=True)
class Cost:
    """For each byte of payload each way through a NIC: `dram`, accesses of host memory; `slot` and `root`,
    bytes through the NIC's PCIe slot and the root port above its switch, in the busier direction."""

    dram: float
    slot: float
    root: float


def cost(path: str, wire: Wire, model: MemoryModel = AS_COUNTED) -> Cost:
    """By the closed forms of docs/host-memory.md, with one header a wire packet: no NIC coalesces so far."""
    staged, header = STAGED[path], HEADER_BYTES / wire.mss
    send = model.staged_accesses(staged, 0) + model.header_accesses(header, 0)
    receive = model.staged_accesses(0, staged) + model.header_accesses(0, header)
    if wire.both_ways:
        return Cost(send + receive, 1 + header, 2 * staged + header)
    return Cost(max(send, receive), 1 + header, staged + header)


@dataclass(frozen=True, slots=True)
class PathProjection:
    """Of one path on one machine. Rates are payload of one NIC, one way. `needs_*`: what all NICs would need
    at the line's rate, DRAM of the host and PCIe of one port each way. `saturates_*`: the rate at which that
    resource is exhausted. `limited_by`: "line", "DRAM" or "PCIe"."""

    path: str
    needs_dram_GB_per_s: float
    needs_pcie_slot_GB_per_s: float
    needs_pcie_root_GB_per_s: float
    saturates_dram_gbit_per_s: float
    saturates_pcie_gbit_per_s: float
    rate_gbit_per_s: float
    line_share: float
    limited_by: str


def path_projection(
    path: str, machine: Machine, wire: Wire, model: MemoryModel = AS_COUNTED
) -> PathProjection:
    """At the line's rate, and at the highest that is possible."""
    line = machine.nic_bits_per_s / 8 * wire.payload_share
    each = cost(path, wire, model)
    dram = highest_rate(Need(each.dram, 0), Limits(dram=machine.dram_bytes_per_s / machine.nics))
    pcie = machine.pcie_bytes_per_s / max(each.slot, each.root)
    rate = min(line, dram, pcie)
    limit = "line" if rate == line else "DRAM" if rate == dram else "PCIe"
    return PathProjection(
        path,
        each.dram * line * machine.nics / 1e9,
        each.slot * line / 1e9,
        each.root * line / 1e9,
        8 * dram / 1e9,
        8 * pcie / 1e9,
        8 * rate / 1e9,
        rate / line,
        limit,
    )


# Bytes that a host sends to others, and receives from them, in a collective over `n` accelerators, `a` of
# them on each host, of an array of `size` bytes as nccl-tests counts it. A ring enters and leaves a host
# once; several rings share the array.
COLLECTIVES: dict[str, Callable[[int, int, float], float]] = {
    "all_reduce": lambda n, a, size: 2 * (n - 1) / n * size,  # noqa: ARG005
    "reduce_scatter": lambda n, a, size: (n - 1) / n * size,  # noqa: ARG005
    "all_gather": lambda n, a, size: (n - 1) / n * size,  # noqa: ARG005
    "broadcast": lambda n, a, size: size,  # noqa: ARG005
    "all_to_all": lambda n, a, size: a * (n - a) / n * size,
}


@dataclass(frozen=True, slots=True)
class CollectiveProjection:
    """One collective over one path, on so many accelerators. `host_network_GB`: what each host sends, and
    receives. `host_dram_GB`: what moves through a host's DRAM for it. `seconds`: of moving the bytes alone.
    `times_devmem`: how many times as long as over devmem."""

    accelerators: int
    hosts: int
    path: str
    host_network_GB: float
    host_dram_GB: float
    seconds: float
    times_devmem: float


def collective_projections(
    collective: str,
    size_bytes: float,
    accelerators: Sequence[int],
    machine: Machine,
    wire: Wire,
    model: MemoryModel = AS_COUNTED,
) -> list[CollectiveProjection]:
    """For each number of accelerators, which fills at least two hosts, and each path."""
    found = []
    paths = {path: path_projection(path, machine, wire, model) for path in PATHS}
    for count in accelerators:
        moved = COLLECTIVES[collective](count, machine.accelerators, size_bytes)
        seconds = {path: 8e-9 * moved / (each.rate_gbit_per_s * machine.nics) for path, each in paths.items()}
        hosts = count // machine.accelerators
        for path in PATHS:
            dram = cost(path, wire, model).dram * moved
            times = seconds[path] / seconds["devmem"]
            found.append(
                CollectiveProjection(count, hosts, path, moved / 1e9, dram / 1e9, seconds[path], times)
            )
    return found


def accelerator_counts(each_host: int, most: int) -> list[int]:
    """Two hosts, four, and so on, as many as have `most` accelerators."""
    counts, hosts = [], 2
    while hosts * each_host <= most:
        counts.append(hosts * each_host)
        hosts *= 2
    return counts

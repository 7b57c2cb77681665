"""The memory of a host as the ledger's counts describe it: which reads, writes and crossings they stand for.

In: bytes by route, the model's two parameters. Out: reads and writes of host DRAM and of device memory, bytes
through the PCIe switch and across its root port. Pure. Owns the parameters' meaning and the closed forms. The
ledger counts what each initiator moves, without a cache between: the parameters are applied afterwards, so
one recorded run answers for every value of them. docs/host-memory.md derives all of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """`rfo`: read-for-ownership, each byte that the CPU writes to host memory is read first, as ordinary
    stores do. `ddio`: the share (0 to 1) of what NICs write to host memory that stays in the last-level
    cache, where its reader finds it: neither the write nor that read reaches DRAM."""

    rfo: bool = False
    ddio: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.ddio <= 1:
            raise ValueError(f"a DDIO share of {self.ddio:g} is impossible; choose 0 to 1")

    @property
    def words(self) -> str:
        """What is assumed, for a caption."""
        rfo = "read-for-ownership" if self.rfo else "no read-for-ownership"
        ddio = f"{100 * self.ddio:g} % of NICs' writes in the cache (DDIO)" if self.ddio else "no cache hits"
        return f"{ddio}, {rfo}"

    def read_bytes(self, counted: float, cpu_write: float, nic_write: float) -> float:
        """DRAM reads of `counted` reads of host memory, beside which the CPU and NICs have written so much
        to it. What is in the cache at the end of a short time was written in it and not read yet."""
        return max(0.0, counted + self.rfo * cpu_write - self.ddio * nic_write)

    def write_bytes(self, counted: float, nic_write: float) -> float:
        """DRAM writes of `counted` writes of host memory."""
        return counted - self.ddio * nic_write

    def staged_accesses(self, sent: float, received: float) -> float:
        """DRAM accesses of so many payload bytes that cross host memory: DMA one way, a copy that reads and
        writes, DMA on. What the NIC receives is written by it and read by the copy."""
        return (4 + self.rfo) * (sent + received) - 2 * self.ddio * received

    def header_accesses(self, sent: float, received: float) -> float:
        """DRAM accesses of so many header bytes, written once and read once: by the CPU and the NIC to send,
        by the NIC and the CPU to receive."""
        return (2 + self.rfo) * sent + (2 - 2 * self.ddio) * received


AS_COUNTED = MemoryModel()  # every access goes to DRAM, and no other


class Route(NamedTuple):
    """Where bytes go, as columns of ledger.csv have it. `hosts`: accesses of host memory, reads and writes;
    `devices`: likewise of memory of accelerators and of SSDs' controllers. `switch` and `root`: how often a
    byte passes them."""

    host: tuple[int, int] = (0, 0)
    device: tuple[int, int] = (0, 0)
    switch: int = 0
    root: int = 0
    fabric: int = 0
    network: int = 0


# A column of ledger.csv each: nodes/machine/ledger.py has the routes, tests hold the two against each other.
ROUTES: Mapping[str, Route] = {
    "nic_wire_to_host_bytes": Route(host=(0, 1), switch=1, root=1, network=1),
    "nic_wire_to_device_bytes": Route(device=(0, 1), switch=1, network=1),
    "nic_wire_to_far_bytes": Route(device=(0, 1), switch=2, root=1, network=1),
    "nic_host_to_wire_bytes": Route(host=(1, 0), switch=1, root=1, network=1),
    "nic_device_to_wire_bytes": Route(device=(1, 0), switch=1, network=1),
    "nic_far_to_wire_bytes": Route(device=(1, 0), switch=2, root=1, network=1),
    "cpu_host_to_host_bytes": Route(host=(1, 1)),
    "acc_device_to_host_bytes": Route(host=(0, 1), device=(1, 0), switch=1, root=1),
    "acc_host_to_device_bytes": Route(host=(1, 0), device=(0, 1), switch=1, root=1),
    "acc_device_to_device_bytes": Route(device=(1, 1)),
    "acc_core_to_device_bytes": Route(device=(0, 1)),
    "acc_device_to_core_bytes": Route(device=(1, 0)),
    "acc_peer_to_device_bytes": Route(device=(1, 1), fabric=1),
    "acc_peer_to_core_bytes": Route(device=(1, 0), fabric=1),
    "nic_header_in_bytes": Route(host=(0, 1), switch=1, root=1),
    "nic_header_out_bytes": Route(host=(1, 0), switch=1, root=1),
    "cpu_header_read_bytes": Route(host=(1, 0)),
    "cpu_header_write_bytes": Route(host=(0, 1)),
    "ssd_media_to_device_bytes": Route(device=(0, 1)),
    "ssd_device_to_media_bytes": Route(device=(1, 0)),
    "ssd_media_to_host_bytes": Route(host=(0, 1), switch=1, root=1),
    "ssd_host_to_media_bytes": Route(host=(1, 0), switch=1, root=1),
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes. `network_payload`: what NICs sent and received, retransmissions included, headers not."""

    dram_read: float = 0
    dram_write: float = 0
    device_read: float = 0
    device_write: float = 0
    pcie_switch: float = 0
    pcie_root: float = 0
    fabric: float = 0
    network_payload: float = 0

    @property
    def dram(self) -> float:
        return self.dram_read + self.dram_write

    def per(self, unit: float) -> "Traffic":
        """Each of them over `unit`: seconds, or payload bytes."""
        return Traffic(*(getattr(self, field.name) / unit for field in fields(self)))


def traffic(counts: Mapping[str, float], model: MemoryModel = AS_COUNTED) -> Traffic:
    """What these counts stand for, by columns of ledger.csv; a column that is missing counts nothing."""
    moved = [(ROUTES[name], name, counts[name]) for name in ROUTES if counts.get(name)]
    by_nic = sum(count * route.host[1] for route, name, count in moved if name.startswith("nic_"))
    by_cpu = sum(count * route.host[1] for route, name, count in moved if name.startswith("cpu_"))
    return Traffic(
        dram_read=model.read_bytes(sum(count * r.host[0] for r, _, count in moved), by_cpu, by_nic),
        dram_write=model.write_bytes(sum(count * r.host[1] for r, _, count in moved), by_nic),
        device_read=sum(count * r.device[0] for r, _, count in moved),
        device_write=sum(count * r.device[1] for r, _, count in moved),
        pcie_switch=sum(count * r.switch for r, _, count in moved),
        pcie_root=sum(count * r.root for r, _, count in moved),
        fabric=sum(count * r.fabric for r, _, count in moved),
        network_payload=sum(count * r.network for r, _, count in moved),
    )

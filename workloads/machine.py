"""What one rank computes with: its accelerator, the ledger of what it moves, its host's kernel and its clock.

In: a rank's place and the experiment's configuration. Out: device memory, turns on the host's memory bus,
time, patience with others. Owns the connection to the host, the accelerator and its dma-bufs.
"""

from __future__ import annotations

import functools
from pathlib import Path

from nodes.client.host import Host
from nodes.client.runtime import Runtime
from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.machine.pace import Pace
from nodes.machine.ssd import Ssd
from nodes.uapi.nic_records import NicInfo
from workloads.experiment.records import ExperimentConfig, NicPlace, RankPlace
from workloads.options import Memory
from workloads.progress import Progress

STAGING_BYTES = 1 << 20  # of one chunk on its way through host memory
RECEIVE_BYTES = 64 << 20  # udmabuf's default limit, and what the kernel's ncdevmem stays under
_SLICE_S = 1.0  # of a long computation, after which it counts as progress
_NIOV_BYTES_MAX = 65536  # dma-bufs are a multiple of it, so that every net_iov size fits


def device_bytes(data_bytes: int, nics: int = 1) -> int:
    """Accelerator memory that a rank with so much data, and so many NICs, needs on any path."""
    return _rounded(max(1, data_bytes)) + nics * RECEIVE_BYTES + STAGING_BYTES


class Machine:
    """`ledger` is written by the rank's own thread alone; every connection has another. `data`: the dma-buf
    of `data_bytes` that the workload computes in. `nics`: those that its `flows` connections to a peer take.
    With `memory` "ssd" there is an SSD in the accelerator's place. Raises HostError when no endpoint listens
    at the host's channel."""

    def __init__(
        self,
        place: RankPlace,
        config: ExperimentConfig,
        data_bytes: int,
        runtime: Runtime,
        flows: int = 1,
        memory: Memory = "accelerator",
    ) -> None:
        self._kind = Ssd if memory == "ssd" else Accelerator
        self.place = place
        self.nics = place.nics_for(flows)
        self._receive_memory: dict[str, Region] = {}
        self.config = config
        self.runtime = runtime
        self.host = Host(place.channel, runtime=runtime)
        self.progress = Progress(runtime, config.timeout_s)
        self.ledger = Ledger()
        self._device = None if memory == "ssd" else runtime.device_memory(place.channel)
        self.accelerator = self._kind(
            self.ledger, self.turn, place.slot, self._pace(), runtime.counted, self._access
        )
        self.data = self.accelerator.alloc(_rounded(max(1, data_bytes)))

    def accelerator_of(self, ledger: Ledger) -> Accelerator:
        """The same accelerator, as another thread uses it, which has that ledger."""
        return self._kind(ledger, self.turn, pace=self._pace(), access=self._access)

    def turn(self, dram: int, up: int = 0, down: int = 0, nic: str = "") -> None:
        """Wait for the host's buses: the memory's, and those of the PCIe switch of that NIC, or else of the
        accelerator."""
        self.host.turn(dram, nic or self.nic.ifname, up, down)

    def _access(self, count: int) -> None:
        """Wait for the accelerator's own memory, which all threads of the rank share."""
        if self._device is not None:
            now = self.runtime.monotonic()
            self.runtime.sleep(self._device.reserve(count, now) - now)

    def compute(self, seconds: float, accelerator: Accelerator) -> None:
        """The accelerator, as the calling thread uses it, is busy for so long, and so is the experiment."""
        left_s = seconds
        while left_s > 0:
            slice_s = min(left_s, _SLICE_S)
            accelerator.compute(slice_s, self.runtime.sleep)
            self.progress.moved()
            left_s -= slice_s

    @functools.cached_property
    def nic(self) -> NicInfo:
        """Of the PCIe switch of this rank's accelerator."""
        return self.nic_of(self.place.nic)

    def nic_of(self, place: NicPlace) -> NicInfo:
        """The host's NIC at that place; the first one if it has no name."""
        named = (nic for nic in self.host.nics if nic.ifname == place.interface)
        return next(named, self.host.nics[0])

    def _pace(self) -> Pace | None:
        """Of the accelerator, for one thread that uses it."""
        runtime = self.runtime
        return Pace(Path(self.place.pace), runtime.monotonic, runtime.sleep) if self.place.pace else None

    def receive_memory(self, nic: NicPlace) -> Region:
        """The dma-buf that net_iovs of payload which that NIC receives are cut from: each NIC has another,
        since each of two bindings would hand out all of it. Made once, bound by every trial."""
        if nic.interface not in self._receive_memory:
            self._receive_memory[nic.interface] = self.accelerator.alloc(RECEIVE_BYTES)
        return self._receive_memory[nic.interface]

    @functools.cached_property
    def landing(self) -> Region:
        """Device memory where staged payload waits to be reduced, in one thread at a time."""
        return self.accelerator.alloc(STAGING_BYTES)

    def close(self) -> None:
        self.host.close()
        self.accelerator.close()
        self.progress.close()


def _rounded(size: int) -> int:
    return -(-size // _NIOV_BYTES_MAX) * _NIOV_BYTES_MAX

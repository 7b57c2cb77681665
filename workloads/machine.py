"""What one rank computes with: its accelerator, the ledger of what it moves, its host's kernel and its clock.

In: a rank's place and the experiment's configuration. Out: device memory, turns on the host's memory bus,
time, patience with others. Owns the connection to the host, the accelerator and its dma-bufs.

The data dma-buf holds the largest size of the experiment twice, for a stream that sends and receives at once.
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
from workloads.experiment.records import ExperimentConfig, RankPlace
from workloads.progress import Progress

STAGING_BYTES = 1 << 20  # of one chunk on its way through host memory
RECEIVE_BYTES = 64 << 20  # udmabuf's default limit, and what the kernel's ncdevmem stays under
_NIOV_BYTES_MAX = 65536  # dma-bufs are a multiple of it, so that every net_iov size fits


class Machine:
    """`ledger` is written by the rank's own thread alone; every sending thread has another. Raises HostError
    when no endpoint listens at the host's channel."""

    def __init__(self, place: RankPlace, config: ExperimentConfig, runtime: Runtime) -> None:
        self.place = place
        self.config = config
        self.runtime = runtime
        self.host = Host(place.channel, runtime=runtime)
        self.progress = Progress(runtime, config.timeout_s)
        self.ledger = Ledger()
        self.accelerator = Accelerator(self.ledger, self.host.turn, self.pace())
        self.data = self.accelerator.alloc(_rounded(2 * max(config.sizes_bytes)))

    def pace(self) -> Pace | None:
        """Of the accelerator, for one thread that uses it."""
        runtime = self.runtime
        return Pace(Path(self.place.pace), runtime.monotonic, runtime.sleep) if self.place.pace else None

    @functools.cached_property
    def receive_memory(self) -> Region:
        """The dma-buf that net_iovs of received payload are cut from; made once, bound by every trial."""
        return self.accelerator.alloc(RECEIVE_BYTES)

    @functools.cached_property
    def landing(self) -> Region:
        """Device memory where staged payload waits to be reduced."""
        return self.accelerator.alloc(STAGING_BYTES)

    def close(self) -> None:
        self.host.close()
        self.accelerator.close()
        self.progress.close()


def _rounded(size: int) -> int:
    return -(-size // _NIOV_BYTES_MAX) * _NIOV_BYTES_MAX

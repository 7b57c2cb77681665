"""Ranks on several machines of a Ray cluster, from the side of run.py.

In: where the cluster is; what each machine is told. Out: what they answer, a trial's rows, files that the
machines wrote. Owns the process that talks to Ray (`workloads.experiment.cluster_server`), which ends with
everything that it has started on the machines. No wait is without a limit.
"""

from __future__ import annotations

import os
import signal
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from workloads.experiment import cluster_protocol
from workloads.experiment import ray_protocol as protocol
from workloads.experiment.cluster_protocol import ClusterMachine
from workloads.experiment.ray_session import RayPlace, RaySession
from workloads.experiment.records import ExperimentConfig, ExperimentError, RankPlace

_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


class ClusterSession(RaySession):
    """As RaySession. `files`: where what the machines wrote is put, when they end."""

    server = "workloads.experiment.cluster_server"
    end_s = 40.0  # for the networks on all machines to be taken down

    def __init__(self, log: Path, files: Path, watch: Callable[[], None]) -> None:
        self._files = files
        super().__init__(RayPlace((), files, log), watch)

    def join(self, request: cluster_protocol.Join) -> tuple[ClusterMachine, ...]:
        """The machines, with a process of ours on each."""
        return self._ask(request, cluster_protocol.Joined).machines

    def tell(self, requests: Sequence[bytes | None]) -> tuple[bytes | None, ...]:
        """One request a machine, at once, None for none; returns what they answer."""
        return self._ask(cluster_protocol.Tell(tuple(requests)), cluster_protocol.Told).answers

    def start_on(
        self, homes: Sequence[int], config: ExperimentConfig, places: Sequence[RankPlace]
    ) -> tuple[int, ...]:
        """A rank at each place, on the machine of that number; returns their pids there."""
        request = cluster_protocol.StartRanks(config, tuple(places), tuple(homes))
        return self._ask(request, protocol.Started).pids

    def signal(self, rank: int, number: signal.Signals) -> None:
        raise ExperimentError(f"{number.name} does not reach rank {rank}, which is on another machine")

    def close(self) -> None:
        super().close()
        for archive in self._files.glob("machine-*.zip"):
            with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(archive) as packed:
                packed.extractall(self._files)  # which keeps every name below it
            archive.unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        return os.environ | _ENVIRONMENT

    def _is_event(self, message: object) -> bool:
        if isinstance(message, cluster_protocol.Piece):
            with open(self._files / f"machine-{message.machine}.zip", "ab") as archive:
                archive.write(message.data)
            return True
        return super()._is_event(message)

"""What can be asked for by name: workloads and data paths.

In: a name, or a configuration. Out: its declaration. Owns both tables.
"""

from __future__ import annotations

from typing import Any

from workloads.collective import COLLECTIVES
from workloads.experiment.records import ExperimentConfig
from workloads.pattern import PATTERNS
from workloads.replay import REPLAY
from workloads.stream import STREAM
from workloads.transports.bounce import Bounce
from workloads.transports.data_path import DataPath
from workloads.transports.devmem import Devmem
from workloads.transports.kernel import Kernel
from workloads.user import workload as user
from workloads.workload import WorkloadType

WORKLOADS: dict[str, WorkloadType] = {each.name: each for each in (*COLLECTIVES, *PATTERNS, REPLAY, STREAM)}
PATHS: dict[str, type[DataPath[Any]]] = {"devmem": Devmem, "bounce": Bounce, "kernel": Kernel}


def workload_of(config: ExperimentConfig) -> WorkloadType:
    """What was asked for, a user's own workload too. Raises WorkloadError for one that cannot be."""
    if isinstance(config.options, user.UserOptions):
        return user.of(config.options.file, config.workload.rpartition(":")[2])
    return WORKLOADS[config.workload]

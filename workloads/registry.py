"""What can be asked for by name: workloads and data paths.

In: a name. Out: its declaration. Owns both tables.
"""

from __future__ import annotations

from typing import Any

from workloads.collective import COLLECTIVES
from workloads.pattern import PATTERNS
from workloads.stream import STREAM
from workloads.transports.bounce import Bounce
from workloads.transports.data_path import DataPath
from workloads.transports.devmem import Devmem
from workloads.transports.kernel import Kernel
from workloads.workload import WorkloadType

WORKLOADS: dict[str, WorkloadType] = {each.name: each for each in (*COLLECTIVES, *PATTERNS, STREAM)}
PATHS: dict[str, type[DataPath[Any]]] = {"devmem": Devmem, "bounce": Bounce, "kernel": Kernel}

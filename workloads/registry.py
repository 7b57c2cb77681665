"""What can be asked for, by name: workloads and data paths. In: a name. Out: the class that does it."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from workloads.collective import Collective
from workloads.experiment.records import Checked, ExperimentConfig, Timed
from workloads.machine import Machine
from workloads.stream import PointToPoint
from workloads.transports.bounce import Bounce
from workloads.transports.devmem import Devmem
from workloads.transports.kernel import Kernel
from workloads.transports.transport import Transport


class Workload(Protocol):
    """What a rank does in an iteration. `type`, `redop` and `root` are nccl-tests' columns."""

    description: ClassVar[str]
    type: ClassVar[str]
    redop: ClassVar[str]
    root: ClassVar[str]
    element_bytes: ClassVar[int]
    phase: str

    def __init__(self, machine: Machine, transport: Transport[Any], size_bytes: int) -> None: ...
    @staticmethod
    def ranks(config: ExperimentConfig) -> int: ...
    @staticmethod
    def iterations(config: ExperimentConfig) -> tuple[int, int]: ...
    def fill(self, seed: int) -> None: ...
    def run(self) -> Timed: ...
    def check(self, seed: int) -> Checked: ...


WORKLOADS: dict[str, type[Workload]] = {"all_reduce": Collective, "stream": PointToPoint}
PATHS: dict[str, type[Transport[Any]]] = {"devmem": Devmem, "bounce": Bounce, "kernel": Kernel}

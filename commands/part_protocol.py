"""What run.py tells the process that has a part of the network on a machine, and what that answers, pickled.

In: requests of `commands.across`. Out: answers of `commands.part_server`. Owns their shapes and the words
that start the process.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

from topologies.calibration import LinkCalibration
from topologies.mininet.offload import InterfaceSettings
from topologies.mininet.protocol import Probe
from topologies.part import Part
from workloads.experiment.records import ExperimentConfig, RankPlace, Sample, Trial

SERVER = ("-m", "commands.part_server")


class Build(NamedTuple):
    """The first request: the part's network with its relays. `run_id`: of the run there, `name`: of the
    machine, `results`: where run.py puts what was written there."""

    run_id: str
    results: Path
    name: str
    part: Part
    config: ExperimentConfig


class Calibrate(NamedTuple):
    """The links that have both ends on the machine; answered by LinkCalibrations."""


class StartHosts(NamedTuple):
    """The endpoints of the machine's hosts; answered by HostsStarted. `ranks`: of these hosts."""

    links: tuple[LinkCalibration, ...]
    ranks: tuple[int, ...]


class HostsStarted(NamedTuple):
    """`channels`: by host; `paces`: by rank, files that say how slow its accelerator is made."""

    channels: dict[str, str]
    interfaces: tuple[InterfaceSettings, ...]
    paces: dict[int, str]


class Watch(NamedTuple):
    """These ranks of the machine's hosts run, with these pids: they are measured from now on."""

    places: tuple[RankPlace, ...]
    pids: tuple[int, ...]


class ReadClock(NamedTuple):
    """Answered by the machine's ClockReading."""


class BeginTrial(NamedTuple):
    """Measure from now on."""


class EndTrial(NamedTuple):
    """Up to now; answered by Used. `samples`: of the machine's ranks."""

    trial: Trial
    samples: tuple[Sample, ...]


Request = Build | Calibrate | Probe | StartHosts | Watch | ReadClock | BeginTrial | EndTrial


def encoded(message: Any) -> bytes:
    return pickle.dumps(message)


def decoded(data: bytes) -> Any:
    """What `encoded` made, of a process of ours."""
    return pickle.loads(data)

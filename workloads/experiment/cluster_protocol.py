"""The messages between run.py and the process that talks to a Ray cluster for a run across machines.

In: requests of `workloads.experiment.cluster_session`. Out: replies and events of
`workloads.experiment.cluster_server`. Owns their shapes, beside those of `workloads.experiment.ray_protocol`.
What the machines are told and answer is pickled by others and passes through.
"""

from __future__ import annotations

import msgspec

from workloads.experiment.records import ExperimentConfig, RankPlace


class Join(msgspec.Struct, frozen=True):
    """The first request: a process of `words` on each of so many machines of the cluster at `address`, from
    the folder `project`, where the sources have that `commit`."""

    address: str
    machines: int
    words: tuple[str, ...]
    project: str
    commit: str


class Tell(msgspec.Struct, frozen=True):
    """A request to the process of each machine, at once; None: this one has nothing to do."""

    requests: tuple[bytes | None, ...]


class StartRanks(msgspec.Struct, frozen=True):
    """A rank at each place, on the machine of that number."""

    config: ExperimentConfig
    places: tuple[RankPlace, ...]
    homes: tuple[int, ...]


class ClusterMachine(msgspec.Struct, frozen=True):
    """A machine that takes part. `name`: its host name, or where several have the same its address; `node`:
    its id in the Ray cluster; `address`: by which Ray knows it, and by which the others reach it."""

    name: str
    node: str
    address: str


class Joined(msgspec.Struct, frozen=True):
    """In the order of their addresses."""

    machines: tuple[ClusterMachine, ...]


class Told(msgspec.Struct, frozen=True):
    """What each answered."""

    answers: tuple[bytes | None, ...]


class Piece(msgspec.Struct, frozen=True):
    """An event: the next bytes of the archive of what a machine wrote."""

    machine: int
    data: bytes

"""The messages between a sweep and its driver, the process that talks to a Ray cluster, pickled over the
driver's stdin and stdout.

In: requests of `workloads.sweep.ray_runner`. Out: messages of `workloads.sweep.ray_driver`. Owns their
shapes; the two ends are those of `workloads.experiment.ray_protocol`. Messages come at any time, and one at
least every second.
"""

from __future__ import annotations

import msgspec

from workloads.sweep.runner import Event, Job


class Connect(msgspec.Struct, frozen=True):
    """The first request. `address`: of the cluster. `cells`: where results go here. `project`: where run.py
    is on the machines, `commit` its version. `limit_s`: of a cell. `wait_s`: until a cell begins."""

    address: str
    cells: str
    project: str
    commit: str
    limit_s: float
    wait_s: float


class Machines(msgspec.Struct, frozen=True):
    """So many cells can run at once. Comes first, and whenever it changes; also to say that all is well."""

    count: int


class Unable(msgspec.Struct, frozen=True):
    """The last message: `reason` is one sentence."""

    reason: str


Request = Connect | Job
Message = Machines | Event | Unable

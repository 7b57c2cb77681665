"""The process that talks to a Ray cluster for a sweep: it sends cells and takes what comes back.

    python -m workloads.sweep.ray_driver

In: `workloads.sweep.ray_protocol` requests on stdin. Out: messages on stdout, results in the sweep's
directory, what Ray prints on stderr. Owns the tasks: they are cancelled when stdin is closed. It is a process
of its own because Ray ends the whole process whose cluster is lost, and because no wait for Ray in it can
hold up the sweep.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError, RayTaskError

from workloads.experiment import ray_protocol as ends
from workloads.experiment.patience import patience_s
from workloads.sweep import cell_process, ray_protocol, ray_task
from workloads.sweep.runner import Began, Ended, Event, Job, Lost

RESOURCE = "emu_host"  # of a machine that may run a cell
_WAIT_S = 0.2
_LOOK_S = 1.0  # at the cluster's machines
_GET_S = 60.0  # for a piece of results that is ready
_SILENCE_S = 60.0  # a task says every three seconds that it lives
_CANCEL_S = 20.0


@dataclass(slots=True)
class _Task:
    """A cell on its way. `heard_at`: monotonic second of its last word, or of its start."""

    job: Job
    words: Any  # an ObjectRefGenerator
    archive: Path
    heard_at: float
    began: bool = False


class Driver:
    """`step` does what there is to do."""

    def __init__(self, asked: ray_protocol.Connect, send: Callable[[ray_protocol.Message], None]) -> None:
        for module in (cell_process, ray_task):
            cloudpickle.register_pickle_by_value(module)  # machines may have another version, or path
        self._asked, self._send = asked, send
        self._task = ray.remote(ray_task.run_cell)
        self._tasks: list[_Task] = []
        self._looked_at = 0.0

    def start(self, job: Job) -> None:
        asked = self._asked
        words = self._task.options(
            num_cpus=0, resources={RESOURCE: 1}, max_retries=0, num_returns="streaming"
        ).remote(asked.project, job.run, job.words, asked.limit_s, asked.commit)
        archive = Path(asked.cells) / f"{job.run}.zip"
        self._tasks.append(_Task(job, words, archive, time.monotonic()))

    def step(self) -> None:
        """Take what has come, or wait a moment; give up what says nothing."""
        if time.monotonic() - self._looked_at > _LOOK_S:
            self._send(ray_protocol.Machines(machines()))
            self._looked_at = time.monotonic()
        waiting = [each.words for each in self._tasks]
        if not waiting:
            time.sleep(_WAIT_S)
            return
        ready, _ = ray.wait(waiting, num_returns=1, timeout=_WAIT_S, fetch_local=False)
        for task in [each for each in self._tasks if any(each.words is one for one in ready)]:
            if event := self._heard(task):
                self._end(task, event)
        for task in list(self._tasks):
            if lost := self._silent(task):
                ray.cancel(task.words, force=True)
                self._end(task, lost)

    def cancel(self) -> None:
        """Every run is asked to end, and awaited for a while."""
        for task in self._tasks:
            with suppress(RayError):
                ray.cancel(task.words)
        give_up_at = time.monotonic() + _CANCEL_S
        while self._tasks and time.monotonic() < give_up_at:
            ready, _ = ray.wait([each.words for each in self._tasks], timeout=_WAIT_S, fetch_local=False)
            for task in [each for each in self._tasks if any(each.words is one for one in ready)]:
                try:
                    next(task.words)
                except (StopIteration, RayError):
                    self._tasks.remove(task)
                    task.archive.unlink(missing_ok=True)

    def _heard(self, task: _Task) -> Event | None:
        """The task's next word; returns how it ended, if it has."""
        task.heard_at = time.monotonic()
        try:
            kind, *values = ray.get(next(task.words), timeout=_GET_S)
        except StopIteration:
            return Lost(task.job.cell, "its task ended without a word")
        except RayTaskError as failure:
            return Ended(task.job.cell, 0.0, _line(failure.cause))
        except (RayError, TimeoutError) as failure:
            return Lost(task.job.cell, f"its machine was lost ({type(failure).__name__})")
        if kind == "began":
            task.began = True
            self._send(Began(task.job.cell, *values))
        elif kind == "piece":
            with open(task.archive, "ab") as file:
                file.write(values[0])
        elif kind == "ended":
            reason, seconds = values
            return Ended(task.job.cell, seconds, reason or self._unpacked(task))
        return None

    def _unpacked(self, task: _Task) -> str:
        """Results are put into their place; returns why not, or ""."""
        try:
            with zipfile.ZipFile(task.archive) as packed:
                packed.extractall(task.archive.parent)  # which keeps every name below it
        except (OSError, zipfile.BadZipFile) as failure:
            return f"its results could not be written ({_line(failure)}); make room"
        return ""

    def _silent(self, task: _Task) -> Lost | None:
        silent_s = time.monotonic() - task.heard_at
        if task.began and silent_s > patience_s(_SILENCE_S):
            return Lost(task.job.cell, f"its machine said nothing for {silent_s:.0f} s")
        if not task.began and silent_s > self._asked.wait_s:
            return Lost(task.job.cell, f"no machine had time for it within {silent_s:.0f} s")
        return None

    def _end(self, task: _Task, event: Event) -> None:
        self._tasks.remove(task)
        if isinstance(event, Ended) and event.reason and task.archive.exists():
            self._unpacked(task)  # of a failed run, what there is
        task.archive.unlink(missing_ok=True)
        self._send(event)


def machines() -> int:
    """How many cells the machines that are alive may run at once."""
    return sum(int(node["Resources"].get(RESOURCE, 0)) for node in ray.nodes() if node["Alive"])


def main() -> None:
    """Until stdin is closed."""
    requests, outlet = ends.inlet(os.dup(0)), ends.Outlet(os.dup(1))
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)
    try:
        asked = requests.recv()
        ray.init(address=asked.address, log_to_driver=False, logging_level="ERROR")
        driver = Driver(asked, outlet.send)
    except Exception as failure:
        outlet.send(ray_protocol.Unable(_line(failure)))
        os._exit(1)
    try:
        while True:
            while requests.poll():
                driver.start(requests.recv())
            driver.step()
    except (EOFError, BrokenPipeError):
        pass
    except Exception as failure:
        outlet.send(ray_protocol.Unable(_line(failure)))
    with suppress(Exception):
        driver.cancel()
    os._exit(0)  # Ray's own end may wait for machines that are no more


def _line(failure: BaseException) -> str:
    return (str(failure).strip() or type(failure).__name__).splitlines()[0]


if __name__ == "__main__":
    main()

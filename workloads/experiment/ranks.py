"""Runs an experiment's trials on ranks that Ray starts, one long-lived actor a host.

In: the configuration, the ranks' places, a `watch` that is called all the time and raises when the run has to
end. Out: rows appended to samples.csv after every trial. Owns the Ray session while it lasts.
Ray is the control plane only: a trial costs four calls a rank, none of them within a collective.
"""

from __future__ import annotations

import contextlib
import csv
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from workloads.experiment.rank import Rank
from workloads.experiment.records import ExperimentConfig, RankFailure, RankPlace, Sample, Trial

_SLOT = "devmem_slot"
_SERVERS = ("gcs_server", "raylet")
_START_S = 60.0
_POLL_S = 0.2
_OBJECT_STORE_BYTES = 80 << 20  # Ray's minimum is 75 MB; nothing large goes through it


class ExperimentError(RuntimeError):
    """Ray or one of its processes failed; str() is one sentence."""


def trials(config: ExperimentConfig) -> list[Trial]:
    """Every path and size in every repetition, in an order shuffled by the seed: sizes within a repetition,
    paths next to each other within a size, so that they are compared under the same conditions."""
    chance = random.Random(config.seed)
    return [
        Trial(path, size, repetition)
        for repetition in range(config.repeat)
        for size in chance.sample(config.sizes_bytes, len(config.sizes_bytes))
        for path in chance.sample(config.paths, len(config.paths))
    ]


@contextlib.contextmanager
def ray_session(directory: Path, slots: int, started: Callable[[int], None]) -> Iterator[Callable[[], None]]:
    """A Ray of our own on this machine that ends, with all its processes, with the context.

    `directory` is a short-named one for its files and sockets; `started` is called with every process's pid.
    Yields a function that raises ExperimentError when one of Ray's servers has ended, for whose return Ray
    itself would wait a minute. Raises ExperimentError.
    """
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled", RAY_DEDUP_LOGS="0")
    others = set(psutil.Process().children(recursive=True))
    try:
        try:
            ray.init(
                address="local",
                num_cpus=1,
                resources={_SLOT: slots},
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                object_store_memory=_OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(directory),
            )
        except (OSError, TimeoutError, ValueError, ray.exceptions.RaySystemError) as failure:
            raise ExperimentError(f"Ray could not be started ({failure}); see {directory}") from failure
        processes = set(psutil.Process().children(recursive=True)) - others
        for process in processes:
            started(process.pid)
        servers = [(process, name) for process in processes if (name := _name(process)) in _SERVERS]
        yield lambda: _check_alive(servers)
    finally:
        _end_ray(others)


def _name(process: psutil.Process) -> str:
    """"" if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def _check_alive(servers: Sequence[tuple[psutil.Process, str]]) -> None:
    for process, name in servers:
        if _has_ended(process):
            raise ExperimentError(f"Ray's {name} has ended (process {process.pid}); start a new run")


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _end_ray(others: set[psutil.Process]) -> None:
    """Shut down, then end by pid what has not ended: an interrupted start leaves processes that no
    shutdown knows."""
    remaining = set(psutil.Process().children(recursive=True)) - others
    ray.shutdown()
    _, alive = psutil.wait_procs(remaining, timeout=3.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=3.0)


def run_trials(
    config: ExperimentConfig, places: Sequence[RankPlace], samples_path: Path, watch: Callable[[], None]
) -> None:
    """Run all trials within a Ray session. Raises RankFailure, ExperimentError or whatever `watch` does."""
    ranks = _Ranks(config, places, watch)
    plan = trials(config)
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        open(samples_path, "w", newline="", encoding="utf-8") as file,
        Progress(*columns, console=console) as bar,
    ):
        writer = csv.writer(file)
        writer.writerow(Sample.__struct_fields__)
        task = bar.add_task(config.workload, total=len(plan))
        for trial in plan:
            bar.update(task, description=f"{config.workload} {trial.path} {trial.size_bytes} B")
            writer.writerows(msgspec.structs.astuple(sample) for sample in ranks.run(trial))
            file.flush()
            bar.advance(task)
    ranks.close()


class _Ranks:
    """One actor a rank, started together or not at all."""

    def __init__(
        self, config: ExperimentConfig, places: Sequence[RankPlace], watch: Callable[[], None]
    ) -> None:
        self._watch = watch
        self._places = places
        gang = placement_group([{_SLOT: 1}] * len(places))
        if not gang.wait(timeout_seconds=_START_S):
            raise ExperimentError(
                f"Ray did not start {len(places)} ranks within {_START_S:g} s; try fewer hosts"
            )
        actor = ray.remote(Rank)
        self._actors: list[Any] = [
            actor.options(
                num_cpus=0,
                resources={_SLOT: 1},
                max_restarts=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    gang, placement_group_bundle_index=place.rank
                ),
            ).remote(place, config)
            for place in places
        ]
        self._all("pid")

    def run(self, trial: Trial) -> list[Sample]:
        """One trial on all ranks; returns their rows."""
        addresses = self._all("listen", *([trial] * len(self._actors)))
        self._all("connect", *addresses[1:], addresses[0])
        rows: list[list[Sample]] = self._all("run")
        self._all("disconnect")
        return [sample for samples in rows for sample in samples]

    def close(self) -> None:
        self._all("close")

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        """Call `method` on every rank at once, with its own argument if there are any; return the answers."""
        each = zip(arguments, strict=True) if arguments else [()] * len(self._actors)
        calls = [getattr(actor, method).remote(*own) for actor, own in zip(self._actors, each, strict=True)]
        pending = calls
        while pending:
            # All of them, so that it returns at once when they are done, and soon when one has failed.
            done, pending = ray.wait(pending, num_returns=len(pending), timeout=_POLL_S)
            self._watch()
            for call in done:
                self._raise_failure(call, self._places[calls.index(call)])
        return list(ray.get(calls))

    def _raise_failure(self, call: Any, place: RankPlace) -> None:
        try:
            ray.get(call)
        except RayTaskError as failure:
            self._watch_again()
            raise RankFailure(str(failure.cause)) from None
        except RayActorError:
            self._watch_again()
            raise ExperimentError(
                f"the process of rank {place.rank} (host {place.host}) ended; start a new run"
            ) from None

    def _watch_again(self) -> None:
        """A rank often fails because something else did, of which word is on its way: a better reason."""
        time.sleep(_POLL_S)
        self._watch()

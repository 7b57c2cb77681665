"""A Ray of this run's own on this machine, for as long as a context lasts.

In: a directory for its files, how many ranks it has to hold. Out: a function that tells when one of its
servers has ended. Owns Ray's processes and ends them all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import ray

from workloads.experiment.records import ExperimentError

SLOT = "devmem_slot"  # the Ray resource of which each rank takes one
_SERVERS = ("gcs_server", "raylet")
_END_S = 3.0
_OBJECT_STORE_BYTES = 80 << 20  # Ray's minimum is 75 MB; nothing large goes through it


@contextlib.contextmanager
def ray_session(directory: Path, slots: int, started: Callable[[int], None]) -> Iterator[Callable[[], None]]:
    """`directory` needs a short name, for Ray puts sockets into it; `started` is called with every process's
    pid. Yields a function that raises ExperimentError when one of Ray's servers has ended, for whose return
    Ray itself would wait a minute. Raises ExperimentError.
    """
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled", RAY_DEDUP_LOGS="0")
    others = set(psutil.Process().children(recursive=True))
    try:
        _start_ray(directory, slots)
        processes = set(psutil.Process().children(recursive=True)) - others
        for process in processes:
            started(process.pid)
        servers = [(process, name) for process in processes if (name := _name(process)) in _SERVERS]
        yield lambda: _check_alive(servers)
    finally:
        _end_ray(others)


def _start_ray(directory: Path, slots: int) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=1,
            resources={SLOT: slots},
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(directory),
        )
    except (OSError, TimeoutError, ValueError, ray.exceptions.RaySystemError) as failure:
        raise ExperimentError(f"Ray could not be started ({failure}); see {directory}") from failure


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
    _, alive = psutil.wait_procs(remaining, timeout=_END_S)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=_END_S)

"""Runs in progress and their hosts, for commands that come from another terminal.

In: names of a run and a host, as a user gives them. Out: the run's record, the host's channel and namespaces.
Owns nothing: the records are `topologies.mininet.inventory`'s.
"""

from __future__ import annotations

import os
from pathlib import Path

from topologies.mininet import user_namespace
from topologies.mininet.inventory import (
    InventoryError,
    Record,
    RunningHost,
    owner_lives,
    running,
    state_directory,
)

CHANNEL_VARIABLE = "DEVMEM_CHANNEL"  # for a program that `exec` starts: the channel of the host it runs in


class RunningError(RuntimeError):
    """There is no such run or host, or it is none that can do this; one sentence with its remedy."""


def find_run(run_id: str | None, naming: str = "--run") -> Record:
    """The run in progress of that name. Without a name, the one that this process is inside of, else the only
    one. `naming`: how the command line names one. Raises RunningError."""
    try:
        place = state_directory()
    except InventoryError as refused:
        raise RunningError(str(refused)) from None
    runs = running(place)
    if not runs:
        raise RunningError(
            f"no run is up that is on record in {place}; start one, for example with "
            "`run.py up --topology star --hosts 2`"
        )
    names = ", ".join(run.run_id for run in runs)
    found = _around_this_process(runs) or runs
    if run_id is not None:
        found = [run for run in runs if run.run_id == run_id]
        if not found:
            raise RunningError(f"no run {run_id!r} is up; choose from {names}")
    if len(found) > 1:
        raise RunningError(f"several runs are up ({names}); name one with {naming}")
    return found[0]


def still_running(run: Record) -> Record | None:
    """Its record as it is now; None when it has ended."""
    found = running(state_directory())
    return next((each for each in found if (each.run_id, each.owner) == (run.run_id, run.owner)), None)


def find_host(name: str, run_id: str | None) -> RunningHost:
    """A host of the run, in whose user namespace this process then is. Raises RunningError."""
    run = find_run(run_id)
    become_its_root(run)
    return host_of(run, name)


def become_its_root(run: Record) -> None:
    """Go on in the user namespace of a run without root: only who is in there has capabilities over its
    network. Raises RunningError."""
    if run.user_namespace in ("", user_namespace.current()):
        return
    try:
        user_namespace.join_that_of(run.owner.pid)
    except OSError as refused:
        raise RunningError(
            f"the user namespace of run {run.run_id} cannot be entered ({refused.strerror}); do this as the "
            "user who started it, in a shell like the one that started it"
        ) from None


def host_of(run: Record, name: str) -> RunningHost:
    """The run's host of that name. Raises RunningError."""
    for host in run.hosts:
        if host.name == name:
            return host
    names = ", ".join(host.name for host in run.hosts)
    remedy = f"choose from {names}" if names else "it is still starting, try again in a moment"
    raise RunningError(f"run {run.run_id} has no host {name!r}; {remedy}")


def respawn_wish(channel: str) -> Path:
    """The file by which `respawn` asks the process of `up` to start the endpoint of that channel again. Only
    who may write into the channels' directory can."""
    return Path(channel).with_suffix(".respawn")


def check_seen(run: Record) -> None:
    """Raises RunningError when the run's processes cannot be reached from this process namespace."""
    if owner_lives(run) is None:
        raise RunningError(
            f"the processes of run {run.run_id} cannot be seen from this process namespace; do this outside "
            "of it, in a shell like the one that started the run"
        )


def _around_this_process(runs: list[Record]) -> list[Record]:
    """The run that this process was started in by `exec`, if any."""
    channel = os.environ.get(CHANNEL_VARIABLE)
    return [run for run in runs if channel in [host.channel for host in run.hosts]]

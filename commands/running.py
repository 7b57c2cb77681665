"""Runs in progress and their hosts, for commands that come from another terminal.

In: names of a run and a host, as a user gives them. Out: the run's record, the host's channel and namespaces.
Owns nothing: the records are `topologies.mininet.inventory`'s.
"""

from __future__ import annotations

from topologies.mininet.inventory import Record, RunningHost, running, state_directory


class RunningError(RuntimeError):
    """There is no such run or host, or it is none that can do this; one sentence with its remedy."""


def find_run(run_id: str | None) -> Record:
    """The run in progress of that name, or the newest. Raises RunningError."""
    runs = running(state_directory())
    found = [run for run in runs if run_id in (None, run.run_id)]
    if found:
        return found[0]
    if not runs:
        raise RunningError("no run is up; start one, for example with `run.py up --topology star --hosts 2`")
    names = ", ".join(run.run_id for run in runs)
    raise RunningError(f"no run {run_id!r} is up; choose from {names}")


def find_host(name: str, run_id: str | None) -> RunningHost:
    """A host of the run. Raises RunningError."""
    run = find_run(run_id)
    for host in run.hosts:
        if host.name == name:
            return host
    names = ", ".join(host.name for host in run.hosts)
    remedy = f"choose from {names}" if names else "it is still starting, try again in a moment"
    raise RunningError(f"run {run.run_id} has no host {name!r}; {remedy}")

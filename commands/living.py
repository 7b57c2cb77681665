"""Runs that live, and their hosts, for commands that come from outside: up, down, exec, netdev, ethtool.

In: names of a run and a host, as a user gives them. Out: the host's channel and namespaces, from the run's
record. Owns nothing but the network of `stand`.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NoReturn

from commands.network import NetworkRequest, start_network
from topologies.mininet.inventory import LivingHost, Record, is_alive, living, signal_process, state_directory

CHANNEL_VARIABLE = "DEVMEM_CHANNEL"  # for what `exec` runs: the channel of the host it runs in
_DOWN_S = 30.0


class LivingError(RuntimeError):
    """There is no such run or host; one sentence with its remedy."""


def stand(request: NetworkRequest, check: Callable[[], None]) -> NoReturn:
    """Build a network, say where its hosts are, and keep it until `check` raises."""
    with ExitStack() as stack:
        started = start_network(request, check, stack)
        print(
            f"run {request.run_dir.name} is up; Ctrl-C or `run.py down --run {request.run_dir.name}` ends it"
        )
        for host in request.topology.hosts:
            ours = f"{host.endpoint_address:<14} {host.endpoint_address6:<15}"
            linux = f"{host.kernel_address:<14} {host.kernel_address6}"
            print(f"{host.name:<6} {ours} kernel {linux}".rstrip(), flush=True)
        while True:
            started.watch()
            time.sleep(0.1)


def find_run(run_id: str | None) -> Record:
    """The living run of that name, or the newest. Raises LivingError."""
    runs = living(state_directory())
    found = [run for run in runs if run_id in (None, run.run_id)]
    if found:
        return found[0]
    if not runs:
        raise LivingError("no run lives; start one, for example with `run.py up --topology star --hosts 2`")
    names = ", ".join(run.run_id for run in runs)
    raise LivingError(f"no run {run_id!r} lives; choose from {names}")


def find_host(name: str, run_id: str | None) -> LivingHost:
    """A host of the run. Raises LivingError."""
    run = find_run(run_id)
    for host in run.hosts:
        if host.name == name:
            return host
    names = ", ".join(host.name for host in run.hosts)
    remedy = f"choose from {names}" if names else "it is still starting, try again in a moment"
    raise LivingError(f"run {run.run_id} has no host {name!r}; {remedy}")


def take_down(run_id: str | None) -> str:
    """End a run that `up` started and wait until it has gone; returns its name. Raises LivingError."""
    run = find_run(run_id)
    if not run.standing:
        raise LivingError(f"run {run.run_id} is measuring; let it finish, or end it where it was started")
    signal_process(run.owner, signal.SIGTERM)
    give_up_at = time.monotonic() + _DOWN_S
    while is_alive(run.owner):
        if time.monotonic() > give_up_at:
            raise LivingError(f"run {run.run_id} has not ended in {_DOWN_S:g} s; end process {run.owner.pid}")
        time.sleep(0.05)
    return run.run_id


def execute(host: LivingHost, argv: Sequence[str]) -> NoReturn:
    """Become `argv`, running in the host: its network, and as a process of its namespace, which ends with
    the run. The working directory and the environment stay. A signal that ends this process is SIGTERM for
    `argv`. Raises LivingError."""
    for command in ("nsenter", "setpriv"):
        if shutil.which(command) is None:
            raise LivingError(f"the command {command} is missing; install Debian's package util-linux")
    if not is_alive(host.shell):
        raise LivingError(f"host {host.name} has died; start a new run")
    os.environ[CHANNEL_VARIABLE] = host.channel
    # nsenter waits outside for a child inside, and passes no signal on.
    enter = ["nsenter", f"--target={host.shell.pid}", "--net", "--mount", "--pid", "--"]
    child = ["setpriv", "--pdeathsig=TERM", "--"]
    # The directory is entered inside, by name: one from outside belongs to another mount namespace.
    shell = ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "exec", os.getcwd()]
    os.execvp("nsenter", [*enter, *child, *shell, *argv])

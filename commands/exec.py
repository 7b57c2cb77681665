"""The command exec: any program inside a host of a run in progress.

In: words of a command line. Out: the program runs, with this process's terminal and files; its exit status is
the command's. Owns nothing: the program is `topologies.mininet.inside`'s.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from commands.host_command import PASS_ON, HostName, RunId
from commands.running import CHANNEL_VARIABLE, RunningError, become_its_root, check_seen, find_run, host_of
from commands.usage import UsageError
from topologies.mininet.inside import run_inside
from topologies.mininet.inventory import RunningHost, is_alive

CONTEXT_SETTINGS = PASS_ON
FAILURES = (RunningError,)


def command(
    host: HostName,
    command: Annotated[list[str], typer.Argument(help="What to run, after --.", metavar="-- COMMAND...")],
    run: RunId = None,
) -> int:
    """Run a command inside a host of a run in progress; its exit status is ours."""
    argv = command[1:] if command[0] == "--" else command
    if not argv:
        raise UsageError("the command is missing; give it after --")
    found = find_run(run)
    check_seen(found)
    become_its_root(found)
    return _execute(host_of(found, host), argv)


def _execute(host: RunningHost, argv: Sequence[str]) -> int:
    """Run `argv` in the host: its network, mounts and process namespace, with which it ends. The working
    directory and the environment stay. Raises RunningError."""
    if not is_alive(host.shell):
        raise RunningError(f"host {host.name} has died; start a new run")
    try:
        directory = os.getcwd()
    except OSError:
        raise RunningError("the current directory has been removed; change to one that exists") from None
    os.environ[CHANNEL_VARIABLE] = host.channel
    return run_inside(host.shell.pid, argv, directory)

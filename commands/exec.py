"""The command exec: any program inside a host of a run in progress.

In: words of a command line. Out: this process becomes the program; its exit status is the command's. Owns
nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from commands.host_command import PASS_ON, HostName, RunId
from commands.running import CHANNEL_VARIABLE, RunningError, check_seen, find_run, host_of
from commands.usage import UsageError
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
    _execute(host_of(found, host), argv)


def _execute(host: RunningHost, argv: Sequence[str]) -> NoReturn:
    """Become `argv`, running in the host: its network, and as a process of its namespace, which ends with
    the run. The working directory and the environment stay. A signal that ends this process is SIGTERM for
    `argv`. Raises RunningError."""
    for name in ("nsenter", "setpriv"):
        if shutil.which(name) is None:
            raise RunningError(f"the command {name} is missing; install Debian's package util-linux")
    if not is_alive(host.shell):
        raise RunningError(f"host {host.name} has died; start a new run")
    os.environ[CHANNEL_VARIABLE] = host.channel
    # nsenter waits outside for a child inside, and passes no signal on.
    enter = ["nsenter", f"--target={host.shell.pid}", "--net", "--mount", "--pid", "--"]
    child = ["setpriv", "--pdeathsig=TERM", "--"]
    # The directory is entered inside, by name: one from outside belongs to another mount namespace.
    shell = ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "exec", os.getcwd()]
    os.execvp("nsenter", [*enter, *child, *shell, *argv])

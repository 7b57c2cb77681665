"""The command exec: any program inside a host of a run in progress.

In: words of a command line. Out: the program runs, with this process's terminal and files; its exit status is
the command's. Owns nothing: the program is `topologies.mininet.inside`'s. With --kernel-api its system calls
are answered by the host's stack (nodes.supervisor).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from commands.host_command import PASS_ON, HostName, RunId
from commands.running import CHANNEL_VARIABLE, RunningError, become_its_root, check_seen, find_run, host_of
from commands.usage import UsageError
from topologies.mininet.inside import run_inside
from topologies.mininet.inventory import RunningHost, is_alive

CONTEXT_SETTINGS = PASS_ON
FAILURES = (RunningError,)
_PROJECT = str(Path(__file__).parent.parent)
# Not by -m: the working directory is the program's, and so is PYTHONPATH.
_SUPERVISOR = (
    f"import sys; sys.path.insert(0, {_PROJECT!r}); "
    "from nodes.supervisor.__main__ import main; main()"
)


def command(
    host: HostName,
    command: Annotated[list[str], typer.Argument(help="What to run, after --.", metavar="-- COMMAND...")],
    run: RunId = None,
    kernel_api: Annotated[
        bool,
        typer.Option("--kernel-api", help="Its TCP sockets, netlink and udmabuf are the host's stack's."),
    ] = False,
    strace: Annotated[
        bool, typer.Option("--strace", help="With --kernel-api: print every call that the stack answers.")
    ] = False,
) -> int:
    """Run a command inside a host of a run in progress; its exit status is ours."""
    chosen, argv = _split(command)
    if not argv:
        raise UsageError("the command is missing; give it after --")
    strace |= "--strace" in chosen
    if strace or kernel_api or "--kernel-api" in chosen:
        argv = [sys.executable, "-c", _SUPERVISOR, *(["--strace"] if strace else []), "--", *argv]
    found = find_run(run)
    check_seen(found)
    become_its_root(found)
    return _execute(host_of(found, host), argv)


def _split(words: Sequence[str]) -> tuple[set[str], list[str]]:
    """exec's own options that follow HOST, and the command."""
    own = next((at for at, word in enumerate(words) if word not in ("--kernel-api", "--strace")), len(words))
    rest = [*words[own:]]
    return {*words[:own]}, rest[1:] if rest[:1] == ["--"] else rest


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

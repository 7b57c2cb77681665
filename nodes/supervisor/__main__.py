"""Run any program on a host's stack: its TCP sockets are the host's, as if the host's kernel were Linux.

    .venv/bin/python -m nodes.supervisor [--channel PATH] [--strace] -- PROGRAM [ARGUMENTS...]

In: the path of a host's channel (DEVMEM_CHANNEL, which `run.py exec` sets), a program and its arguments. Out:
what the program does; its exit status. Owns the program: when the supervisor ends, the program does too.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import closing, suppress

from nodes.client.host import Host, HostError
from nodes.supervisor.abi import Abi, UnknownMachine, abi
from nodes.supervisor.start import StartError, start
from nodes.supervisor.strace import Strace
from nodes.supervisor.supervisor import Supervisor

_COMMAND = "python -m nodes.supervisor"
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main() -> None:
    given = _parsed(sys.argv[1:])
    try:
        calls = abi()
        with closing(Host(given.channel)) as host:
            status = _supervise(host, calls, given)
        sys.exit(status)
    except (HostError, StartError, UnknownMachine) as e:
        sys.exit(f"{_COMMAND}: {e}")


def _parsed(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=_COMMAND, description="Run any program on a host's stack: its TCP sockets are the host's."
    )
    parser.add_argument(
        "--channel",
        default=os.environ.get("DEVMEM_CHANNEL"),
        help="the host's system-call channel; default: DEVMEM_CHANNEL, which `run.py exec` sets",
    )
    parser.add_argument("--strace", action="store_true", help="print every call that the stack answers")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- PROGRAM ...", help="and its arguments")
    given = parser.parse_args(argv)
    if given.words[:1] == ["--"]:
        given.words = given.words[1:]
    if not given.words:
        parser.error("the program is missing; give it after --")
    if not given.channel:
        parser.error("no channel: run it by `run.py exec HOST --kernel-api -- ...`, or give --channel PATH")
    return given


def _supervise(host: Host, calls: Abi, given: argparse.Namespace) -> int:
    """Returns the program's exit status, 128 and its number for a signal."""
    started = start(calls, given.words)

    def pass_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(started.program, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the program as well
    supervisor = Supervisor(host, calls, started.listener, Strace(sys.stderr) if given.strace else None)
    try:
        started.begin()
        supervisor.run()
        _, status = os.waitpid(started.guardian, 0)
    finally:
        supervisor.close()
        started.listener.close()
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()

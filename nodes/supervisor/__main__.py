"""Run any program on a host's stack: its TCP sockets are the host's, as if the host's kernel were Linux.

    .venv/bin/python -m nodes.supervisor [--channel PATH] [--strace] -- PROGRAM [ARGUMENTS...]

In: the path of a host's channel (DEVMEM_CHANNEL, which `run.py exec` sets), a program and its arguments. Out:
what the program does; its exit status. Owns the program: when the supervisor ends, by SIGKILL even, the
program does too.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import time
from contextlib import closing

from nodes.client.host import Host, HostError
from nodes.supervisor import tracee
from nodes.supervisor.abi import Abi, UnknownMachine, abi
from nodes.supervisor.seccomp import Listener, install
from nodes.supervisor.strace import Strace
from nodes.supervisor.supervisor import Supervisor

_COMMAND = "python -m nodes.supervisor"
_PR_SET_PDEATHSIG = 1
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_START_S = 10.0
_POLL_S = 0.001
_CANNOT_RUN, _NOT_FOUND = 126, 127  # exit statuses, as in sh


def main() -> None:
    given = _parsed(sys.argv[1:])
    try:
        calls = abi()
        with closing(Host(given.channel)) as host:
            status = _supervise(host, calls, given)
        sys.exit(status)
    except (HostError, UnknownMachine) as e:
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
    child, listener, go = _start(calls, given.words)
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the program as well
    strace = Strace(sys.stderr) if given.strace else None
    supervisor = Supervisor(host, calls, listener, strace)
    try:
        os.write(go, b"\0")
        os.close(go)
        supervisor.run()
        _, status = os.waitpid(child, 0)
    finally:
        supervisor.close()
        listener.close()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _start(calls: Abi, words: list[str]) -> tuple[int, Listener, int]:
    """Fork the program, which waits behind its filter: its process id, the filter's listener, and what to
    write to, so that it goes on. The listener cannot be sent, since sending is trapped: it is taken from the
    descriptor whose number the child has told before."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _be_program(calls, words, parent, tell, wait)
        finally:
            os._exit(_CANNOT_RUN)
    os.close(tell)
    os.close(wait)
    number = os.read(told, 16)
    os.close(told)
    return child, _take_listener(child, int(number or b"-1")), go


def _take_listener(child: int, number: int) -> Listener:
    give_up_at = time.monotonic() + _START_S
    while time.monotonic() < give_up_at:
        try:
            return Listener(tracee.descriptor(child, number))
        except OSError:
            time.sleep(_POLL_S)
    os.kill(child, signal.SIGKILL)
    raise HostError("the program did not start behind a seccomp filter; see what it said")


def _be_program(calls: Abi, words: list[str], parent: int, tell: int, wait: int) -> None:
    """In the child: never returns."""
    _die_with(parent)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    free = os.dup(tell)
    os.close(free)
    os.write(tell, str(free).encode())
    try:
        install(calls)
    except OSError as refused:
        print(
            f"{_COMMAND}: {refused.strerror}: this kernel has no seccomp user notification", file=sys.stderr
        )
        os._exit(_CANNOT_RUN)
    os.read(wait, 1)
    try:
        os.execvp(words[0], words)
    except FileNotFoundError:
        print(f"{_COMMAND}: {words[0]}: not found", file=sys.stderr, flush=True)
        os._exit(_NOT_FOUND)
    except OSError as refused:
        print(f"{_COMMAND}: {words[0]}: {refused.strerror}", file=sys.stderr, flush=True)
        os._exit(_CANNOT_RUN)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_CANNOT_RUN)


if __name__ == "__main__":
    main()

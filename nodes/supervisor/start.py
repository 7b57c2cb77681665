"""Starts a program behind a seccomp filter, and keeps it and its descendants from outliving the supervisor.

In: the words of a command. Out: the program, which waits behind its filter, and the filter's listener. Owns
the guardian, a process between supervisor and program: it inherits orphans (PR_SET_CHILD_SUBREAPER), and
ends as the program does. When the supervisor is gone, by SIGKILL even, the guardian ends all that it has
inherited.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import NamedTuple, NoReturn

from nodes.supervisor import tracee
from nodes.supervisor.abi import Abi
from nodes.supervisor.seccomp import Listener, install

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TOLD = struct.Struct("=ii")  # the program's process id, and the number that the listener will have there
_START_S = 10.0
_POLL_S = 0.001
CANNOT_RUN, NOT_FOUND = 126, 127  # exit statuses, as in sh


class StartError(RuntimeError):
    """The program cannot be supervised; one sentence."""


class Started(NamedTuple):
    """`go`: write to this descriptor, and the program begins."""

    guardian: int
    program: int
    listener: Listener
    go: int

    def begin(self) -> None:
        os.write(self.go, b"\0")
        os.close(self.go)


def start(calls: Abi, words: list[str]) -> Started:
    """Raises StartError. The listener cannot be sent, since sending is trapped: it is taken from the
    program's descriptors, by the number that the program has told before."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    parent = os.getpid()
    guardian = os.fork()
    if guardian == 0:
        with _NoReturn():
            os.close(told)
            os.close(go)
            _guard(calls, words, parent, (tell, wait))
    os.close(tell)
    os.close(wait)
    data = os.read(told, _TOLD.size)
    os.close(told)
    if len(data) < _TOLD.size:
        os.waitpid(guardian, 0)
        raise StartError("the program did not start; see what it said")
    program, number = _TOLD.unpack(data)
    return Started(guardian, program, _take_listener(program, number), go)


def _take_listener(program: int, number: int) -> Listener:
    give_up_at = time.monotonic() + _START_S
    while time.monotonic() < give_up_at:
        try:
            return Listener(tracee.descriptor(program, number))
        except ProcessLookupError:
            break
        except OSError:  # EBADF: it is not there yet
            time.sleep(_POLL_S)
    with suppress(ProcessLookupError):
        os.kill(program, signal.SIGKILL)
    raise StartError("this kernel has no seccomp user notification: Linux 5.19 or newer has it")


class _NoReturn:
    """A forked child never goes on in its parent's code, whatever happens in the block."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> NoReturn:
        os._exit(CANNOT_RUN)


# --- the guardian


def _guard(calls: Abi, words: list[str], parent: int, pipes: tuple[int, int]) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _end_all)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    program = os.fork()
    if program == 0:
        with _NoReturn():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _be_program(calls, words, *pipes)
    for fd in pipes:
        os.close(fd)
    for number in (signal.SIGINT, signal.SIGQUIT):  # of the terminal: the program gets them as well
        signal.signal(number, signal.SIG_IGN)
    if os.getppid() != parent:
        _end_all(0, None)
    status = 0
    with suppress(ChildProcessError):
        while True:
            ended, how = os.wait()
            if ended == program:
                status = os.waitstatus_to_exitcode(how)
    os._exit(status if status >= 0 else 128 - status)


def _end_all(_: int, __: FrameType | None) -> NoReturn:
    while children := _descendants(os.getpid()):
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    os._exit(CANNOT_RUN)


def _descendants(of: int) -> list[int]:
    """Those that still run, by /proc."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError), open(f"/proc/{name}/stat") as file:
                state, parent = file.read().rsplit(")", 1)[1].split()[:2]
                if state != "Z":
                    parents[int(name)] = int(parent)
    found = {of}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return [*(found - {of})]


# --- the program


def _be_program(calls: Abi, words: list[str], tell: int, wait: int) -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    free = os.dup(tell)
    os.close(free)
    os.write(tell, _TOLD.pack(os.getpid(), free))
    try:
        install(calls)
    except OSError:
        os._exit(CANNOT_RUN)
    os.read(wait, 1)
    try:
        os.execvp(words[0], words)
    except FileNotFoundError:
        _complain(f"{words[0]}: not found")
        os._exit(NOT_FOUND)
    except OSError as refused:
        _complain(f"{words[0]}: {refused.strerror}")


def _complain(text: str) -> None:
    print(f"python -m nodes.supervisor: {text}", file=sys.stderr, flush=True)

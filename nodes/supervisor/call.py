"""One trapped system call: what it was called with, and what its handler may wait for.

In: a notification. Out: arguments; for the handlers, requests to wait. Owns nothing.
A handler is a generator: it yields a Wait while the call blocks, and returns what the call returns. The
supervisor resumes it when the wait is over; at the wait's deadline it throws BlockingIOError into it, and
Interrupted when a signal handler of the program has to run first.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import NamedTuple

from nodes.supervisor import tracee
from nodes.supervisor.files import File

ERESTARTSYS = 512  # Linux restarts the call after the handler, or says EINTR, as SA_RESTART has it


class Interrupted(OSError):
    """A signal came while the call was blocked."""

    def __init__(self) -> None:
        super().__init__(ERESTARTSYS, "interrupted by a signal")


class Wait(NamedTuple):
    """Until `file` polls one of `events`, at most until `deadline` (of time.monotonic; None: for ever)."""

    file: File
    events: int
    deadline: float | None


class InThread(NamedTuple):
    """Until `function` has returned, in a thread of its own; the handler gets what it returns, or the
    OSError that it raises."""

    function: Callable[[], int]


class NewFd(NamedTuple):
    """The call returns a new descriptor of `file`. `tracked`: the supervisor answers calls on it until its
    last descriptor is closed; else it is the program's alone."""

    file: File
    cloexec: bool
    tracked: bool = True


Result = int | NewFd
Handler = Generator[Wait | InThread, int, Result]


class GoOn(Exception):
    """The call is none of ours: the kernel makes it."""


@dataclass(slots=True)
class Call:
    """`shown`: the arguments as strace shows them, once a handler has read them."""

    id: int
    pid: int
    name: str
    args: tuple[int, ...]
    shown: list[str] = field(default_factory=list)

    def int_arg(self, at: int) -> int:
        """A 32-bit argument with a sign, as a descriptor is."""
        value = self.args[at] & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value

    @property
    def fd(self) -> int:
        return self.int_arg(0)

    def read(self, at: int, length: int) -> bytes:
        """Bytes of the program's memory at the address that argument `at` gives."""
        return tracee.read(self.pid, self.args[at], length)

    def write(self, at: int, data: bytes | memoryview) -> None:
        tracee.write(self.pid, self.args[at], data)

    def refuse(self, why: str, number: int = errno.EOPNOTSUPP) -> OSError:
        """What the testbed has no answer to; the supervisor names it once on standard error."""
        return Unanswered(number, f"{self.name}: {why}")


class Unanswered(OSError):
    """The errno is what Linux would give a socket without that feature."""

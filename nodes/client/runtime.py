"""What application code needs of the world in order to wait: a clock, sleep, threads, locks, channels.

In: seconds, functions, the path of a channel. Out: the time, threads, locks, open channels. Owns nothing. All
modules of nodes/client and workloads take these from a Runtime and from nowhere else: so the same code also
runs under a simulated clock, where a thread is a simulated process.
"""

from __future__ import annotations

import _thread
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar

from nodes.client.local_socket import MachineSocket
from nodes.machine.buses import Buses, Server
from nodes.uapi.channel import Channel
from nodes.uapi.syscalls import AnyReply, Record

_T = TypeVar("_T")


class Lock(Protocol):
    """Mutual exclusion of threads."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None, /
    ) -> bool | None: ...


class Condition(Lock, Protocol):
    """A lock whose holder can wait until another thread says that something has changed."""

    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None, /) -> _T:
        """Release the lock and wait until `predicate()` is true; returns its value, which is false when
        `timeout` seconds have passed."""

    def notify_all(self) -> None:
        """Something has changed: every waiting thread looks at its predicate."""


class Thread(Protocol):
    def join(self, timeout_s: float | None = None) -> None:
        """Return when the thread has ended, or after `timeout_s`."""


class ClientChannel(Protocol):
    """The application's end of a system-call channel (nodes.uapi.channel.Channel)."""

    def settimeout(self, seconds: float | None) -> None:
        """How long the methods below wait before they raise TimeoutError; None: for ever."""

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        """Raises ChannelClosed."""

    def receive_reply(self) -> tuple[AnyReply, list[int]]:
        """The next reply and its descriptors, which are the caller's to close. Raises ChannelClosed."""

    def hang_up(self, patience_s: float) -> None:
        """Close; return when the endpoint has closed its end too, or after `patience_s`."""

    def close(self) -> None: ...


class LocalSocket(Protocol):
    """A connection between two processes of a machine, of records, beside the network; methods as of a
    socket. An address is ("", port), as `getsockname` has it; `bind` chooses the port."""

    def bind(self, address: Any, /) -> None: ...

    def listen(self, backlog: int = 1, /) -> None: ...

    def accept(self) -> tuple[LocalSocket, Any]:
        """The next connection, with this socket's timeout."""

    def connect(self, address: Any, /) -> None: ...

    def getsockname(self) -> tuple[str, int]: ...

    def setsockopt(self, level: int, optname: int, value: int | bytes, /) -> None: ...

    def settimeout(self, value: float | None, /) -> None: ...

    def send(self, record: bytes, /) -> int: ...

    def send_descriptor(self, fd: int, /) -> None:
        """A record with that descriptor, which stays the caller's."""

    def recv(self, bufsize: int, /) -> bytes:
        """The next record; b"" when the other end has closed."""

    def receive_descriptor(self) -> int | None:
        """That of the next record, which is the caller's to close; None if it has none, or at the end."""

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...


class CpuTime(NamedTuple):
    """Seconds of CPU time. `system_s`: those among them in which the machine's kernel ran on the process's
    behalf, in system calls mostly."""

    total_s: float
    system_s: float

    def since(self, before: CpuTime) -> CpuTime:
        """The kernel reads the two by different clocks: a part is never made more than the whole."""
        total_s = self.total_s - before.total_s
        return CpuTime(total_s, min(total_s, max(0.0, self.system_s - before.system_s)))


class Runtime(Protocol):
    """Seconds are of one clock that only goes forward. `counted`: payload has a length and no content, and so
    has the memory that it lies in."""

    counted: bool

    def monotonic(self) -> float:
        """Now. A Bus counts in the same clock."""

    def cpu(self) -> CpuTime:
        """What the calling process has used so far."""

    def sleep(self, seconds: float) -> None: ...

    def spawn(self, function: Callable[[], None], name: str) -> Thread:
        """Run `function` in a thread that does not keep the process from ending. `name` is for messages."""

    def lock(self) -> Lock: ...

    def condition(self) -> Condition: ...

    def local_socket(self) -> LocalSocket:
        """A new one, neither bound nor connected."""

    def connect(self, path: str) -> ClientChannel:
        """Open a channel to the endpoint that listens at `path`. Raises OSError when none does."""

    def buses(self, path: str, names: Sequence[str], fds: Sequence[int]) -> Buses:
        """Those of the host at `path` whose bandwidth is limited: what its endpoint told. Takes the
        descriptors over."""

    def device_memory(self, path: str) -> Server | None:
        """That of an accelerator of the host at `path`; None: it serves at once."""


class MachineThread:
    """A thread of Python. `ended` is held until it ends."""

    __slots__ = ("_ended",)

    def __init__(self, ended: _thread.LockType) -> None:
        self._ended = ended

    def join(self, timeout_s: float | None = None) -> None:
        if self._ended.acquire(timeout=-1 if timeout_s is None else timeout_s):
            self._ended.release()


class MachineRuntime:
    """CLOCK_MONOTONIC, threads of Python, channels of AF_UNIX."""

    counted = False

    def monotonic(self) -> float:
        return time.monotonic()

    def cpu(self) -> CpuTime:
        return CpuTime(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_stime)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def spawn(self, function: Callable[[], None], name: str) -> MachineThread:
        """Safe against signal handlers that raise: threading.Thread.start waits for the new thread, and an
        exception in that wait leaves the list of threads in disorder."""
        ended = _thread.allocate_lock()
        ended.acquire()
        _thread.start_new_thread(_run, (function, name, ended))
        return MachineThread(ended)

    def lock(self) -> threading.Lock:
        return threading.Lock()

    def condition(self) -> threading.Condition:
        return threading.Condition()

    def local_socket(self) -> MachineSocket:
        return MachineSocket()

    def connect(self, path: str) -> Channel:
        return Channel.connect(path)

    def buses(self, path: str, names: Sequence[str], fds: Sequence[int]) -> Buses:  # noqa: ARG002
        return Buses.shared(names, fds)

    def device_memory(self, path: str) -> None:
        """This machine's, which is as fast as it is."""


MACHINE = MachineRuntime()


def thread_id() -> int:
    """Of the calling thread of Python, as sys._current_frames names it."""
    return threading.get_ident()


def is_main_thread() -> bool:
    """Whether the calling thread is the one that takes signals."""
    return threading.current_thread() is threading.main_thread()


def _run(function: Callable[[], None], name: str, ended: _thread.LockType) -> None:
    try:
        function()
    except Exception:
        print(f"thread {name!r} failed:", file=sys.stderr)
        traceback.print_exc()
    finally:
        ended.release()

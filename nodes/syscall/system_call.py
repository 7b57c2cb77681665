"""What a system call is, which process makes it, and what it acts on: the types that all calls share.

In: nothing. Out: Protocols and one record. Owns nothing. A request becomes an object of a class of its own
(socket_calls, file_calls, process_calls, netlink_calls; syscall_table says which), made once. Its `attempt`
is tried until there is an answer; when to try, and for how long, is the session's business alone.
"""

from __future__ import annotations

import errno
import socket as linux
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

from nodes.host import Host
from nodes.machine.buses import Buses
from nodes.sock.devmem_socket import DevmemSocket
from nodes.syscall.file_table import FileTable, Holder, PollFile
from nodes.syscall.user_memory import UserMemory
from nodes.uapi.netlink import Mode
from nodes.uapi.syscalls import Failed, Reply


class Blocked:
    """What an attempt returns in place of BlockingIOError, where that is frequent: an exception takes longer
    than the attempt, as every function that it passes adds a frame to its traceback."""


BLOCKED: Final = Blocked()


class SystemCall(Protocol):
    """One request from its first attempt to its reply."""

    def attempt(self, now: float, wait: bool, /) -> Reply | Blocked | None:
        """The reply; None when there is none to send (DontNeed, or the call has sent it with descriptors).

        Raises OSError when the call fails, and BlockingIOError, or returns Blocked, while it would block: it
        is then attempted again when its socket has changed. `wait` says that the call may still block. It is
        false in the last attempt, at the deadline: a call that has moved some bytes then returns their count,
        and BlockingIOError is its failure; none is Blocked."""


class Platform(Protocol):
    """What the operating system below adds, where there is one (nodes.endpoint.platform)."""

    def open_poll_file(self, sock: DevmemSocket) -> PollFile:
        """A descriptor that polls as `sock` does."""

    def open_kernel_socket(self) -> linux.socket:
        """A TCP socket of the platform's own stack, in the host's network namespace; the caller closes it."""

    @property
    def buses(self) -> Buses:
        """Those that have a ceiling, which processes share."""

    def cpu_s(self) -> float:
        """Seconds of CPU time that the host has used."""

    def switches(self) -> tuple[int, int]:
        """Its context switches: voluntary and involuntary ones."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the system calls of one host act on. `netlink` answers operations by (family, operation, mode)."""

    host: Host
    platform: Platform
    memory: UserMemory
    files: FileTable
    netlink: dict[tuple[str, str, Mode], Callable[[Any], Any]]


class Caller(Holder, Protocol):
    """The process that makes a call, through one channel. `privileged`: it has CAP_NET_ADMIN over the host's
    network namespace; `init_privileged`: in the initial user namespace, too. `owned` is undone when the
    channel closes: memory that it registered, dma-bufs that it bound."""

    @property
    def kernel(self) -> Kernel: ...
    @property
    def privileged(self) -> bool: ...
    @property
    def init_privileged(self) -> bool: ...
    @property
    def owned(self) -> ExitStack: ...

    def send_with(self, reply: Reply, fds: tuple[int, ...]) -> None:
        """Reply with descriptors, which stay the call's."""


def failed(refused: OSError) -> Failed:
    """The reply of a call that is refused."""
    return Failed(
        refused.errno or errno.EIO, refused.strerror or str(refused), getattr(refused, "attribute", "")
    )

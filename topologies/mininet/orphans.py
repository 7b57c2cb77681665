"""Processes that process 1 of a namespace inherits, such as what a command left in the background.

In: SIGCHLD. Out: those that have ended are gone from the process table. Owns the handler of SIGCHLD and a
pair of sockets. pid_namespaces(7).
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Set
from contextlib import suppress


class Orphans:
    """Can be read when a child has ended; then `drain` and `reap_orphans`. Also a context manager."""

    def __init__(self) -> None:
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def __enter__(self) -> Orphans:
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        self._woken.close()
        self._waker.close()

    def fileno(self) -> int:
        return self._woken.fileno()

    def drain(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)


def reap_orphans(ours: Set[int]) -> None:
    """Forget children that have ended, up to the first of `ours`, which are waited for elsewhere."""
    with suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in ours:
                return
            os.waitpid(ended.si_pid, 0)

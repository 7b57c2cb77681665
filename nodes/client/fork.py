"""What a forked child does with the client's objects that it has inherited.

In: objects that say `survives_fork`; forks of the process (os.fork, multiprocessing, os.forkpty). Out: in the
child, `renew()` of each. Owns the list of living objects, which is one a process, as a fork is.
A channel cannot be shared: replies to the child's requests would reach the parent. In the child, therefore, a
socket attaches itself by a channel of its own when it is first used, and a Host opens a new control channel.
The inherited descriptors stay open until then, so that parent and child hold a socket open as two processes
hold one open file (fork(2)). The parent notices nothing.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol, TypeVar

from nodes.client.runtime import ClientChannel, Runtime
from nodes.uapi.syscalls import AnyReply, Record


class Renewable(Protocol):
    def renew(self) -> None:
        """This process is a forked child: take locks and channels of its own. Threads of the parent, whatever
        they held, are not there."""


_T = TypeVar("_T", bound=Renewable)
_living: weakref.WeakSet[Renewable] = weakref.WeakSet()


def survives_fork(renewable: _T) -> _T:
    _living.add(renewable)
    return renewable


def _renew_all() -> None:
    for each in list(_living):
        each.renew()


os.register_at_fork(after_in_child=_renew_all)


class ReopenedChannel:
    """Satisfies ClientChannel: a channel to the same endpoint, opened when the child first sends a record.
    `inherited` is closed and never shut down: its other descriptor is the parent's."""

    def __init__(self, inherited: ClientChannel, path: str, runtime: Runtime) -> None:
        self._inherited = inherited
        self._path = path
        self._runtime = runtime
        self._own: ClientChannel | None = None

    def settimeout(self, seconds: float | None) -> None:
        self._opened().settimeout(seconds)

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        self._opened().send(record, fds)

    def receive_reply(self) -> tuple[AnyReply, list[int]]:
        return self._opened().receive_reply()

    def _opened(self) -> ClientChannel:
        if self._own is None:
            self._own = self._runtime.connect(self._path)
        return self._own

    def hang_up(self, patience_s: float) -> None:
        self._inherited.close()
        if self._own is not None:
            self._own.hang_up(patience_s)

    def close(self) -> None:
        self._inherited.close()
        if self._own is not None:
            self._own.close()

"""close, dup2, dup3, close_range and exec: the calls by which a descriptor of ours may go.

In: trapped calls. Out: the kernel makes each; before that ours has left its place, so that the last close is
noticed in the call itself and the peer's FIN leaves at once. What exec closes (close-on-exec) is looked for
until it is gone, since an exec that fails closes nothing. Owns an open /dev/null, which takes the place.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from nodes.supervisor import tracee
from nodes.supervisor.call import Call
from nodes.supervisor.files import File, Files
from nodes.supervisor.seccomp import Listener, Vanished

_CLOSE_RANGE_UNSHARE, _CLOSE_RANGE_CLOEXEC = 2, 4
_EXEC_S = 1.0  # an exec has closed what it closes by then, or has failed


class DescriptorCalls:
    def __init__(self, files: Files, listener: Listener) -> None:
        self._files = files
        self._listener = listener
        self._nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        # By process: a descriptor that exec closes, what it is, and until when it is looked for
        self._executing: dict[int, tuple[int, File, float]] = {}

    def leave(self, call: Call) -> None:
        """Take ours out of the places that the call is about to close."""
        if len(self._files):
            if call.name == "close":
                self._vacate(call, call.fd)
            elif call.name in ("dup2", "dup3"):
                if call.int_arg(1) != call.fd:
                    self._vacate(call, call.int_arg(1))
            elif call.name == "close_range" and not call.args[2] & (
                _CLOSE_RANGE_CLOEXEC | _CLOSE_RANGE_UNSHARE
            ):
                self._vacate_range(call, call.args[0] & 0xFFFFFFFF, call.args[1] & 0xFFFFFFFF)
            elif call.name in ("execve", "execveat"):
                self._note_exec(call)

    def _note_exec(self, call: Call) -> None:
        for fd in tracee.closed_by_exec(call.pid):
            file = self._files.of(call.pid, fd)
            if file is not None:
                self._executing[tracee.group_of(call.pid)] = fd, file, time.monotonic() + _EXEC_S
                return

    @property
    def executing(self) -> bool:
        """Whether a process may be about to lose descriptors of ours."""
        return bool(self._executing)

    def look_after_execs(self) -> None:
        """Close what the execs since the last time have closed."""
        now, before = time.monotonic(), len(self._executing)
        self._executing = {
            pid: each for pid, each in self._executing.items() if self._files.of(pid, each[0]) is each[1]
        }
        if len(self._executing) < before:
            self._files.collect()
        self._executing = {pid: each for pid, each in self._executing.items() if each[2] > now}

    def _vacate(self, call: Call, fd: int) -> None:
        if self._files.of(call.pid, fd) is not None:
            with suppress(Vanished, OSError):
                self._listener.replace(call.id, self._nothing, fd, cloexec=True)
            self._files.collect()

    def _vacate_range(self, call: Call, first: int, last: int) -> None:
        with suppress(OSError):
            for name in os.listdir(f"/proc/{call.pid}/fd"):
                if first <= int(name) <= last:
                    self._vacate(call, int(name))

    def close(self) -> None:
        os.close(self._nothing)

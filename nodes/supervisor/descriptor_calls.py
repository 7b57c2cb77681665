"""close, dup2, dup3 and close_range: the calls by which a descriptor of ours may go.

In: trapped calls. Out: the kernel makes each; before that ours has left its place, so that the last close is
noticed in the call itself and the peer's FIN leaves at once. Owns an open /dev/null, which takes the place.
"""

from __future__ import annotations

import os
from contextlib import suppress

from nodes.supervisor.call import Call
from nodes.supervisor.files import Files
from nodes.supervisor.seccomp import Listener, Vanished

_CLOSE_RANGE_UNSHARE, _CLOSE_RANGE_CLOEXEC = 2, 4


class DescriptorCalls:
    def __init__(self, files: Files, listener: Listener) -> None:
        self._files = files
        self._listener = listener
        self._nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

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

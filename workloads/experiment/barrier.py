"""Makes every rank wait until all have come: a ring of connections between the ranks' processes.

In: the next rank's name. Out: nothing but the wait. Owns two AF_UNIX connections beside the emulated network,
so that waiting for each other moves no byte, no packet and no CPU time of what is measured. Abstract names:
no file is left (unix(7)).
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing


class Barrier:
    """Life: listen, connect, wait any number of times, close. Every wait ends after `timeout_s` with
    TimeoutError; ConnectionError when another rank has closed its connection."""

    def __init__(self, nranks: int, timeout_s: float) -> None:
        self._nranks = nranks
        self._timeout_s = timeout_s
        self._undo = ExitStack()

    def listen(self) -> bytes:
        """The name by which the rank before connects."""
        self._listener = self._opened(socket.socket(socket.AF_UNIX))
        self._listener.bind("")  # the kernel chooses
        self._listener.listen(1)
        return bytes(self._listener.getsockname())

    def connect(self, next_rank: bytes) -> None:
        """To the next rank, then from the rank before."""
        self._next = self._opened(socket.socket(socket.AF_UNIX))
        self._next.connect(next_rank)
        self._before = self._opened(self._listener.accept()[0])

    def wait(self) -> None:
        """In each of n-1 rounds a rank sends a byte on and receives one. The k-th byte that it receives says
        that the k ranks before it have come, so after the last round all have."""
        for _ in range(self._nranks - 1):
            self._next.sendall(b"\0")
            if not self._before.recv(1):
                raise ConnectionError("another rank closed its connection")

    def close(self) -> None:
        self._undo.close()

    def _opened(self, sock: socket.socket) -> socket.socket:
        self._undo.enter_context(closing(sock))
        sock.settimeout(self._timeout_s)
        return sock

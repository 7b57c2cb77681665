"""Makes every rank wait until all have come: a ring of connections between the ranks' processes.

In: the next rank's name. Out: the wait, and whether any rank has voted; the ranks' common record of progress.
Owns two AF_UNIX connections beside the emulated network, so that waiting for each other moves no byte, no
packet and no CPU time of what is measured. Abstract names: no file is left (unix(7)).
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing

from workloads.progress import Progress


class Barrier:
    """Life: listen, connect, wait any number of times, close. Every wait ends with TimeoutError when nothing
    has moved in the experiment for so long (Progress); ConnectionError when another rank has closed its
    connection."""

    def __init__(self, rank: int, nranks: int, progress: Progress) -> None:
        self._rank = rank
        self._nranks = nranks
        self._progress = progress
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
        self._share_progress()

    def wait(self, vote: bool = False) -> bool:
        """Whether any rank has voted for what all of them are to do next: the same on every rank.

        In each of n-1 rounds a rank sends a byte on and receives one. The k-th byte that it receives says
        that the k ranks before it have come, and whether one of them votes so, so after the last round all
        have come and all votes are known."""
        for _ in range(self._nranks - 1):
            self._next.sendall(bytes([vote]))
            came = self._progress.wait(self._before.recv, 1)
            if not came:
                raise ConnectionError("another rank closed its connection")
            vote |= came != b"\0"
        return vote

    def close(self) -> None:
        self._undo.close()

    def _share_progress(self) -> None:
        """Rank 0's record goes round the ring, and comes back to it."""
        if self._rank == 0:
            socket.send_fds(self._next, [b"\0"], [self._progress.fd])
        _, fds, _, _ = socket.recv_fds(self._before, 1, 1)
        if not fds:
            raise ConnectionError("another rank closed its connection")
        self._progress.adopt(fds[0])
        if self._rank != 0:
            socket.send_fds(self._next, [b"\0"], [self._progress.fd])

    def _opened(self, sock: socket.socket) -> socket.socket:
        self._undo.enter_context(closing(sock))
        sock.settimeout(self._progress.timeout_s)
        return sock

"""A descriptor that polls as a socket of ours does: what an application gives to poll, select and epoll.

In: the events that a socket is ready for. Out: a descriptor of Linux with just these events, level and edge.
It is a datagram socket of AF_UNIX, called the file here, whose readiness each has a handle of its own:
POLLIN     a datagram waits in its receive queue: the bell sends it, we take it out again
POLLOUT    its send buffer is full while a datagram of its own lies in the sink
POLLERR    its peer, the bell, leaves it for another with a datagram unread; SO_ERROR takes that back
POLLRDHUP, POLLHUP    shutdown, for good
An application may do to its descriptor what it likes: it then polls as it may, and nobody else notices. So no
call here waits, whatever became of O_NONBLOCK, and none has to succeed.
Owns two sockets for all files together (the bell, whom it leaves them for) and two for each.
Source: unix_dgram_poll, unix_dgram_disconnected (net/unix/af_unix.c).
"""

from __future__ import annotations

import socket
from contextlib import suppress
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.tcp_poll import poll_events

_SEND_BUFFER = 8192  # doubled by the kernel
_FULL = bytes(4096)  # more than a quarter of that buffer, and one more datagram still fits
_RING = b"\0"
_AT_ONCE = socket.MSG_DONTWAIT
_HARMLESS = suppress(OSError)  # may be used again, and inside itself


def _datagrams() -> socket.socket:
    """Bound to an abstract name that the kernel chooses."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind("")
    return sock


class Bell:
    """The peer of every poll file, connected to `_elsewhere` in between."""

    def __init__(self) -> None:
        self._sock, self._elsewhere = _datagrams(), _datagrams()
        self._name, self._away = self._sock.getsockname(), self._elsewhere.getsockname()
        self._sock.connect(self._away)

    def adopt(self, file: socket.socket) -> None:
        """Become its peer."""
        self._sock.connect(file.getsockname())
        file.connect(self._name)
        self._sock.connect(self._away)

    def ring(self, file: socket.socket) -> None:
        """Something to read."""
        self._sock.sendto(_RING, file.getsockname())

    def desert(self, file: socket.socket) -> None:
        """An error: its datagram was not read."""
        try:
            self._sock.connect(file.getsockname())
            file.send(_RING, _AT_ONCE)
        finally:
            self._sock.connect(self._away)

    def close(self) -> None:
        self._sock.close()
        self._elsewhere.close()


class PollFile:
    """Of one socket, whoever polls it. A change of readiness takes 3 to 8 us, none a microsecond."""

    def __init__(self, bell: Bell, sock: DevmemSocket) -> None:
        self._bell = bell
        self._polled = sock
        self._file, self._sink = _datagrams(), _datagrams()
        self._sink_name = self._sink.getsockname()
        self._file.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._sink.connect(self._file.getsockname())  # and takes from nobody else
        bell.adopt(self._file)
        self._events = POLLOUT
        self.update()

    @property
    def fd(self) -> int:
        """The descriptor; whoever passes it on duplicates it."""
        return self._file.fileno()

    def update(self) -> None:
        """Show what the socket is ready for now."""
        self.show(poll_events(self._polled))

    def show(self, events: int) -> None:
        """Poll as `events` has it from now on; what has hung up stays so, and finds no new error."""
        changed = events ^ self._events
        if not changed or (self._events & POLLHUP and not changed & POLLERR):
            return
        with _HARMLESS:
            if self._events & POLLERR:  # in any case: the next call on the file would fail with it
                self._file.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        with _HARMLESS:
            if changed & POLLIN and not self._events & POLLRDHUP:
                if events & POLLIN:
                    self._bell.ring(self._file)
                else:
                    self._file.recv(1, _AT_ONCE)
        with _HARMLESS:
            if changed & POLLOUT:
                if events & POLLOUT:
                    self._sink.recv(1)
                else:
                    self._file.sendto(_FULL, _AT_ONCE, self._sink_name)
        with _HARMLESS:
            if events & POLLERR and not self._events & POLLHUP:
                self._bell.desert(self._file)
        with _HARMLESS:
            if changed & events & POLLRDHUP:
                self._file.shutdown(socket.SHUT_RD)
        with _HARMLESS:
            if changed & events & POLLHUP:
                self._file.shutdown(socket.SHUT_RDWR)
        self._events = events | self._events & (POLLRDHUP | POLLHUP)

    def hang_up(self) -> None:
        """The endpoint ends: whoever still polls sees it."""
        with _HARMLESS:
            self._file.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The socket is closed, which tells nobody: an epoll forgets what its owner closed. The file goes
        before the sink, whose datagram would wake those who poll."""
        self._file.close()
        self._sink.close()

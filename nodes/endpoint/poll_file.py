"""A descriptor that polls as a socket of the stack does: what an application gives to poll, select and epoll.

In: the events that a socket is ready for. Out: a descriptor of Linux that reports just these events, level-
and edge-triggered. Owns two sockets for each polled socket (file, sink) and two for all of them (notifier,
parking).
Source: unix_dgram_poll, unix_dgram_disconnected (net/unix/af_unix.c).

All four are datagram sockets of AF_UNIX. The application holds a duplicate of `file`; each kind of readiness
of `file` is made, and taken back, by an operation of its own:

                 connected, but for the moment of making a POLLERR
      notifier ----------------------------------------------------> parking
       ^    |
       |    | POLLIN: one datagram                (both one for all poll files)
  peer |    v
       file ---------------------------------------------> sink
       ^      no POLLOUT: one datagram that fills         (connected to file)
       |      the send buffer of file
       descriptor that the application polls

  POLLIN     on: notifier sends file a datagram             off: the endpoint receives it from file
  POLLOUT    on: the endpoint receives sink's datagram      off: file sends sink a datagram
             again, for a new edge: another datagram comes, and the older one is received
  POLLERR    on: notifier connects to file, file sends it   off: SO_ERROR of file is read
             a datagram, and notifier connects to parking
             with that datagram unread: ECONNRESET for file
  POLLRDHUP  on: file is shut down for reading              off: never
  POLLHUP    on: file is shut down for both                 off: never

No other process can send to file or to notifier: a connected datagram socket takes datagrams from its peer
alone. The application may do to its descriptor what it likes, O_NONBLOCK included: then this descriptor polls
wrongly, and no other. So no call below waits, and a call that fails is passed over.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.tcp_poll import poll_events

_SEND_BUFFER = 8192  # doubled by the kernel
_FILLING = bytes(4096)  # more than a quarter of that buffer: no POLLOUT, yet another datagram fits
_DATAGRAM = b"\0"
_WAKES_MAX = 64  # of one update: more processes do not wait for one socket
_DONTWAIT = socket.MSG_DONTWAIT
_PASS_OVER = suppress(OSError)  # may be entered again, also inside itself


def _datagram_socket() -> socket.socket:
    """Bound to an abstract name that the kernel chooses."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind("")
    return sock


class Notifier:
    """The peer of every poll file, one for all of them. Its sockets are open while there are poll files."""

    def __init__(self) -> None:
        self._files = 0

    def attach(self, file: socket.socket) -> None:
        """Become the peer of `file`. A socket may connect to one that is connected to it or to none."""
        if not self._files:
            self._open()
        self._sock.connect(file.getsockname())
        file.connect(self._name)
        self._sock.connect(self._parking_name)
        self._files += 1

    def detach(self) -> None:
        """A poll file is closed."""
        self._files -= 1
        if not self._files:
            self._sock.close()
            self._parking.close()

    def _open(self) -> None:
        self._sock, self._parking = _datagram_socket(), _datagram_socket()
        self._name, self._parking_name = self._sock.getsockname(), self._parking.getsockname()
        self._sock.connect(self._parking_name)

    def make_readable(self, file: socket.socket) -> None:
        """POLLIN, until the datagram is received."""
        self._sock.sendto(_DATAGRAM, file.getsockname())

    def make_error(self, file: socket.socket) -> None:
        """POLLERR, until SO_ERROR is read: the peer disconnects with a datagram of `file` unread."""
        try:
            self._sock.connect(file.getsockname())
            file.send(_DATAGRAM, _DONTWAIT)
        finally:
            self._sock.connect(self._parking_name)


class PollFile:
    """Of one socket, for all processes that poll it. A change of readiness costs 3 to 8 us; to find that
    there is none costs a microsecond."""

    def __init__(self, notifier: Notifier, sock: DevmemSocket) -> None:
        self._notifier = notifier
        self._polled = sock
        self._file, self._sink = _datagram_socket(), _datagram_socket()
        self._sink_name = self._sink.getsockname()
        self._file.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._sink.connect(self._file.getsockname())
        notifier.attach(self._file)
        self._events = POLLOUT  # that the file reports now
        self._arrivals, self._completed = sock.arrivals, sock.errqueue.queued
        self.update()

    @property
    def fd(self) -> int:
        """The descriptor; to pass it on is to duplicate it."""
        return self._file.fileno()

    @property
    def ended(self) -> bool:
        return bool(self._events & (POLLRDHUP | POLLHUP))

    def update(self) -> None:
        """Show what the socket is ready for now. Data, connections and completions that arrived since the
        last update wake those who wait, though the events stay: a new edge of EPOLLET, and one process of
        EPOLLEXCLUSIVE for each connection (sock_def_readable, sock_def_error_report)."""
        sock, before = self._polled, self._events
        arrived, self._arrivals = sock.arrivals - self._arrivals, sock.arrivals
        completed, self._completed = sock.errqueue.queued > self._completed, sock.errqueue.queued
        self.show(poll_events(sock), completed)
        if arrived and self._events & POLLIN and not self._events & POLLRDHUP:
            for _ in range(min(arrived - (not before & POLLIN), _WAKES_MAX)):
                with _PASS_OVER:
                    self._notifier.make_readable(self._file)
                    self._file.recv(1, _DONTWAIT)  # the older datagram: one is there at any moment

    def show(self, events: int, new_error: bool = False) -> None:
        """Report `events` from now on; with `new_error` POLLERR is a new edge, if it is among them. After
        POLLHUP only a POLLERR can be taken back, and none be made."""
        changed = events ^ self._events
        if self._events & POLLHUP and not changed & POLLERR:
            return
        if not changed and not (new_error and events & POLLERR):
            return
        with _PASS_OVER:
            if self._events & POLLERR:  # even if it is to stay: the next call on the file would fail with it
                self._file.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        with _PASS_OVER:
            if changed & POLLIN and not self._events & POLLRDHUP:
                if events & POLLIN:
                    self._notifier.make_readable(self._file)
                else:
                    self._file.recv(1, _DONTWAIT)
        with _PASS_OVER:
            if changed & POLLOUT:
                if events & POLLOUT:
                    self._sink.recv(1)
                else:
                    self._file.sendto(_FILLING, _DONTWAIT, self._sink_name)
        with _PASS_OVER:
            if events & POLLERR and not self._events & POLLHUP:
                self._notifier.make_error(self._file)
        with _PASS_OVER:
            if changed & events & POLLRDHUP:
                self._file.shutdown(socket.SHUT_RD)
        with _PASS_OVER:
            if changed & events & POLLHUP:
                self._file.shutdown(socket.SHUT_RDWR)
        self._events = events | self._events & (POLLRDHUP | POLLHUP)

    def hang_up(self) -> None:
        """The endpoint ends: processes that still poll see POLLHUP."""
        with _PASS_OVER:
            self._file.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The socket is closed. No process is told: an epoll forgets what its owner has closed. The file is
        closed before the sink, whose datagram would otherwise be freed and wake the processes that poll."""
        self._file.close()
        self._sink.close()
        self._notifier.detach()

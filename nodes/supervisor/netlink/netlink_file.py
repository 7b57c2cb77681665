"""A generic netlink socket as a descriptor of the program.

In: datagrams that it is to get. Out: datagrams, and waits for them. Owns a pair of AF_UNIX sockets, one end
of which the program has: there is one byte in it while datagrams wait, so that poll, select and epoll are
the kernel's own; and a control channel of its own, by which what the program binds ends with its last
descriptor. Source: netlink_create, netlink_setsockopt (net/netlink/af_netlink.c).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from nodes.client.host import Host, HostError
from nodes.supervisor.call import Wait
from nodes.supervisor.netlink.nlmsg import Address
from nodes.uapi import socket as uapi

_TIMEVAL = struct.Struct("=qq")
_EXT_ACK, _CAP_ACK = 11, 10  # NETLINK_EXT_ACK, NETLINK_CAP_ACK
_NOTIFICATIONS_MAX = 256  # that wait; those that come after are lost, and the receiver is told (ENOBUFS)
_T = TypeVar("_T")


def receive_deadline(sock: socket.socket) -> float | None:
    """Of a call that begins now, by SO_RCVTIMEO; None: it may wait for ever."""
    value = sock.getsockopt(socket.SOL_SOCKET, uapi.SO_RCVTIMEO, _TIMEVAL.size)
    seconds, micros = _TIMEVAL.unpack(value)
    return time.monotonic() + seconds + micros / 1e6 if seconds or micros else None


def reached(channel: str) -> Host:
    """The host of that control channel, as a call of a program meets it. ECONNREFUSED where there is none."""
    try:
        return Host(channel)
    except HostError as e:
        raise OSError(errno.ECONNREFUSED, str(e)) from None


class NetlinkFile:
    """`port`: its port id, 0 until it is bound. `options`: those of SOL_NETLINK by number. `groups`: the
    multicast groups it is a member of."""

    def __init__(self, channel: str, kind: int, nonblocking: bool) -> None:
        self.kind = kind
        self.port = 0
        self.options: dict[int, int] = {}
        self.groups: set[int] = set()
        self._channel = channel
        self._host: Host | None = None
        self._turn = threading.Lock()  # one request at a time
        self._closed = False
        self._waiting: deque[bytes] = deque()
        self._queue = threading.Lock()
        self._overrun = False
        self._theirs, self._own = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_RDWR | (os.O_NONBLOCK if nonblocking else 0))

    @property
    def fd(self) -> int:
        return self._theirs.fileno()

    @property
    def address(self) -> Address:
        return Address(self.port, bool(self.options.get(_CAP_ACK)), bool(self.options.get(_EXT_ACK)))

    def ask(self, request: Callable[[Callable[[], Host]], _T]) -> _T:
        """What `request` returns, given the Host of a control channel of its own; for a thread. The Host
        raises ECONNREFUSED when the endpoint is gone. Requests come one after the other."""
        try:
            with self._turn:
                return request(self._reached)
        finally:
            if self._closed:
                self._hang_up()

    def _reached(self) -> Host:
        if self._host is None:
            self._host = reached(self._channel)
        return self._host

    def put(self, datagrams: Iterable[bytes]) -> None:
        """The program may receive them."""
        with self._queue:
            was_empty = not self._waiting
            self._waiting += datagrams
            if was_empty and self._waiting and not self._closed:
                self._own.send(b"\0")

    def notify(self, datagram: bytes) -> None:
        """Of a multicast group; lost where too many wait."""
        if len(self._waiting) < _NOTIFICATIONS_MAX:
            self.put([datagram])
        else:
            self._overrun = True

    def take(self, flags: int) -> Generator[Wait, int, bytes]:
        """The next datagram; with MSG_PEEK it stays the next. EAGAIN where the call may not wait."""
        deadline: float | None = None
        while not self._waiting:
            if flags & uapi.MSG_DONTWAIT or fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_NONBLOCK:
                raise BlockingIOError(errno.EAGAIN, "no datagram waits")
            deadline = deadline or receive_deadline(self._theirs)
            yield Wait(self, select.EPOLLIN, deadline)
        if self._overrun:
            self._overrun = False
            raise OSError(errno.ENOBUFS, "notifications were lost")
        if flags & uapi.MSG_PEEK:
            return self._waiting[0]
        with self._queue:
            datagram = self._waiting.popleft()
            if not self._waiting:
                self._theirs.recv(1, socket.MSG_DONTWAIT)
        return datagram

    def close(self) -> None:
        """The last descriptor is gone: what was bound through it ends, before this returns, or before a
        request ends that a thread is at."""
        with self._queue:
            self._closed = True
            self._theirs.close()
            self._own.close()
        if not self._turn.locked():
            self._hang_up()

    def _hang_up(self) -> None:
        with self._turn:
            host, self._host = self._host, None
        if host is not None:
            host.close()

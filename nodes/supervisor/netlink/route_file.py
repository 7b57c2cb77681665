"""A socket of NETLINK_ROUTE as a descriptor of the program: Linux's own, whose answers are looked at.

In: questions that the program has sent; datagrams of Linux. Out: datagrams for the program, and waits for
them. Owns a duplicate of the socket. Source: netlink_recvmsg (net/netlink/af_netlink.c).
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
from collections.abc import Generator
from contextlib import suppress

from nodes.supervisor.call import GoOn, Wait
from nodes.supervisor.netlink.netlink_file import receive_deadline
from nodes.supervisor.netlink.rtnl import Answers
from nodes.uapi import socket as uapi

_LOOK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class RouteFile:
    """`answers`: those that are due."""

    def __init__(self, kind: int, nonblocking: bool, ifindexes: frozenset[int]) -> None:
        self.answers = Answers(ifindexes)
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.setblocking(not nonblocking)

    @property
    def fd(self) -> int:
        return self._socket.fileno()

    def take(self, flags: int) -> Generator[Wait, int, bytes]:
        """The next datagram; with MSG_PEEK it stays the next. GoOn where it is Linux's as it is, or none may
        be waited for: Linux makes the call. What is the host's comes in datagrams of its own before the last
        one of a dump, which stays with Linux until then: poll, select and epoll are right all the time."""
        peek = bool(flags & uapi.MSG_PEEK)
        deadline: float | None = None
        while True:
            datagram = self._next()
            if datagram is None:
                if flags & uapi.MSG_DONTWAIT or fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_NONBLOCK:
                    raise GoOn
                deadline = deadline or receive_deadline(self._socket)
                yield Wait(self, select.EPOLLIN, deadline)
                continue
            if (first := self.answers.before(datagram)) is not None:
                if not peek:
                    self.answers.told(first)
                return first
            exchanged = self.answers.exchanged(datagram)
            if not peek or not exchanged:
                self.answers.taken(datagram)
            if exchanged == datagram:
                raise GoOn
            if not peek or not exchanged:
                with suppress(BlockingIOError):  # another thread of the program was faster
                    self._socket.recv(len(datagram), socket.MSG_DONTWAIT)
            if exchanged:
                return exchanged

    def _next(self) -> bytes | None:
        """Linux's next datagram, which it keeps. Asked for as much as there is, not more: the next datagram
        of a dump is as long as the longest buffer that the socket has seen; the program's may be short."""
        try:
            length = self._socket.recv_into(bytearray(1), 1, _LOOK | socket.MSG_TRUNC)
            return self._socket.recv(length, _LOOK)
        except BlockingIOError:
            return None

    def close(self) -> None:
        self._socket.close()

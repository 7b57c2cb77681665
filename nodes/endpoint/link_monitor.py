"""Whether the interfaces beneath the NICs are up, and have a carrier: `ip link set ... up|down` closes and
opens the NIC.

In: rtnetlink's notifications. Out: (ifindex, state) for each change, in order. Owns the netlink socket.
Source: rtnetlink(7), netdevice(7), include/uapi/linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_RTMGRP_LINK = 1
_RTM_NEWLINK = 16
_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_IFINFOMSG = struct.Struct("=BBHiII")  # family, padding, type, index, flags, change
_IFF_UP, _IFF_RUNNING = 1, 0x40
_SIOCGIFFLAGS = 0x8913
_RECEIVE_BYTES = 65536


class LinkState(NamedTuple):
    """`up`: it was not taken down; `carrier`: there is another end that is up."""

    up: bool
    carrier: bool

    @classmethod
    def of(cls, flags: int) -> LinkState:
        return cls(bool(flags & _IFF_UP), bool(flags & _IFF_RUNNING))


class LinkMonitor:
    """`interfaces`: the ifindex of each, by name. They count as up until `changes` has said otherwise."""

    def __init__(self, interfaces: Mapping[str, int]) -> None:
        self._interfaces = interfaces
        self._states = dict.fromkeys(interfaces.values(), LinkState(True, True))
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        self._socket.bind((0, _RTMGRP_LINK))
        self._missed = True  # what happened before the socket was bound

    def fileno(self) -> int:
        return self._socket.fileno()

    def changes(self) -> Iterator[tuple[int, LinkState]]:
        """All that have happened since the last call, or since the start."""
        if self._missed:
            self._missed = False
            yield from self._differences(self._ask())
        while (datagram := self._receive()) is not None:
            yield from self._differences(self._ask() if datagram == b"" else _parse(datagram))

    def _receive(self) -> bytes | None:
        """The next datagram; None when there is no more; b'' when the kernel had no room for one."""
        try:
            return self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError as e:
            if e.errno == errno.ENOBUFS:
                return b""
            raise

    def _differences(self, states: Iterator[tuple[int, LinkState]]) -> Iterator[tuple[int, LinkState]]:
        for ifindex, state in states:
            if self._states.get(ifindex, state) != state:
                self._states[ifindex] = state
                yield ifindex, state

    def _ask(self) -> Iterator[tuple[int, LinkState]]:
        """The state of every interface now; one that is gone is left out."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for name, ifindex in self._interfaces.items():
                try:
                    answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sH14x8x", name.encode(), 0))
                except OSError:
                    continue
                yield ifindex, LinkState.of(struct.unpack_from("=H", answer, 16)[0])

    def close(self) -> None:
        self._socket.close()


def _parse(datagram: bytes) -> Iterator[tuple[int, LinkState]]:
    """The state of the link in each message; other messages are skipped."""
    at = 0
    while at + _NLMSGHDR.size + _IFINFOMSG.size <= len(datagram):
        length, kind, *_ = _NLMSGHDR.unpack_from(datagram, at)
        if kind == _RTM_NEWLINK:
            _, _, _, ifindex, flags, _ = _IFINFOMSG.unpack_from(datagram, at + _NLMSGHDR.size)
            yield ifindex, LinkState.of(flags)
        at += max(_NLMSGHDR.size, -(-length // 4) * 4)

"""Whether the interfaces beneath the NICs are up: `ip link set ... up|down` closes and opens the NIC.

In: rtnetlink's notifications. Out: (ifindex, up) for each change, in order. Owns the netlink socket. A link
without a carrier is up. Source: rtnetlink(7), netdevice(7), include/uapi/linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Iterator, Mapping

_RTMGRP_LINK = 1
_RTM_NEWLINK = 16
_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_IFINFOMSG = struct.Struct("=BBHiII")  # family, padding, type, index, flags, change
_IFF_UP = 1
_SIOCGIFFLAGS = 0x8913
_RECEIVE_BYTES = 65536


class LinkMonitor:
    """`interfaces`: the ifindex of each, by name. They count as up until `changes` has said otherwise."""

    def __init__(self, interfaces: Mapping[str, int]) -> None:
        self._interfaces = interfaces
        self._up = dict.fromkeys(interfaces.values(), True)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        self._socket.bind((0, _RTMGRP_LINK))
        self._missed = True  # what happened before the socket was bound

    def fileno(self) -> int:
        return self._socket.fileno()

    def changes(self) -> Iterator[tuple[int, bool]]:
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

    def _differences(self, states: Iterator[tuple[int, bool]]) -> Iterator[tuple[int, bool]]:
        for ifindex, up in states:
            if self._up.get(ifindex, up) != up:
                self._up[ifindex] = up
                yield ifindex, up

    def _ask(self) -> Iterator[tuple[int, bool]]:
        """The state of every interface now; one that is gone is left out."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for name, ifindex in self._interfaces.items():
                try:
                    answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sH14x8x", name.encode(), 0))
                except OSError:
                    continue
                yield ifindex, bool(struct.unpack_from("=H", answer, 16)[0] & _IFF_UP)

    def close(self) -> None:
        self._socket.close()


def _parse(datagram: bytes) -> Iterator[tuple[int, bool]]:
    """The state of the link in each message; other messages are skipped."""
    at = 0
    while at + _NLMSGHDR.size + _IFINFOMSG.size <= len(datagram):
        length, kind, *_ = _NLMSGHDR.unpack_from(datagram, at)
        if kind == _RTM_NEWLINK:
            _, _, _, ifindex, flags, _ = _IFINFOMSG.unpack_from(datagram, at + _NLMSGHDR.size)
            yield ifindex, bool(flags & _IFF_UP)
        at += max(_NLMSGHDR.size, -(-length // 4) * 4)

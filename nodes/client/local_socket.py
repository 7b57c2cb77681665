"""A connection between two processes of a machine, of records, one of which may carry a descriptor.

In: records. Out: the same, in order. Owns its socket. It is AF_UNIX, beside the emulated network. Its address
is the name that the kernel chooses, five hexadecimal digits (unix(7)), which stands for the port.
"""

from __future__ import annotations

import socket
from typing import Any


class MachineSocket:
    """Satisfies nodes.client.runtime.LocalSocket."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        self._sock = sock or socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def bind(self, _address: Any, /) -> None:
        self._sock.bind("")

    def listen(self, backlog: int = 1, /) -> None:
        self._sock.listen(backlog)

    def accept(self) -> tuple[MachineSocket, Any]:
        sock, address = self._sock.accept()
        sock.settimeout(self._sock.gettimeout())
        return MachineSocket(sock), address

    def connect(self, address: Any, /) -> None:
        self._sock.connect(b"\0%05x" % address[1])

    def getsockname(self) -> tuple[str, int]:
        return "", int(self._sock.getsockname()[1:], 16)

    def setsockopt(self, level: int, optname: int, value: int | bytes, /) -> None:
        """Options of TCP and of NICs mean nothing here."""

    def settimeout(self, value: float | None, /) -> None:
        self._sock.settimeout(value)

    def send(self, record: bytes, /) -> int:
        return self._sock.send(record)

    def send_descriptor(self, fd: int, /) -> None:
        socket.send_fds(self._sock, [b"\0"], [fd])

    def recv(self, bufsize: int, /) -> bytes:
        return self._sock.recv(bufsize)

    def receive_descriptor(self) -> int | None:
        _, fds, _, _ = socket.recv_fds(self._sock, 1, 1)
        return fds[0] if fds else None

    def shutdown(self, how: int, /) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        self._sock.close()

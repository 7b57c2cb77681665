"""The buffers of a socket that stands for a wire.

In: a socket, how much it should hold. Out: it holds that, or as much as the machine lets a user have. Owns
nothing. SO_RCVBUFFORCE asks for CAP_NET_ADMIN over the whole machine, which root of a user namespace lacks:
there net.core.rmem_max is the limit. socket(7), sockopt_capable (net/core/sock.c).
"""

from __future__ import annotations

import socket

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33


def set_buffers(sock: socket.socket, receive_bytes: int, send_bytes: int) -> None:
    """Raises OSError."""
    _set(sock, _SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_bytes)
    _set(sock, _SO_SNDBUFFORCE, socket.SO_SNDBUF, send_bytes)


def set_send_buffer(sock: socket.socket, size_bytes: int) -> None:
    """`size_bytes` as Linux then counts, which takes twice what it is told. Raises OSError."""
    _set(sock, _SO_SNDBUFFORCE, socket.SO_SNDBUF, size_bytes // 2)


def _set(sock: socket.socket, force: int, polite: int, size_bytes: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, size_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, polite, size_bytes)

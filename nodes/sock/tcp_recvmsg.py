"""recvmsg: from the receive queue to the application.

In: a request and a socket. Out: ordinary bytes copied to user memory, or dmabuf_cmsgs with tokens for
what lies in device memory; one call never mixes the two. Nothing of a failed call is consumed.
Source: tcp_recvmsg_locked and tcp_recvmsg_dmabuf, net/ipv4/tcp.c.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from nodes import uapi
from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.tcp.state import State

_CMSG_ROOM = uapi.cmsg_len(uapi.DMABUF_CMSG.size)
_CMSG_SPACE = uapi.cmsg_space(uapi.DMABUF_CMSG.size)


@dataclass(frozen=True, slots=True)
class RecvRequest:
    """`length` bytes at most; `control_bytes` of room for control messages; `buffer` is user memory for
    ordinary data (a registered region's, or the call's own), shorter than `length` where there is none."""

    length: int
    control_bytes: int
    flags: int
    buffer: memoryview


@dataclass(frozen=True, slots=True)
class Received:
    """`count` bytes in all; `copied` of them lie in the buffer, the others are described by `cmsgs`:
    consecutive struct dmabuf_cmsg, each the body of one SCM_DEVMEM_DMABUF."""

    count: int
    copied: int = 0
    cmsgs: bytes = b""


def recvmsg(sock: DevmemSocket, request: RecvRequest, now: float) -> Received:
    """Raises BlockingIOError when too little has arrived, EFAULT (table C1, C5), ETOOSMALL (C4),
    ENOTCONN (C9) and the connection's error."""
    ended = _check(sock, request)
    queue = sock.recv_queue
    if queue.length == 0:
        if ended:
            return Received(0)
        raise BlockingIOError(errno.EAGAIN, "nothing to read")
    if request.length == 0:
        return Received(0)
    if request.flags & uapi.MSG_TRUNC:
        received = Received(min(request.length, queue.length))
    elif not queue.unreadable:
        received = _copy(sock, request)
    elif request.flags & uapi.MSG_SOCK_DEVMEM:
        received = _describe(sock, request)
    else:
        raise error(errno.EFAULT, "the data lies in device memory: receive it with MSG_SOCK_DEVMEM")
    if not request.flags & uapi.MSG_PEEK:
        queue.consume(received.count)
        if sock.connection is not None:
            sock.connection.consumed(received.count, now)
            sock.inet.touch(sock)
    return received


def _check(sock: DevmemSocket, request: RecvRequest) -> bool:
    """Whether the stream has ended; BlockingIOError when the caller must wait for more."""
    connection, queued = sock.connection, sock.recv_queue.length
    if connection is None:
        sock.raise_error()
        raise error(errno.ENOTCONN)
    ended = connection.fin_received or connection.state is State.CLOSED
    if ended:
        if queued == 0 and not connection.fin_received:
            sock.raise_error()
        return True
    if request.flags & uapi.MSG_DONTWAIT:
        return False
    target = request.length if request.flags & uapi.MSG_WAITALL else sock.options.rcvlowat
    # More than half of the buffer need not ever be there at once: the window would close first.
    target = min(target, request.length, sock.options.receive_buffer_bytes // 2)
    if queued < target:
        raise BlockingIOError(errno.EAGAIN, f"{queued} of {target} bytes have arrived")
    return False


def _copy(sock: DevmemSocket, request: RecvRequest) -> Received:
    """Ordinary data: one copy to user memory."""
    at, cpu = 0, sock.inet.cpu
    for piece in sock.recv_queue.pieces(min(request.length, len(request.buffer))):
        cpu.copy(piece.netmem.region, piece.offset, request.buffer[at : at + piece.size])
        at += piece.size
    if at == 0:
        raise error(errno.EFAULT, "the data lies in host memory and the call brought no buffer for it")
    return Received(at, copied=at)


def _describe(sock: DevmemSocket, request: RecvRequest) -> Received:
    """Device memory: a token for each piece, as many as the control buffer holds."""
    count, room = 0, request.control_bytes
    pack, add = uapi.DMABUF_CMSG.pack, sock.user_frags.add
    cmsgs = []
    for piece in sock.recv_queue.pieces(request.length):
        if room < _CMSG_ROOM:
            break
        room -= _CMSG_SPACE
        netmem = piece.netmem
        netmem.get()
        cmsgs.append(pack(piece.offset, piece.size, add(netmem), netmem.dmabuf_id, 0))
        count += piece.size
    if not cmsgs:
        raise error(
            uapi.ETOOSMALL,
            f"control buffer of {request.control_bytes} bytes: one fragment needs {_CMSG_ROOM}",
        )
    return Received(count, cmsgs=b"".join(cmsgs))

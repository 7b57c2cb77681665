"""recvmsg: from the receive queue to the application.

In: a request and a socket. Out: ordinary bytes, copied to user memory; or dmabuf_cmsgs, each with the token
of a fragment in device memory, or for a linear part, whose bytes are copied. One call never mixes readable
and unreadable packets. A failed call consumes nothing. Source: tcp_recvmsg_locked and tcp_recvmsg_dmabuf,
net/ipv4/tcp.c.
"""

from __future__ import annotations

import errno
import struct
from builtins import memoryview  # a compiled dataclass finds the type of a field among the imports
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.skb import Frag
from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.tcp.state import State
from nodes.uapi import socket as uapi

_INT = struct.Struct("=i")
_dmabuf_cmsg: Final[Callable[[int, int, int, int, int], bytes]] = uapi.DMABUF_CMSG.pack
_CMSG_ROOM: Final = uapi.cmsg_len(uapi.DMABUF_CMSG.size)
_CMSG_SPACE: Final = uapi.cmsg_space(uapi.DMABUF_CMSG.size)
_CLOSED: Final = State.CLOSED


@dataclass(slots=True, init=False)
class RecvRequest:
    """At most `length` bytes, with room for `control_bytes` of control messages. `buffer` is user memory for
    ordinary data; it is shorter than `length` when the caller gave a budget without memory. `before`: bytes
    of ordinary data that earlier requests of the same call took; `length` counts them."""

    length: int
    control_bytes: int
    flags: int
    buffer: memoryview
    before: int = 0

    def __init__(
        self, length: int, control_bytes: int, flags: int, buffer: memoryview, before: int = 0
    ) -> None:
        self.length = length
        self.control_bytes = control_bytes
        self.flags = flags
        self.buffer = buffer
        self.before = before


@dataclass(slots=True, init=False)
class Received:
    """`count` bytes in all, `copied` of them in the buffer. `cmsgs`: struct dmabuf_cmsg after struct
    dmabuf_cmsg, in stream order. Each is the body of an SCM_DEVMEM_DMABUF; with dmabuf_id 0 it is that of an
    SCM_DEVMEM_LINEAR, whose frag_size bytes are the next bytes of the buffer. `control`: what follows them:
    level, type and body of each message."""

    count: int
    copied: int = 0
    cmsgs: bytes = b""
    control: tuple[tuple[int, int, bytes], ...] = ()

    def __init__(
        self, count: int, copied: int = 0, cmsgs: bytes = b"",
        control: tuple[tuple[int, int, bytes], ...] = (),
    ) -> None:  # fmt: skip
        self.count = count
        self.copied = copied
        self.cmsgs = cmsgs
        self.control = control


def recvmsg(sock: DevmemSocket, request: RecvRequest, now: float) -> Received:
    """One attempt. Errors as RecvCall.attempt."""
    return RecvCall(sock, request).attempt(now)


class RecvCall:
    """One recvmsg, from its first attempt to its answer. It keeps the bytes that it has taken while it waits
    for more (SO_RCVLOWAT, MSG_WAITALL). The caller may replace `buffer` until bytes were copied."""

    def __init__(self, sock: DevmemSocket, request: RecvRequest) -> None:
        self.buffer = request.buffer
        self._sock = sock
        self._length = request.length
        self._flags = request.flags
        self._control = request.control_bytes
        self._room = request.control_bytes
        self._before = self._count = request.before
        self._copied = 0
        self._cmsgs: list[bytes] = []
        self._kind: bool | None = False if request.before else None  # whether the bytes taken are unreadable

    def attempt(self, now: float, wait: bool = True) -> Received:
        """The answer. BlockingIOError when the call may `wait` and too little has arrived, or nothing has.
        EFAULT (table C1, C5), ETOOSMALL (C4), ENOTCONN (C9), EINVAL for MSG_OOB without urgent data, and the
        connection's error."""
        if wait and self.must_wait(now):
            arrived = self._count + self._sock.recv_queue.length
            raise BlockingIOError(errno.EAGAIN, f"{arrived} bytes have arrived")
        return self.take(now, wait)

    def must_wait(self, now: float) -> bool:
        """Whether too little has arrived for a call that may wait. Errors as `attempt`."""
        if self._ended() or self._flags & uapi.MSG_DONTWAIT or self._worthwhile():
            return False
        self._consumed(0, now)  # Linux has copied by now what has arrived
        return True

    def take(self, now: float, wait: bool) -> Received:
        """`attempt` of a call that must not wait before it takes something."""
        ended = self._ended()
        queue = self._sock.recv_queue
        wait = wait and not ended and not self._flags & uapi.MSG_DONTWAIT
        if queue.length and self._length:
            self._take(now)
            # A queue that is not empty now has a packet at which the call must stop.
            if wait and not queue.length and self._count < self._target():
                raise BlockingIOError(errno.EAGAIN, f"{self._count} bytes have arrived")
        elif not self._count and not ended and not queue.length:
            raise BlockingIOError(errno.EAGAIN, "nothing to read")
        cmsgs = b"".join(self._cmsgs)
        return Received(self._count - self._before, self._copied, cmsgs, self._control_after())

    def _control_after(self) -> tuple[tuple[int, int, bytes], ...]:
        """A stamp and the number of unread bytes, as far as the options ask for them (tcp_recv_timestamp,
        tcp_inq_hint)."""
        sock = self._sock
        control: tuple[tuple[int, int, bytes], ...] = ()
        if sock.timestamping.flags and self._count:
            peek = bool(self._flags & uapi.MSG_PEEK)
            offset = sock.recv_queue.total - sock.recv_queue.length + (self._count if peek else 0)
            control = sock.timestamping.control(sock.timestamping.received_at(offset, peek))
        if sock.options.inq:
            connection, unread = sock.connection, sock.recv_queue.length
            ended = connection is not None and connection.fin_received
            body = _INT.pack(unread or ended)
            control += ((uapi.IPPROTO_TCP, uapi.TCP_CM_INQ, body),)
        return control

    def _ended(self) -> bool:
        """Whether no more data will arrive."""
        sock = self._sock
        connection = sock.connection
        if connection is None:
            sock.raise_error()
            if sock.receive_shutdown:
                return True
            raise error(errno.ENOTCONN)
        if self._flags & uapi.MSG_OOB:
            raise error(errno.EINVAL, "there is no urgent data")
        if connection.fin_received:
            return True
        live = connection.state is not _CLOSED and not sock.receive_shutdown
        if live and (not sock.pending_error or sock.recv_queue.length):
            return False
        if not self._count and not sock.recv_queue.length:
            sock.raise_error()
        return True

    def _target(self) -> int:
        """sock_rcvlowat: how many bytes the call waits for."""
        wanted = self._length if self._flags & uapi.MSG_WAITALL else self._sock.options.rcvlowat
        return min(wanted, self._length) or 1

    def _worthwhile(self) -> bool:
        """Whether to take from the queue: it holds enough bytes, or a packet that ends the call."""
        queue = self._sock.recv_queue
        # More than half of the window may never be queued at once: it closes first.
        connection = self._sock.connection
        most = self._length if connection is None else max(1, connection.readable_bytes)
        if queue.length >= min(self._target() - self._count, most):
            return True
        if not queue.length or self._flags & uapi.MSG_TRUNC:
            return False
        if queue.mixed or self._kind not in (None, queue.unreadable):
            return True
        without_flag = not self._flags & uapi.MSG_SOCK_DEVMEM
        return queue.unreadable and (without_flag or queue.fragments * _CMSG_SPACE > self._room)

    def _take(self, now: float) -> None:
        """Take from the queue's first packets, all of one kind."""
        queue, left = self._sock.recv_queue, self._length - self._count
        if self._flags & uapi.MSG_TRUNC:
            taken = min(left, queue.length)
        elif self._kind not in (None, queue.unreadable):
            return
        else:
            self._kind = queue.unreadable
            taken = self._describe(left) if self._kind else self._copy(left)
        self._count += taken
        if taken and not self._flags & uapi.MSG_PEEK:
            queue.consume(taken)
            self._consumed(taken, now)

    def _consumed(self, count: int, now: float) -> None:
        connection = self._sock.connection
        if connection is not None and (connection.consumed(count, now) or count):
            self._sock.stack.touch(self._sock)

    def _copy(self, left: int) -> int:
        """Ordinary data: one copy to user memory, as much as fits there."""
        taken = 0
        for piece in self._sock.recv_queue.pieces(min(left, len(self.buffer) - self._copied)):
            self._copy_piece(piece)
            taken += piece.size
        if not taken and not self._count:
            raise error(errno.EFAULT, "the data lies in host memory and the call brought no buffer for it")
        return taken

    def _copy_piece(self, piece: Frag) -> None:
        at = self._copied
        self._copied += piece.size
        self._sock.stack.cpu.copy(piece.netmem.region, piece.offset, self.buffer[at : self._copied])

    def _describe(self, left: int) -> int:
        """Packets in device memory: a token for each fragment, as many as the control buffer holds. A linear
        part lies in host memory: it is copied, then described."""
        if not self._flags & uapi.MSG_SOCK_DEVMEM:
            return self._refuse(0, errno.EFAULT, "the data lies in device memory: use MSG_SOCK_DEVMEM")
        taken, room = 0, self._room
        user_frags, cmsgs = self._sock.user_frags, self._cmsgs
        for piece in self._sock.recv_queue.pieces(left):
            netmem = piece.netmem
            if not netmem.is_net_iov and piece.size > len(self.buffer) - self._copied:
                why = f"{piece.size} bytes lie in host memory and the call brought no buffer for them"
                return self._refuse(taken, errno.EFAULT, why)
            if room < _CMSG_ROOM:
                why = f"control buffer of {self._control} bytes: one fragment needs {_CMSG_ROOM}"
                return self._refuse(taken, uapi.ETOOSMALL, why)
            room -= _CMSG_SPACE
            if netmem.is_net_iov:
                try:
                    token = user_frags.add(netmem)
                except OSError as full:
                    return self._refuse(taken, full.errno or errno.EBUSY, str(full.strerror))
                netmem.get()
                cmsgs.append(_dmabuf_cmsg(piece.offset, piece.size, token, netmem.dmabuf_id, 0))
            else:
                self._copy_piece(piece)
                cmsgs.append(_dmabuf_cmsg(0, piece.size, 0, 0, 0))
            taken += piece.size
            self._room = room
        return taken

    def _refuse(self, taken: int, number: int, text: str) -> int:
        """Raise the error if the call has no byte yet; else return the short count."""
        if not taken and not self._count:
            raise error(number, text)
        return taken

"""recv, recvfrom, recvmsg, recvmmsg, read and readv on a socket of the host's stack.

In: trapped calls. Out: bytes and control messages in the program's memory. Owns the scratch memory, which
the endpoint copies into: from there it is one copy into the program.
Source: net/socket.c (___sys_recvmsg, do_recvmmsg), tcp_recvmsg (net/ipv4/tcp.c).
"""

from __future__ import annotations

import select
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from nodes.client.host import Host
from nodes.supervisor import describe, layouts, tracee
from nodes.supervisor.call import Call, Handler, InThread, Wait
from nodes.supervisor.layouts import Cmsg, Iovec, MsgHdr
from nodes.supervisor.socket_file import SocketFile
from nodes.uapi import socket as uapi

SCRATCH_BYTES = 1 << 20
_READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_LINEAR = uapi.SCM_DEVMEM_LINEAR
_DEVMEM = (_LINEAR, uapi.SCM_DEVMEM_DMABUF)
Receiving = Generator[Wait | InThread, int, tuple[int, list[Cmsg], int]]


@dataclass(slots=True)
class _Received:
    """By the attempts of one call so far: bytes, those of them that were copied to the program's buffers,
    control messages, and flags."""

    count: int
    copied: int
    cmsgs: list[Cmsg]
    flags: int


class ReceiveCalls:
    """Of all the program's sockets: calls are attempted one after the other."""

    def __init__(self, host: Host) -> None:
        self._memory = host.memory(SCRATCH_BYTES)
        self._view = self._memory.view

    def read(self, call: Call, file: SocketFile) -> Handler:
        return (yield from self._receive(call, file, [Iovec(call.args[1], call.args[2])], 0))

    def readv(self, call: Call, file: SocketFile) -> Handler:
        iov = layouts.read_iovecs(call.pid, call.args[1], call.args[2])
        return (yield from self._receive(call, file, iov, 0))

    def recvfrom(self, call: Call, file: SocketFile) -> Handler:
        """TCP names no sender: the caller's address length becomes 0."""
        flags = call.int_arg(3)
        if flags & uapi.MSG_ERRQUEUE:
            message = MsgHdr(0, 0, 0, (Iovec(call.args[1], call.args[2]),), 0, 0)
            return (yield from self._message(call, file, message, flags))[0]
        count = yield from self._receive(call, file, [Iovec(call.args[1], call.args[2])], flags)
        if call.args[4] and call.args[5]:
            call.write(5, layouts.INT.pack(0))
        return count

    def recvmsg(self, call: Call, file: SocketFile) -> Handler:
        flags = call.int_arg(2)
        message = layouts.read_msghdr(call.pid, call.args[1])
        count, cmsgs, left_flags = yield from self._message(call, file, message, flags)
        layouts.write_message(call.pid, message, cmsgs, left_flags)
        shown = describe.message(message.iov, cmsgs, left_flags)
        call.shown = [str(call.fd), shown, describe.flags(flags)]
        return count

    def recvmmsg(self, call: Call, file: SocketFile) -> Handler:
        """The first message waits; the others are what has arrived by then (MSG_WAITFORONE)."""
        flags, done = call.int_arg(3), 0
        for at in range(min(call.args[2], uapi.UIO_MAXIOV)):
            header = call.args[1] + at * layouts.MMSGHDR_BYTES
            message = layouts.read_msghdr(call.pid, header)
            try:
                got = yield from self._message(call, file, message, flags | (done and uapi.MSG_DONTWAIT))
            except OSError:
                if not done:
                    raise
                break
            layouts.write_message(call.pid, message, got[1], got[2])
            tracee.write(call.pid, header + layouts.MSG_LEN_AT, layouts.INT.pack(got[0]))
            done += 1
        return done

    def _receive(self, call: Call, file: SocketFile, iov: Sequence[Iovec], flags: int) -> Handler:
        """Ordinary bytes; with MSG_WAITALL until the buffers are full."""
        message = MsgHdr(0, 0, 0, tuple(iov), 0, 0)
        count, _, _ = yield from self._message(call, file, message, flags)
        return count

    def _message(self, call: Call, file: SocketFile, message: MsgHdr, flags: int) -> Receiving:
        """One recvmsg, of as many attempts as MSG_WAITALL needs."""
        if flags & uapi.MSG_ERRQUEUE:
            return self._completion(call, file, message, flags)
        wanted = min(sum(each.length for each in message.iov), layouts.IO_MAX)
        got = _Received(0, 0, [], 0)
        while True:
            attempt = partial(self._attempt, call, file, message, flags, wanted, got)
            try:
                count = yield from file.until(attempt, _READABLE, flags, uapi.SO_RCVTIMEO)
            except OSError:
                if not got.count:
                    raise
                break
            if not count or got.count >= wanted or not flags & uapi.MSG_WAITALL or flags & uapi.MSG_PEEK:
                break
        return got.count, got.cmsgs, got.flags

    def _attempt(
        self, call: Call, file: SocketFile, message: MsgHdr, flags: int, wanted: int, got: _Received
    ) -> int:
        """Receive what is there, and write it behind what was received before; returns how many bytes."""
        buffers = after([each for each in message.iov if each.base], got.copied)
        room = min(sum(each.length for each in buffers), SCRATCH_BYTES, wanted - got.count)
        budget = wanted - got.count - room
        into: list[memoryview | int] = [self._view[:room]] if room else []
        control = message.control_bytes - sum(uapi.cmsg_space(len(body)) for _, _, body in got.cmsgs)
        count, cmsgs, left_flags, _ = file.sock.recvmsg_into([*into, budget], max(0, control), flags)
        copied = count if not cmsgs or all(kind not in _DEVMEM for _, kind, _ in cmsgs) else 0
        copied += sum(uapi.DMABUF_CMSG.unpack(body)[1] for _, kind, body in cmsgs if kind == _LINEAR)
        if not flags & uapi.MSG_TRUNC:
            layouts.scatter(call.pid, buffers, self._view[: min(copied, room)])
        got.count += count
        got.copied += copied
        got.cmsgs += cmsgs
        if not flags & uapi.MSG_PEEK:
            file.tokens.received(cmsgs)
        got.flags |= left_flags
        return count

    def _completion(
        self, call: Call, file: SocketFile, message: MsgHdr, flags: int
    ) -> tuple[int, list[Cmsg], int]:
        """One event of the error queue; such a call never waits."""
        room = min(sum(each.length for each in message.iov), SCRATCH_BYTES)
        data, cmsgs, left_flags, _ = file.sock.recvmsg(room, message.control_bytes, flags)
        layouts.scatter(call.pid, message.iov, memoryview(data))
        return len(data), cmsgs, left_flags

    def close(self) -> None:
        """Unregister the scratch memory."""
        self._memory.close()


def after(iov: Iterable[Iovec], done: int) -> list[Iovec]:
    """The buffers without their first `done` bytes."""
    left = []
    for base, length in iov:
        skip = min(done, length)
        done -= skip
        if length > skip:
            left.append(Iovec(base + skip, length - skip))
    return left

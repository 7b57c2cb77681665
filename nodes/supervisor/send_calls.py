"""send, sendto, sendmsg, sendmmsg, write, writev and sendfile on a socket of the host's stack.

In: trapped calls. Out: bytes of the program's memory, or ranges of a bound dma-buf, given to the stack. Owns
the scratch memory, which the endpoint copies from.
Source: net/socket.c (____sys_sendmsg), tcp_sendmsg_locked (net/ipv4/tcp.c), do_sendfile (fs/read_write.c).
"""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from nodes.client.host import Host
from nodes.supervisor import describe, layouts, tracee
from nodes.supervisor.call import Call, Handler, InThread
from nodes.supervisor.layouts import Cmsg, Iovec
from nodes.supervisor.receive_calls import SCRATCH_BYTES, after
from nodes.supervisor.socket_file import SocketFile
from nodes.uapi import socket as uapi

_WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_OFF_T = 8


class SendCalls:
    """Of all the program's sockets."""

    def __init__(self, host: Host) -> None:
        self._memory = host.memory(SCRATCH_BYTES)
        self._view = self._memory.view

    def write(self, call: Call, file: SocketFile) -> Handler:
        return (yield from self._send(call, file, [Iovec(call.args[1], call.args[2])], 0))

    def writev(self, call: Call, file: SocketFile) -> Handler:
        iov = layouts.read_iovecs(call.pid, call.args[1], call.args[2])
        return (yield from self._send(call, file, iov, 0))

    def sendto(self, call: Call, file: SocketFile) -> Handler:
        """TCP ignores the address."""
        iov = [Iovec(call.args[1], call.args[2])]
        return (yield from self._send(call, file, iov, call.int_arg(3)))

    def sendmsg(self, call: Call, file: SocketFile) -> Handler:
        return (yield from self._sendmsg(call, file, call.args[1], call.int_arg(2)))

    def sendmmsg(self, call: Call, file: SocketFile) -> Handler:
        done = 0
        for at in range(min(call.args[2], uapi.UIO_MAXIOV)):
            header = call.args[1] + at * layouts.MMSGHDR_BYTES
            try:
                count = yield from self._sendmsg(call, file, header, call.int_arg(3))
            except OSError:
                if not done:
                    raise
                break
            assert isinstance(count, int)
            tracee.write(call.pid, header + layouts.MSG_LEN_AT, layouts.INT.pack(count))
            done += 1
        return done

    def _sendmsg(self, call: Call, file: SocketFile, at: int, flags: int) -> Handler:
        message = layouts.read_msghdr(call.pid, at)
        cmsgs = layouts.read_cmsgs(call.pid, message)
        call.shown = [str(call.fd), describe.message(message.iov, cmsgs), describe.flags(flags)]
        if any(kind == uapi.SCM_DEVMEM_DMABUF for level, kind, _ in cmsgs if level == uapi.SOL_SOCKET):
            ranges = [tuple(each) for each in message.iov]
            return (yield from self._whole(call, file, ranges, cmsgs, flags))
        if flags & uapi.MSG_ZEROCOPY or cmsgs:
            data = layouts.gather(call.pid, message.iov)
            return (yield from self._whole(call, file, [data], cmsgs, flags))
        return (yield from self._send(call, file, message.iov, flags))

    def _whole(
        self, call: Call, file: SocketFile, buffers: Sequence[object], cmsgs: Sequence[Cmsg], flags: int
    ) -> Handler:
        """A call that must stay one call, since its completion has one number: where it may wait, it does so
        in a thread, by a channel of its own."""
        try:
            if not file.blocks(flags):
                return file.sock.sendmsg(buffers, cmsgs, flags)
            return (yield InThread(partial(_blocking_sendmsg, file, buffers, cmsgs, flags)))
        except BrokenPipeError:
            self._sigpipe(call, flags)
            raise

    def _send(self, call: Call, file: SocketFile, iov: Sequence[Iovec], flags: int) -> Handler:
        """Ordinary bytes, until the last one is queued, as a blocking socket does; else what fits."""
        if flags & uapi.MSG_ZEROCOPY:
            return (yield from self._whole(call, file, [layouts.gather(call.pid, iov)], [], flags))
        wanted = min(sum(each.length for each in iov), layouts.IO_MAX)
        sent = 0
        while sent < wanted or not sent:
            part = self._fill(call.pid, after(iov, sent))
            more = uapi.MSG_MORE if sent + len(part) < wanted else 0
            attempt = partial(file.sock.send, part, flags | more)
            try:
                sent += yield from file.until(attempt, _WRITABLE, flags, uapi.SO_SNDTIMEO)
            except OSError as refused:
                if sent:
                    break
                if isinstance(refused, BrokenPipeError):
                    self._sigpipe(call, flags)
                raise
            if not wanted or not file.blocks(flags):
                break
        return sent

    def _fill(self, pid: int, iov: Sequence[Iovec]) -> memoryview:
        """The first bytes of the buffers, in the scratch memory."""
        at = 0
        for base, length in iov:
            data = tracee.read(pid, base, min(length, SCRATCH_BYTES - at))
            self._view[at : at + len(data)] = data
            at += len(data)
        return self._view[:at]

    def _sigpipe(self, call: Call, flags: int) -> None:
        if not flags & uapi.MSG_NOSIGNAL:
            with suppress(ProcessLookupError):
                os.kill(call.pid, signal.SIGPIPE)

    def sendfile(self, call: Call, file: SocketFile) -> Handler:
        """From a file of the program's, at its own offset or at the one that the third argument points to."""
        count, sent = min(call.args[3], layouts.IO_MAX), 0
        source = tracee.descriptor(call.pid, call.int_arg(1))
        try:
            at = int.from_bytes(call.read(2, _OFF_T), "little") if call.args[2] else None
            while sent < count:
                length = min(count - sent, SCRATCH_BYTES)
                data = os.read(source, length) if at is None else os.pread(source, length, at + sent)
                if not data:
                    break
                self._view[: len(data)] = data
                taken = 0
                while taken < len(data):
                    attempt = partial(file.sock.send, self._view[taken : len(data)], 0)
                    taken += yield from file.until(attempt, _WRITABLE, 0, uapi.SO_SNDTIMEO)
                    if not file.blocks():
                        break
                sent += taken
                if taken < len(data):
                    if at is None:
                        os.lseek(source, taken - len(data), os.SEEK_CUR)
                    break
        except BlockingIOError:
            if not sent:
                if at is None:
                    os.lseek(source, -len(data), os.SEEK_CUR)
                raise
        finally:
            os.close(source)
        if at is not None:
            call.write(2, (at + sent).to_bytes(_OFF_T, "little"))
        return sent

    def close(self) -> None:
        """Unregister the scratch memory."""
        self._memory.close()


def _blocking_sendmsg(file: SocketFile, buffers: Sequence[object], cmsgs: Sequence[Cmsg], flags: int) -> int:
    with file.sock.dup() as blocking:
        blocking.settimeout(None)
        try:
            return blocking.sendmsg(buffers, cmsgs, flags)
        except TimeoutError:
            raise BlockingIOError(errno.EAGAIN, "SO_SNDTIMEO") from None

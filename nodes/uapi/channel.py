"""The system-call channel: framed records and descriptors over an AF_UNIX socket of packets.

In and out: the records of `records`. A record is one packet; descriptors ride with it (SCM_RIGHTS). A channel
begins as its process's control channel; OpenSocket or AttachSocket make it a socket's. Owns the socket.
"""

from __future__ import annotations

import array
import errno
import mmap
import os
import socket
from contextlib import suppress
from typing import TypeVar

import msgspec

from nodes.uapi.syscalls import INLINE_BYTES, AnyReply, AnyRequest, Record

RECORD_BYTES = INLINE_BYTES + (64 << 10)  # the largest record: inline bytes and 1,024 cmsgs fit
_BUFFER_BYTES = 1 << 20
_MAX_FDS = 4
_FD_BYTES = array.array("i").itemsize


class ChannelClosed(ConnectionResetError):
    """The other side is gone: its process ended, or it refused us. ECONNRESET."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ECONNRESET, text)


_encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(AnyRequest)
_replies = msgspec.msgpack.Decoder(AnyReply)
_R = TypeVar("_R")


class Channel:
    """One end. Received descriptors are the caller's to close. `buffer` of RECORD_BYTES is where records
    arrive; channels that one thread serves may share it: an endpoint has thousands."""

    def __init__(self, sock: socket.socket, buffer: bytearray | None = None) -> None:
        self._socket = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        # A mapping takes memory only where a record has lain: most are short.
        self._buffer = mmap.mmap(-1, RECORD_BYTES) if buffer is None else buffer
        self._view = memoryview(self._buffer)

    @classmethod
    def connect(cls, path: str) -> Channel:
        """Raises OSError when nobody listens at `path`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return cls(sock)

    def fileno(self) -> int:
        return self._socket.fileno()

    def setblocking(self, blocking: bool) -> None:
        self._socket.setblocking(blocking)

    def settimeout(self, seconds: float | None) -> None:
        """Longest that a call waits, after which it raises TimeoutError."""
        self._socket.settimeout(seconds)

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        """Raises BlockingIOError when a non-blocking channel is full, ChannelClosed."""
        data = _encode(record)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([data], control)
        except (BrokenPipeError, ConnectionResetError):
            raise ChannelClosed("the channel is closed") from None

    def receive_request(self) -> tuple[AnyRequest, list[int]]:
        """The next request and its descriptors. Raises ChannelClosed, BlockingIOError, and
        msgspec.MsgspecError for bytes that are no request."""
        return self._receive(_requests)

    def receive_reply(self) -> tuple[AnyReply, list[int]]:
        return self._receive(_replies)

    def _receive(self, decoder: msgspec.msgpack.Decoder[_R]) -> tuple[_R, list[int]]:
        try:
            count, control, _, _ = self._socket.recvmsg_into(
                [self._buffer], socket.CMSG_SPACE(_MAX_FDS * _FD_BYTES), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            count, control = 0, []
        if count == 0:
            raise ChannelClosed("the channel is closed")
        fds = array.array("i")
        for _, _, data in control:
            fds.frombytes(data[: len(data) - len(data) % _FD_BYTES])
        try:
            return decoder.decode(self._view[:count]), list(fds)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            for fd in fds:
                os.close(fd)
            raise msgspec.DecodeError(str(e)) from None

    def hang_up(self, patience_s: float) -> None:
        """Close, and wait until the other end has closed too: what it did for us is then undone."""
        with suppress(OSError):  # it has gone already, or has other things to do
            self._socket.settimeout(patience_s)
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv_into(self._buffer):
                pass
        self._socket.close()

    def close(self) -> None:
        self._socket.close()

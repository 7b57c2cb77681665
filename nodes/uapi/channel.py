"""The system-call channel: records and descriptors over a SOCK_SEQPACKET socket of AF_UNIX.

In and out: the records of `syscalls`. A record is one packet, encoded with MessagePack; its descriptors come
with it (SCM_RIGHTS, unix(7)). A channel begins as a process's control channel; OpenSocket or AttachSocket
make it a socket's. Owns the socket.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
from contextlib import suppress
from typing import TypeVar

import msgspec

from nodes.uapi.channel_closed import ChannelClosed
from nodes.uapi.syscalls import INLINE_BYTES, AnyReply, AnyRequest, Record

RECORD_BYTES = INLINE_BYTES + (64 << 10)  # the largest record: inline bytes and 1,024 cmsgs fit
_BUFFER_BYTES = 1 << 20
_MAX_FDS = 4
_FD_BYTES = array.array("i").itemsize
_CONTROL_BYTES = socket.CMSG_SPACE(_MAX_FDS * _FD_BYTES)
_CTRUNC, _CLOEXEC = int(socket.MSG_CTRUNC), int(socket.MSG_CMSG_CLOEXEC)  # `&` of an enum's member takes 2 us


_encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(AnyRequest)
_replies = msgspec.msgpack.Decoder(AnyReply)
_R = TypeVar("_R")


class Channel:
    """One end. Received descriptors are the caller's to close. Records are received into `buffer`, of
    RECORD_BYTES: channels that one thread serves may share it, as an endpoint's thousands do."""

    def __init__(self, sock: socket.socket, buffer: bytearray | None = None) -> None:
        self._socket = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        # A mapping: only pages that a record was written to take memory, and most records are short.
        self._buffer = mmap.mmap(-1, RECORD_BYTES) if buffer is None else buffer
        self._view = memoryview(self._buffer)
        self.lost_descriptors = False  # with the last record descriptors came, and none was free for them

    @classmethod
    def connect(cls, path: str) -> Channel:
        """Raises OSError when no process listens at `path`."""
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
        """How long the methods below wait before they raise TimeoutError; None: for ever."""
        self._socket.settimeout(seconds)

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        """Raises BlockingIOError when a non-blocking channel is full, ChannelClosed."""
        data = _encode(record)
        try:
            if fds:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
                self._socket.sendmsg([data], [rights])
            else:
                self._socket.send(data)
        except (BrokenPipeError, ConnectionResetError):
            raise ChannelClosed("the channel is closed") from None

    def receive_request(self) -> tuple[AnyRequest, list[int]]:
        """The next request and its descriptors. Raises ChannelClosed, BlockingIOError, and
        msgspec.MsgspecError for bytes that are no request."""
        return self._receive(_requests)

    def receive_reply(self) -> tuple[AnyReply, list[int]]:
        """The next reply and its descriptors. Raises as receive_request, and TimeoutError."""
        return self._receive(_replies)

    def _receive(self, decoder: msgspec.msgpack.Decoder[_R]) -> tuple[_R, list[int]]:
        try:
            count, control, flags, _ = self._socket.recvmsg_into([self._buffer], _CONTROL_BYTES, _CLOEXEC)
        except ConnectionResetError:
            count, control, flags = 0, [], 0
        if count == 0:
            raise ChannelClosed("the channel is closed")
        fds = _descriptors(control) if control else []
        self.lost_descriptors = bool(flags & _CTRUNC) and not fds  # scm_detach_fds
        try:
            return decoder.decode(self._view[:count]), fds
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            for fd in fds:
                os.close(fd)
            raise msgspec.DecodeError(str(e)) from None

    def hang_up(self, patience_s: float) -> None:
        """Close. Return when the other end has closed too, which the endpoint does when it has undone what
        was done through this channel; or after `patience_s`."""
        with suppress(OSError):  # it is closed already, or does not answer
            self._socket.settimeout(patience_s)
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv_into(self._buffer):
                pass
        self._socket.close()

    def close(self) -> None:
        self._socket.close()


def _descriptors(control: list[tuple[int, int, bytes]]) -> list[int]:
    """Those of SCM_RIGHTS messages."""
    fds = array.array("i")
    for _, _, data in control:
        fds.frombytes(data[: len(data) - len(data) % _FD_BYTES])
    return fds.tolist()

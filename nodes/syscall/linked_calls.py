"""Two calls of a process in one request, linked as IOSQE_IO_LINK of io_uring links them: send, then receive.

In: a request, whose channel is the receiving socket's and whose handle names the sending one. Out: one reply
with both answers. A call owns what its send has come to. The send is attempted once and never waits: one that
fails, or takes a part alone, breaks the link, and the receive does not begin (io_uring_enter(2)). Tokens of
the receive are returned first, and its arguments checked; a request that is wrong there does nothing else.
Source: io_uring/io_uring.c (io_disarm_next, io_fail_links), io_uring/net.c (req_set_fail of a short send).
"""

from __future__ import annotations

import errno

from nodes.sock.devmem_socket import DevmemSocket
from nodes.syscall.socket_calls import RecvMsgCall, SendMsgCall
from nodes.syscall.system_call import BLOCKED, Blocked, Caller, failed
from nodes.uapi import syscalls
from nodes.uapi.syscalls import Done, Failed, SentThenReceived


class SendThenRecvCall:
    """It waits for the receive alone."""

    __slots__ = ("_caller", "_recv", "_request", "_sent", "_source")

    def __init__(self, sock: DevmemSocket, request: syscalls.SendThenRecv, caller: Caller) -> None:
        self._recv = RecvMsgCall(sock, request.recv, caller)
        self._request = request
        self._caller = caller
        self._source: DevmemSocket | None = None  # that sends; None before the first attempt
        self._sent = 0

    def attempt(self, now: float, wait: bool) -> SentThenReceived | Blocked:
        if self._source is None:
            try:
                source = self._source = self._caller.kernel.files.opened(self._request.handle)
                self._sent = self._send(source, now)
            except OSError as refused:
                return SentThenReceived(failed(refused), _not_begun("failed"))
            if self._sent < self._length:
                return SentThenReceived(self._done(source), _not_begun("took a part"))
        else:
            source = self._source
        received: syscalls.RecvReply | Blocked | Failed
        try:
            received = self._recv.attempt(now, wait)
        except BlockingIOError as would_block:
            if wait:
                raise
            received = failed(would_block)
        except OSError as refused:
            received = failed(refused)
        if isinstance(received, Blocked):
            return BLOCKED
        return SentThenReceived(self._done(source), received)

    @property
    def _length(self) -> int:
        send = self._request.send
        if send.iov:
            return sum(length for _, length in send.iov)
        return len(send.data) if send.source is None else send.source.length

    def _send(self, source: DevmemSocket, now: float) -> int:
        """A poll file shows what the call has left, as after a call of the sending socket's own."""
        sent = SendMsgCall(source, self._request.send, self._caller).attempt(now, False).value
        file = self._caller.kernel.files.file_of(source)
        if file is not None and file.poll_file is not None:
            file.poll_file.update()
        return sent

    def _done(self, source: DevmemSocket) -> Done:
        return Done(self._sent, source.errqueue.completed)


def _not_begun(why: str) -> Failed:
    return Failed(errno.ECANCELED, f"the send before it {why}")

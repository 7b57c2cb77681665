"""The calls of one socket that may block, under the timeout that settimeout has set.

In: requests with a timeout. Out: replies; TimeoutError when a call was allowed to wait and timed out. Owns
the socket's timeout.
"""

from __future__ import annotations

import errno
import math
import struct
from collections.abc import Callable
from typing import TypeVar

import msgspec

from nodes.client.failure import failure
from nodes.client.socket_calls import SocketCalls
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import (
    Connect,
    Done,
    Failed,
    GetSockOpt,
    RecvMsg,
    RecvReply,
    Reply,
    SendMsg,
    SendThenRecv,
    SentThenReceived,
    Value,
    WaitCompletions,
)

_TIMEVAL = struct.Struct("=qq")
_R = TypeVar("_R", bound=Reply)
_MayBlock = Connect | RecvMsg | SendMsg | WaitCompletions


class LinkedSend:
    """A send of the open socket of `handle`, and who hears the answer."""

    __slots__ = ("answer", "handle", "request")

    def __init__(self, handle: int, request: SendMsg, answer: Callable[[Done | Failed], None]) -> None:
        self.handle = handle
        self.request = request
        self.answer = answer


class BlockingCalls:
    """`timeout_s`: None blocks for ever, 0 not at all."""

    __slots__ = ("calls", "runtime", "timeout_s")

    def __init__(self, calls: SocketCalls) -> None:
        self.calls = calls
        self.runtime = calls.runtime
        self.timeout_s: float | None = None

    def call(self, request: _MayBlock, kind: type[_R]) -> _R:
        """As SocketCalls.call; TimeoutError in place of BlockingIOError when the request's timeout is not
        0."""
        try:
            return self.calls.call(request, kind)
        except BlockingIOError:
            if request.timeout_s:
                raise TimeoutError("timed out") from None
            raise

    def receive_after(self, first: LinkedSend, request: RecvMsg) -> RecvReply:
        """`request` as by `call`, in one system call with a send of another socket that goes first. If that
        send was not made in full, the receive is a call of its own, after `first.answer`. Where the call of
        both is refused as a whole, or left by a signal handler's exception, nobody hears of the send."""
        both = self.calls.call(SendThenRecv(first.handle, first.request, request), SentThenReceived)
        first.answer(both.sent)
        received = both.received
        if isinstance(received, RecvReply):
            return received
        if received.number == errno.ECANCELED:
            return self.call(msgspec.structs.replace(request, tokens=b""), RecvReply)
        if received.number == errno.EAGAIN and request.timeout_s:
            raise TimeoutError("timed out")
        raise failure(received)

    def wait_s(self, flags: int) -> float | None:
        """The timeout of a call with these flags."""
        return 0.0 if flags & uapi.MSG_DONTWAIT else self.timeout_s

    def limit_s(self, wait_s: float | None, option: int) -> float:
        """The timeout of a call of several requests as a whole: the endpoint knows one request at a time.
        `option` (SO_RCVTIMEO, SO_SNDTIMEO) counts where `wait_s` is None; its value is asked for, as it may
        have been set through another object: a dup, or the listener that the socket was accepted from."""
        if wait_s is not None:
            return wait_s
        value = self.calls.call(GetSockOpt(uapi.SOL_SOCKET, option, _TIMEVAL.size), Value).value
        seconds, micros = _TIMEVAL.unpack(value)
        return seconds + micros / 1_000_000 or math.inf

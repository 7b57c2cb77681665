"""The calls of one socket that may block, under the timeout that settimeout has set.

In: requests with a timeout. Out: replies; TimeoutError when a call was allowed to wait and timed out. Owns
the socket's timeout.
"""

from __future__ import annotations

import math
import struct
from typing import TypeVar

from nodes.client.socket_calls import SocketCalls
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import Connect, GetSockOpt, RecvMsg, Reply, SendMsg, Value, WaitCompletions

_TIMEVAL = struct.Struct("=qq")
_R = TypeVar("_R", bound=Reply)
_MayBlock = Connect | RecvMsg | SendMsg | WaitCompletions


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

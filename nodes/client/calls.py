"""One system call over a channel: a record out, its reply back, failures as OSError.

Owns the channel. Threads take turns; the calls of a socket, which may block, have channels to choose from
(socket_calls).
"""

from __future__ import annotations

import os
import threading
from typing import TypeVar

from nodes.channel import Channel, ChannelClosed
from nodes.records import AnyReply, Failed, Hello, Reply, Request, Welcome

_R = TypeVar("_R", bound=Reply)
_HANG_UP_S = 5.0  # an endpoint that is stopped does not keep its applications from ending


class SystemCallError(OSError):
    """What the endpoint refused: errno, a sentence, and for netlink the attribute that offends."""

    def __init__(self, number: int, message: str, attribute: str = "") -> None:
        super().__init__(number, message)
        self.attribute = attribute


class Calls:
    """Raises OSError when nobody listens at `path`, ConnectionError when the endpoint goes away."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._channel = Channel.connect(path)
        self._turn = threading.Lock()

    def hello(self, patience_s: float) -> tuple[Welcome, list[int]]:
        """Who the endpoint is. Raises TimeoutError when it does not say so within `patience_s`, as one that
        is stopped never does; ConnectionError."""
        self._channel.settimeout(patience_s)
        answer = self.call_for_fds(Hello(), Welcome)
        self._channel.settimeout(None)
        return answer

    def call(self, request: Request, kind: type[_R], fds: tuple[int, ...] = ()) -> _R:
        """Send `request` and wait for its reply, of type `kind`. Raises OSError as the kernel would:
        BlockingIOError, ConnectionResetError, and so on by errno."""
        reply, _ = self._exchange(request, fds)
        return _expect(reply, kind)

    def call_for_fds(self, request: Request, kind: type[_R]) -> tuple[_R, list[int]]:
        """The same for a reply that brings descriptors, which are then the caller's."""
        reply, fds = self._exchange(request, ())
        return _expect(reply, kind), fds

    def post(self, request: Request) -> None:
        """Send a request that has no reply."""
        self._channel.send(request)

    def _exchange(self, request: Request, fds: tuple[int, ...]) -> tuple[AnyReply, list[int]]:
        try:
            with self._turn:
                self._channel.send(request, fds)
                return self._channel.receive_reply()
        except ChannelClosed:
            raise ChannelClosed(f"the endpoint at {self.path} is gone") from None

    def hang_up(self) -> None:
        """Close, and return when the endpoint has undone what was done through this channel."""
        self._channel.hang_up(_HANG_UP_S)

    def close(self) -> None:
        self._channel.close()


def _expect(reply: AnyReply, kind: type[_R]) -> _R:
    if isinstance(reply, kind):
        return reply
    if isinstance(reply, Failed):
        raise failure(reply)
    raise ConnectionError(f"the endpoint answered {type(reply).__name__}, not {kind.__name__}")


def failure(reply: Failed) -> OSError:
    """The exception Python has for an errno (BlockingIOError, ...), or SystemCallError."""
    if reply.attribute:
        return SystemCallError(reply.number, reply.message, reply.attribute)
    ordinary = OSError(reply.number, reply.message or os.strerror(reply.number))
    if type(ordinary) is not OSError:
        return ordinary
    return SystemCallError(reply.number, reply.message)

"""One system call over a channel: a record out, its reply back, failures as OSError.

Owns the channel. Threads take turns; the calls of a socket, which may block, have channels to choose from
(socket_calls). A call may be left by whatever a signal handler raises, its reply to come: such a channel says
that it is `owed` one, and the next call drops it.
"""

from __future__ import annotations

import _thread
import os
import threading
from typing import TypeVar

from nodes.uapi.channel import Channel, ChannelClosed
from nodes.uapi.syscalls import AnyReply, Failed, Hello, Reply, Request, Welcome

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
        self.owed = False  # whether a reply may come that nobody waits for
        self._dropping = threading.Lock()
        self._ticket: object | None = None  # of a dropping that is not done

    def hello(self, patience_s: float) -> tuple[Welcome, list[int]]:
        """Who the endpoint is. Raises TimeoutError when it does not say so within `patience_s`, as one that
        is stopped never does; ConnectionError."""
        return self.call_within(patience_s, Hello(), Welcome)

    def call_within(self, patience_s: float | None, request: Request, kind: type[_R]) -> tuple[_R, list[int]]:
        """As call_for_fds; TimeoutError when the answer takes longer than `patience_s`."""
        self._channel.settimeout(patience_s)
        answer = self.call_for_fds(request, kind)
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
                if self.owed:
                    self._drop_owed()
                self.owed = True  # before it is sent: nobody could say on which side of it a signal fell
                self._channel.send(request, fds)
                answer = self._channel.receive_reply()
                self.owed = False
                return answer
        except ChannelClosed:
            self.owed = False
            raise ChannelClosed(f"the endpoint at {self.path} is gone") from None

    def _drop_owed(self) -> None:
        """What was done through the channel lives as long as it does, so it stays and old replies go. Signal
        handlers run in the main thread alone: in this one nothing comes between question and answer. Whoever
        is interrupted here leaves it to its work; of those with one ticket, the first does it."""
        ticket = self._ticket or object()
        self._ticket = ticket
        done = threading.Lock()
        done.acquire()
        # Thread.start would wait, and a signal in there leaves Python's list of threads in disorder.
        _thread.start_new_thread(self._drop_until_welcome, (ticket, done))
        with done:
            pass

    def _drop_until_welcome(self, ticket: object, done: threading.Lock) -> None:
        """Of all replies Welcome alone was not asked for before."""
        try:
            with self._dropping:
                if self._ticket is not ticket:
                    return
                self._channel.send(Hello())
                reply: AnyReply | None = None
                while not isinstance(reply, Welcome):
                    reply, fds = self._channel.receive_reply()
                    for fd in fds:
                        os.close(fd)
                self._ticket = None
        except OSError:
            pass  # the next call meets it too
        finally:
            done.release()

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

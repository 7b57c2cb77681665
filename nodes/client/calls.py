"""One system call over a channel: a request out, its reply back, failures as OSError.

In: requests. Out: replies. Owns the channel. Threads take turns; a socket, whose calls may block, has several
channels (socket_calls).
A signal handler may raise an exception while a call waits for its reply. The caller is gone then, and the
reply still comes: the channel says so (`reply_pending`), and the next call discards that reply before it
sends.
"""

from __future__ import annotations

import os
from typing import TypeVar

from nodes.client.bindings import Bindings
from nodes.client.failure import failure
from nodes.client.fork import ReopenedChannel
from nodes.client.runtime import MACHINE, ClientChannel, Runtime
from nodes.uapi.channel_closed import ChannelClosed
from nodes.uapi.syscalls import AnyReply, Failed, Hello, Reply, Request, Welcome

_R = TypeVar("_R", bound=Reply)
_HANG_UP_S = 5.0  # an endpoint that is stopped does not keep its applications from ending


class Calls:
    """Raises OSError when no endpoint listens at `path`, ConnectionError when the endpoint ends."""

    def __init__(self, path: str, runtime: Runtime = MACHINE) -> None:
        self.path = path
        self.runtime = runtime
        self._channel: ClientChannel = runtime.connect(path)
        self._turn = runtime.lock()
        self.reply_pending = False  # whether a reply may come that no call waits for
        self._discarding = runtime.lock()
        self._discard: object | None = None  # identifies the discarding that has yet to be done
        self.bindings = Bindings(path)  # what ends with the channel

    def hello(self, patience_s: float) -> tuple[Welcome, list[int]]:
        """Ask the endpoint for the host's name and addresses. Raises TimeoutError when it does not answer
        within `patience_s`, as one that is stopped does not; ConnectionError."""
        return self.call_within(patience_s, Hello(), Welcome)

    def call_within(self, patience_s: float | None, request: Request, kind: type[_R]) -> tuple[_R, list[int]]:
        """As call_for_fds; TimeoutError when the reply takes longer than `patience_s`."""
        self._channel.settimeout(patience_s)
        answer = self.call_for_fds(request, kind)
        self._channel.settimeout(None)
        return answer

    def settimeout(self, patience_s: float | None) -> None:
        """How long `call` waits for a reply before it raises TimeoutError; None, as at first: for ever."""
        self._channel.settimeout(patience_s)

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
                if self.reply_pending:
                    self._discard_pending_reply()
                # Set before the request is sent: after an exception no one can tell whether it was sent.
                self.reply_pending = True
                self._channel.send(request, fds)
                answer = self._channel.receive_reply()
                self.reply_pending = False
                return answer
        except ChannelClosed:
            self.reply_pending = False
            raise ChannelClosed(f"the endpoint at {self.path} is gone") from None

    def _discard_pending_reply(self) -> None:
        """Receive and drop the reply of a call that was left. The channel itself must stay open: what the
        process has registered and bound through it ends with it.

        A thread does it, because Python runs signal handlers in the main thread alone: no exception can come
        between this question and its answer. An exception that is raised here while the thread is awaited
        leaves it at work. The next call then spawns another thread for the same discarding; the first of
        them to get the lock does it, the others find it done."""
        this = self._discard = self._discard or object()
        self.runtime.spawn(lambda: self._discard_until_welcome(this), "discard").join()

    def _discard_until_welcome(self, discard: object) -> None:
        """Ask Hello and drop replies up to its Welcome: no other request is answered by Welcome, and the call
        that made this channel has had its own."""
        try:
            with self._discarding:
                if self._discard is not discard:
                    return
                self._channel.send(Hello())
                reply: AnyReply | None = None
                while not isinstance(reply, Welcome):
                    reply, fds = self._channel.receive_reply()
                    for fd in fds:
                        os.close(fd)
                self._discard = None
        except OSError:
            pass  # the next call fails in the same way, and says so

    def renew(self) -> None:
        """This process is a forked child: the channel, and what was bound through it, is the parent's."""
        self.bindings.forget()
        self._turn, self._discarding = self.runtime.lock(), self.runtime.lock()
        self._discard, self.reply_pending = None, False
        self._channel = ReopenedChannel(self._channel, self.path, self.runtime)

    def hang_up(self) -> None:
        """Close, and return when the endpoint has undone what was done through this channel."""
        self.bindings.forget()
        self._channel.hang_up(_HANG_UP_S)

    def close(self) -> None:
        self._channel.close()


def _expect(reply: AnyReply, kind: type[_R]) -> _R:
    if isinstance(reply, kind):
        return reply
    if isinstance(reply, Failed):
        raise failure(reply)
    raise ConnectionError(f"the endpoint answered {type(reply).__name__}, not {kind.__name__}")

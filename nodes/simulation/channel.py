"""A simulated system-call channel: records handed over between a process and its host, in the same process.

In and out: the records of nodes.uapi.syscalls, and descriptors, which are duplicated as SCM_RIGHTS does. Owns
what was sent and not yet taken. The two ends satisfy nodes.client.runtime.ClientChannel and
nodes.syscall.session.ServerChannel.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, MutableSequence
from typing import Any, Final, cast

from greenlet import greenlet

from nodes.simulation.process import Scheduler
from nodes.uapi.channel_closed import ChannelClosed
from nodes.uapi.syscalls import AnyReply, AnyRequest, Record

_PENDING_MAX: Final = 64  # requests that a process may post before the host has taken one


Answer = tuple[AnyReply, list[int]]


class Pipe:
    """What both ends share. `ring`: called when the process has sent something, or has closed its end."""

    def __init__(self, scheduler: Scheduler, number: int, ring: Callable[[Pipe], None]) -> None:
        self.number = number
        self.requests: deque[tuple[AnyRequest, list[int]]] = deque()
        self.replies: deque[Answer] = deque()
        self.client_closed = self.server_closed = False
        self.scheduler = scheduler
        self.ring = ring
        self.reading: deque[greenlet] = deque()  # the thread that waits for a reply
        self.sending: deque[greenlet] = deque()  # threads that wait for room

    def deliver(self, answer: Answer | None) -> None:
        """A reply has come, or the host has closed its end (None)."""
        if answer is None:
            self.server_closed = True
            _close(self.requests)
        elif self.client_closed:
            _close([answer])
        else:
            self.replies.append(answer)
        self.scheduler.wake(self.reading, len(self.reading))
        self.taken()

    def taken(self) -> None:
        """The host has taken requests: there is room for others."""
        if len(self.requests) < _PENDING_MAX or self.server_closed:
            self.scheduler.wake(self.sending, len(self.sending))


class ClientEnd:
    """The process's end."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._timeout_s: float | None = None

    def settimeout(self, seconds: float | None) -> None:
        self._timeout_s = seconds

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        pipe = self._pipe
        while len(pipe.requests) >= _PENDING_MAX and not pipe.server_closed:
            if not pipe.scheduler.wait(pipe.sending, self._timeout_s):
                raise TimeoutError("the host takes no request")
        if pipe.server_closed or pipe.client_closed:
            raise ChannelClosed("the channel is closed")
        pipe.requests.append((cast(AnyRequest, record), [os.dup(fd) for fd in fds]))
        pipe.ring(pipe)

    def receive_reply(self) -> tuple[AnyReply, list[int]]:
        pipe = self._pipe
        while not pipe.replies:
            if pipe.server_closed or pipe.client_closed:
                raise ChannelClosed("the channel is closed")
            if not pipe.scheduler.wait(pipe.reading, self._timeout_s):
                raise TimeoutError("the host has not answered")
        return pipe.replies.popleft()

    def hang_up(self, patience_s: float) -> None:
        self.close()
        pipe = self._pipe
        if not pipe.server_closed:
            pipe.scheduler.wait(pipe.reading, patience_s)

    def close(self) -> None:
        pipe = self._pipe
        if not pipe.client_closed:
            pipe.client_closed = True
            _close(pipe.replies)
            pipe.ring(pipe)


class ServerEnd:
    """The host's end. `sent`: takes each reply, and a close, which reach the process when the host's turn is
    over."""

    lost_descriptors = False

    def __init__(self, pipe: Pipe, sent: Callable[[Pipe, Answer | None], None]) -> None:
        self._pipe = pipe
        self._sent = sent

    def fileno(self) -> int:
        return self._pipe.number

    def receive_request(self) -> tuple[AnyRequest, list[int]]:
        pipe = self._pipe
        if pipe.requests:
            return pipe.requests.popleft()
        if pipe.client_closed:
            raise ChannelClosed("the process is gone")
        raise BlockingIOError

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        if self._pipe.client_closed:
            raise ChannelClosed("the process is gone")
        self._sent(self._pipe, (cast(AnyReply, record), [os.dup(fd) for fd in fds]))

    def close(self) -> None:
        self._sent(self._pipe, None)


def _close(records: MutableSequence[tuple[Any, list[int]]]) -> None:
    """Nobody takes these any more: close their descriptors."""
    for _, fds in records:
        for fd in fds:
            os.close(fd)
    records.clear()

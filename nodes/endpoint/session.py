"""One system-call channel: a process's control channel or one socket's, and the call it is blocked in.

In: readable and hang-up events of its descriptor, retries when its socket changed. Out: one reply a
request. Owns what the process registered through it: memory, bindings, its hold on a socket. A closed
channel is a dead process: all of that goes, as it does when a kernel's process ends. So does a call in which
we stumble over a bug of our own end its process alone, as a kernel's oops does: it fails with EIO, standard
error has the traceback, the other applications live.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from nodes.endpoint.credentials import has_net_admin
from nodes.endpoint.poll_file import PollFile
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import timed
from nodes.uapi.channel import Channel, ChannelClosed
from nodes.uapi.syscalls import AnyRequest, DontNeed, Failed, Netlink, Record, RegisterMemory, Reply

if TYPE_CHECKING:
    from nodes.endpoint.syscalls import Syscalls

BUG = "BUG:"  # by which a log is searched, as a kernel's
Attempt = Callable[[float], "Reply | None"]  # BlockingIOError: not yet


class BlockedCall:
    """A call that could not be answered yet. It gives up at `deadline`, a CLOCK_MONOTONIC second."""

    __slots__ = ("attempt", "deadline")

    def __init__(self, attempt: Attempt, deadline: float | None) -> None:
        self.attempt = attempt
        self.deadline = deadline


class Session:
    def __init__(self, sock: socket.socket, syscalls: Syscalls) -> None:
        self.privileged = has_net_admin(sock)
        self.channel = Channel(sock, syscalls.record_buffer)
        self.channel.setblocking(False)
        self.fd = sock.fileno()
        self.socket: DevmemSocket | None = None
        self.poll_file: PollFile | None = None  # of the socket, if anybody polls it
        self.blocked: BlockedCall | None = None
        self.timer_at: float | None = None  # of its entry among the deadlines
        self.timer = 0  # and that entry's number
        self.accepted: set[int] = set()  # handles of connections it was given and that no channel serves yet
        self.owned = ExitStack()  # undone when the process is gone
        self.closed = False
        self._syscalls = syscalls
        self._unsent: deque[tuple[Record, tuple[int, ...]]] = deque()

    # --- events

    def wanted_events(self) -> int:
        """What the poll should wake us for: nothing to read while a call is blocked or unanswered."""
        if self._unsent:
            return select.EPOLLOUT | select.EPOLLRDHUP
        return select.EPOLLRDHUP if self.blocked else select.EPOLLIN | select.EPOLLRDHUP

    def handle(self, events: int, now: float) -> None:
        """The channel is readable, writable again, or closed."""
        self._syscalls.stirred[self] = None
        try:
            self._flush()
            if events & select.EPOLLIN and not self.blocked and not self._unsent:
                self._next_request(now)
            elif events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                raise ChannelClosed("the process is gone")
        except (ChannelClosed, ConnectionError):
            self.close(now)
        except Exception as bug:
            self._oops(bug, now)

    def _next_request(self, now: float) -> None:
        try:
            request, fds = self.channel.receive_request()
        except BlockingIOError:
            return
        except msgspec.MsgspecError as e:
            self._send(Failed(errno.EINVAL, f"not a request: {e}"))
            return
        fd = fds.pop(0) if fds and isinstance(request, RegisterMemory | Netlink) else -1
        for unwanted in fds:
            os.close(unwanted)
        self._begin(request, fd, now)

    def _begin(self, request: AnyRequest, fd: int, now: float) -> None:
        """Make the call, which takes `fd` over; keep it if it would block."""
        if self.socket is not None:
            request = timed(request, self.socket)
        call = self._syscalls.attempt(self, request, fd)
        try:
            reply = _try(call, now)
        except BlockingIOError as would_block:
            timeout_s = getattr(request, "timeout_s", 0.0)
            if timeout_s is None or timeout_s > 0:
                self.blocked = BlockedCall(call, None if timeout_s is None else now + timeout_s)
                self._syscalls.wait(self)
                return
            reply = _failure(would_block)
        if reply is not None and not isinstance(request, DontNeed):  # which has no answer, not even a refusal
            self._answer(reply)

    def go_on(self, now: float) -> None:
        """The socket changed, or time has passed: try a blocked call again."""
        if self.closed:
            return
        self._syscalls.stirred[self] = None
        try:
            if self.blocked:
                self._retry(self.blocked, now)
        except ChannelClosed:
            self.close(now)
        except Exception as bug:
            self._oops(bug, now)

    def _retry(self, blocked: BlockedCall, now: float) -> None:
        try:
            reply = _try(blocked.attempt, now)
        except BlockingIOError as would_block:
            if blocked.deadline is None or now < blocked.deadline:
                return
            reply = Failed(would_block.errno or errno.EAGAIN, "the call timed out")  # connect: EINPROGRESS
        self.blocked = None
        if reply is not None:
            self._answer(reply)

    # --- sending

    def send_with(self, reply: Reply, fds: tuple[int, ...]) -> None:
        """Answer with descriptors."""
        self._send(reply, fds)

    def _answer(self, reply: Reply) -> None:
        """Send a reply. Whoever has read it finds the poll file as the call left the socket."""
        if self.poll_file is not None:
            self.poll_file.update()
        self._send(reply)

    def _send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        if not self._unsent:
            try:
                self.channel.send(record, fds)
            except BlockingIOError:
                pass
            else:
                return
        # Kept until it can go, so the descriptors must outlive whoever passed them.
        self._unsent.append((record, tuple(os.dup(fd) for fd in fds)))

    def _flush(self) -> None:
        with suppress(BlockingIOError):
            while self._unsent:
                record, fds = self._unsent[0]
                self.channel.send(record, fds)
                self._unsent.popleft()
                for fd in fds:
                    os.close(fd)

    def close(self, now: float) -> None:
        """The process is gone: undo what it did."""
        if self.closed:
            return
        self.closed = True
        self.blocked = None
        self._syscalls.stirred[self] = None
        forget = partial(self._syscalls.forget, self, now)
        for undo in (forget, self.owned.close, self.channel.close):
            try:
                undo()
            except Exception as bug:  # the rest is undone all the same
                _report(bug)
        for _, fds in self._unsent:
            for fd in fds:
                os.close(fd)
        self._unsent.clear()

    def _oops(self, bug: Exception, now: float) -> None:
        """Our own fault: tell the process, and whoever reads our log."""
        _report(bug)
        with suppress(OSError):
            self._send(Failed(errno.EIO, f"{BUG} {bug!r}; the endpoint's log has more"))
        self.close(now)


def _report(bug: Exception) -> None:
    print(f"endpoint: {BUG} in a system call, whose channel is closed:", file=sys.stderr)
    traceback.print_exception(bug)


def _try(attempt: Attempt, now: float) -> Reply | None:
    try:
        return attempt(now)
    except BlockingIOError:
        raise
    except OSError as refused:
        return _failure(refused)


def _failure(refused: OSError) -> Failed:
    return Failed(
        refused.errno or errno.EIO, refused.strerror or str(refused), getattr(refused, "attribute", "")
    )


def refusing(number: int, message: str) -> Attempt:
    """An attempt that fails."""

    def refuse(_: float) -> Reply:
        raise OSError(number, message)

    return refuse

"""One system-call channel: a process's control channel or one socket's, and the call that it is blocked in.

In: readable and hang-up events of its channel; retries, when its socket has changed or its deadline has come.
Out: one reply a request. Owns what the process registered through it (memory, bindings, its hold on a socket)
and the deadline of its call: no other part of the endpoint knows how long a call may block.
A closed channel is a dead process: what it owned is undone, as in do_exit. A bug of the endpoint's own that
is met in a call ends that process alone, as a kernel's oops does: the call fails with EIO, its channel
closes, standard error has the traceback, and other processes go on.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import traceback
from collections import deque
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final, Protocol

import msgspec

from nodes.sock.devmem_socket import DevmemSocket
from nodes.syscall.file_table import PollFile
from nodes.syscall.syscall_table import TAKES_DESCRIPTOR, system_call
from nodes.syscall.system_call import BLOCKED, Blocked, Kernel, SystemCall, failed
from nodes.uapi.channel_closed import ChannelClosed
from nodes.uapi.syscalls import (
    Accept,
    AnyRequest,
    Close,
    Connect,
    DontNeed,
    Failed,
    Record,
    RecvMsg,
    Reply,
    SendMsg,
    SendThenRecv,
)

_IN: Final = select.EPOLLIN
_OUT_HUP: Final = select.EPOLLOUT | select.EPOLLRDHUP
_IN_HUP: Final = select.EPOLLIN | select.EPOLLRDHUP
_HUP: Final = select.EPOLLRDHUP
_GONE: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
# By type: `isinstance` makes the union anew for each call.
_RECEIVING: Final = frozenset((RecvMsg, Accept))
_SENDING: Final = frozenset((SendMsg, Connect))
BUG: Final = "BUG:"  # as a kernel's log has it


class ServerChannel(Protocol):
    """The endpoint's end of a channel, non-blocking (nodes.uapi.channel.Channel)."""

    @property
    def lost_descriptors(self) -> bool:
        """Whether the last request brought descriptors for which none was free."""

    def fileno(self) -> int: ...

    def receive_request(self) -> tuple[AnyRequest, list[int]]:
        """Raises BlockingIOError, ChannelClosed, and msgspec.MsgspecError for bytes that are no request."""

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        """Raises BlockingIOError while the channel is full, ChannelClosed."""

    def close(self) -> None: ...


class SessionTable(Protocol):
    """All sessions of a host, as one of them uses it. In `rearm` are those whose wanted events may have
    changed since the poll was last told."""

    kernel: Kernel
    rearm: dict[Session, None]

    def wait(self, session: Session) -> None:
        """`session` is blocked in a call until its deadline."""

    def done(self, session: Session) -> None:
        """The blocked call of `session` is over."""

    def forget(self, session: Session, now: float) -> None:
        """`session` is closed: its socket closes if no other channel serves it."""


class Session:
    """`fd` names the channel in a poll; it stays after the channel is closed. `initial`: what the process is
    `privileged` to do, it may do in the initial user namespace as well."""

    def __init__(
        self, channel: ServerChannel, privileged: bool, table: SessionTable, initial: bool = True
    ) -> None:
        self.channel = channel
        self.privileged = privileged
        self.init_privileged = privileged and initial
        self.kernel = table.kernel
        self.fd = channel.fileno()
        self.socket: DevmemSocket | None = None
        self.poll_file: PollFile | None = None  # of the socket, if a process polls it
        self.accepted: dict[int, None] = {}
        self.blocked: SystemCall | None = None
        self.deadline: float | None = None  # of the blocked call; None: it may block for ever
        self.owned = ExitStack()
        self.closed = False
        self._muted = False  # a request waits behind the blocked call: the poll is not to report it meanwhile
        self._table = table
        self._unsent: deque[tuple[Record, tuple[int, ...]]] = deque()

    # --- events

    def wanted_events(self) -> int:
        """What the poll should report: no further request while a reply is unsent. While a call is blocked
        none comes, as a rule: only one that does come makes the poll change, which takes a system call."""
        if self._unsent:
            return _OUT_HUP
        return _HUP if self._muted else _IN_HUP

    def handle(self, events: int, now: float) -> None:
        """The channel is readable, writable again, or closed."""
        try:
            if self._unsent:
                self._flush()
            may_begin = not self.blocked and not self._unsent
            if events & _IN and may_begin:
                self._next_request(now)
            elif events & _GONE:
                raise ChannelClosed("the process is gone")
            elif events & _IN and self.blocked:
                self._mute(True)
        except (ChannelClosed, ConnectionError):
            self.close(now)
        except Exception as bug:
            self._die_of(bug, now)

    def _mute(self, muted: bool) -> None:
        self._muted = muted
        self._table.rearm[self] = None

    def _next_request(self, now: float) -> None:
        try:
            request, fds = self.channel.receive_request()
        except BlockingIOError:
            return
        except msgspec.MsgspecError as e:
            self._send(Failed(errno.EINVAL, f"not a request: {e}"))
            return
        if self.channel.lost_descriptors and isinstance(request, TAKES_DESCRIPTOR):
            text = "the endpoint has no file descriptor left: close sockets, or raise its limit (ulimit -n)"
            self._send(Failed(errno.EMFILE, text))
            return
        fd = fds.pop(0) if fds and isinstance(request, TAKES_DESCRIPTOR) else -1
        for unwanted in fds:
            os.close(unwanted)
        self._begin(request, fd, now)

    def _begin(self, request: AnyRequest, fd: int, now: float) -> None:
        """Make the call, which takes `fd` over (-1: none came), and attempt it; keep it if it blocks."""
        deadline = _deadline(request, self.socket, now)
        wait = deadline is None or now < deadline
        reply: Reply | Blocked | None
        try:
            call = system_call(request, self, fd)
            reply = call.attempt(now, wait)
        except BlockingIOError as would_block:
            reply = BLOCKED if wait else failed(would_block)
        except OSError as refused:
            reply = failed(refused)
        if isinstance(reply, Blocked):
            self.blocked, self.deadline = call, deadline
            self._table.wait(self)
        elif reply is not None and type(request) is not DontNeed:  # which is not even told that it failed
            self._answer(reply)

    def retry(self, now: float) -> None:
        """The socket has changed or the deadline has come: attempt a blocked call again."""
        if self.closed:
            return
        try:
            if self.blocked is not None:
                self._attempt_again(self.blocked, now)
        except ChannelClosed:
            self.close(now)
        except Exception as bug:
            self._die_of(bug, now)

    def _attempt_again(self, call: SystemCall, now: float) -> None:
        wait = self.deadline is None or now < self.deadline
        reply: Reply | Blocked | None
        try:
            reply = call.attempt(now, wait)
        except BlockingIOError as would_block:
            if wait:
                return
            reply = Failed(would_block.errno or errno.EAGAIN, "the call timed out")  # connect: EINPROGRESS
        except OSError as refused:
            reply = failed(refused)
        if isinstance(reply, Blocked):
            return
        self.blocked = None
        self._table.done(self)
        if self._muted:
            self._mute(False)
        if reply is not None:
            self._answer(reply)

    # --- sending

    def send_with(self, reply: Reply, fds: tuple[int, ...]) -> None:
        """Reply with descriptors, which stay the caller's."""
        self._send(reply, fds)

    def _answer(self, reply: Reply) -> None:
        """Send a reply. First the poll file is updated: a process that has read the reply must find it as the
        call has left the socket."""
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
        # Kept until it can go: the descriptors have to stay open for so long.
        self._table.rearm[self] = None
        self._unsent.append((record, tuple(os.dup(fd) for fd in fds)))

    def _flush(self) -> None:
        with suppress(BlockingIOError):
            while self._unsent:
                record, fds = self._unsent[0]
                self.channel.send(record, fds)
                self._unsent.popleft()
                for fd in fds:
                    os.close(fd)
            self._table.rearm[self] = None

    # --- the end

    def close(self, now: float) -> None:
        """The process is gone: undo what it did."""
        if self.closed:
            return
        self.closed = True
        self.blocked = None
        self._table.rearm[self] = None
        forget = partial(self._table.forget, self, now)
        for undo in (forget, self.owned.close, self.channel.close):
            try:
                undo()
            except Exception as bug:  # the rest is undone all the same
                _report(bug)
        for _, fds in self._unsent:
            for fd in fds:
                os.close(fd)
        self._unsent.clear()

    def _die_of(self, bug: Exception, now: float) -> None:
        """End the process whose call met a bug of the endpoint's: tell it, and write the traceback."""
        _report(bug)
        with suppress(OSError):
            self._send(Failed(errno.EIO, f"{BUG} {bug!r}; the endpoint's log has more"))
        self.close(now)


def _deadline(request: AnyRequest, sock: DevmemSocket | None, now: float) -> float | None:
    """When a call that would block has to end: `now` if it must not wait, None if it may for ever.
    SO_RCVTIMEO and SO_SNDTIMEO count for a call that sets no timeout of its own (sock_rcvtimeo,
    sock_sndtimeo)."""
    if type(request) is SendThenRecv:
        request = request.recv
    kind = type(request)
    if kind is DontNeed:
        return now
    timeout_s: float | None = getattr(request, "timeout_s", 0.0)
    if kind is Close and sock is not None:
        return now + sock.options.linger_s
    if timeout_s is None and sock is not None:
        if kind in _RECEIVING:
            timeout_s = sock.options.receive_timeout_s
        elif kind in _SENDING:
            timeout_s = sock.options.send_timeout_s
    return None if timeout_s is None else now + timeout_s


def _report(bug: Exception) -> None:
    print(f"endpoint: {BUG} in a system call, whose channel is closed:", file=sys.stderr)
    traceback.print_exception(bug)

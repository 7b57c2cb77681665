"""System calls: which session asks for what, and who waits for which socket.

In: a session's request. Out: an attempt, which returns a reply, raises OSError, or BlockingIOError for
"not yet": the session tries again when its socket changed. Owns the handles of sockets and the list of
who waits. What the calls do is in `process_calls` and `socket_calls`.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.endpoint.host_parts import HostParts
from nodes.endpoint.poll_file import Bell, PollFile
from nodes.endpoint.process_calls import ProcessCalls
from nodes.endpoint.session import Attempt, Session, refusing
from nodes.endpoint.socket_calls import SocketCalls, names
from nodes.endpoint.user_memory import UserMemory
from nodes.sock.devmem_socket import DevmemSocket
from nodes.uapi import channel, syscalls
from nodes.uapi import socket as uapi


@dataclass(slots=True)
class _OpenSocket:
    """A socket and the sessions that serve it; it closes with the last of them."""

    socket: DevmemSocket
    sessions: set[Session] = field(default_factory=set)
    poll_file: PollFile | None = None
    accepted_by: Session | None = None  # and served by none yet


_VOID_MAX = 64  # deadlines that count no more, beyond as many as do


class Syscalls:
    def __init__(self, host: HostParts) -> None:
        self._host = host
        self._handles: dict[int, _OpenSocket] = {}
        self._handle_of: dict[DevmemSocket, int] = {}
        self.record_buffer = bytearray(channel.RECORD_BYTES)  # of all sessions: they are served in turn
        self._blocked: dict[Session, None] = {}
        self._deadlines: list[tuple[float, int]] = []  # a heap; what is not in _timed is void
        self._timed: dict[int, Session] = {}
        self._timer_numbers = itertools.count(1)
        self._bell: Bell | None = None  # while there are poll files
        self.poll_files = 0
        self.stirred: dict[Session, None] = {}  # whose wanted events may have changed
        memory = UserMemory()
        self._calls: dict[type, Callable[..., Attempt]] = {
            **ProcessCalls(host, memory).calls,
            syscalls.OpenSocket: self._open_socket,
            syscalls.AttachSocket: self._attach_socket,
            syscalls.Watch: self._watch,
        }
        self._socket_calls: dict[type, Callable[..., Attempt]] = {
            **SocketCalls(host.netdev, memory, self._accepted).calls
        }

    # --- sessions

    def attempt(self, session: Session, request: syscalls.AnyRequest, fd: int) -> Attempt:
        """The attempt that answers `request`; it takes `fd` over (-1: none came)."""
        call = self._calls.get(type(request))
        if call is not None:
            return call(session, request, fd)
        if session.socket is None:
            if isinstance(request, syscalls.SetSockOpt) and request.option == uapi.SO_DEVMEM_DONTNEED:
                return refusing(errno.EBADF, "SO_DEVMEM_DONTNEED is for TCP sockets, and this one is netlink")
            return refusing(errno.ENOTSOCK, "this channel is not a socket's")
        return self._socket_calls[type(request)](session.socket, request, session)

    def wait(self, session: Session) -> None:
        """`session` has a blocked call."""
        self._blocked[session] = None
        self._schedule(session)

    @property
    def waiting(self) -> bool:
        """Whether a call is blocked or a socket is polled."""
        return bool(self._blocked) or self.poll_files > 0

    def _schedule(self, session: Session) -> None:
        """Make sure an entry fires no later than the blocked call's deadline; see Inet._schedule."""
        at = session.blocked.deadline if session.blocked else None
        if at is not None and (session.timer_at is None or at < session.timer_at):
            self._timed.pop(session.timer, None)
            session.timer_at, session.timer = at, next(self._timer_numbers)
            self._timed[session.timer] = session
            heapq.heappush(self._deadlines, (at, session.timer))
            if len(self._deadlines) > 2 * len(self._timed) + _VOID_MAX:
                self._deadlines = [
                    (s.timer_at, n) for n, s in self._timed.items() if s.timer_at is not None
                ]
                heapq.heapify(self._deadlines)

    def retry(self, now: float) -> None:
        """Sockets changed or time has passed: go on with blocked calls, bring poll files up to date."""
        while changed := self._host.stack.take_changed():
            for sock in changed:
                opened = self._handles.get(self._handle_of.get(sock, 0))
                if opened is not None:
                    for session in [*opened.sessions]:
                        self._go_on(session, now)
                    if opened.poll_file is not None:
                        opened.poll_file.update()
        while self._deadlines and self._deadlines[0][0] <= now:
            number = heapq.heappop(self._deadlines)[1]
            if number not in self._timed:
                continue
            session = self._timed.pop(number)
            session.timer_at = None
            blocked = session.blocked
            if blocked and blocked.deadline is not None and blocked.deadline <= now:
                self._go_on(session, now)
            self._schedule(session)

    def _go_on(self, session: Session, now: float) -> None:
        session.go_on(now)
        if not session.blocked:
            self._blocked.pop(session, None)

    def next_timeout(self) -> float | None:
        """No later than when the first blocked call gives up."""
        return self._deadlines[0][0] if self._deadlines else None

    def forget(self, session: Session, now: float) -> None:
        """The session's process is gone: its socket closes if nobody else has it."""
        self._blocked.pop(session, None)
        self._timed.pop(session.timer, None)
        sock, session.socket = session.socket, None
        mine = [self._handle_of[sock]] if sock in self._handle_of else []
        for handle in (*mine, *session.accepted):  # what it accepted and did not open a channel for goes too
            opened = self._handles.get(handle)
            if opened is None:
                continue
            opened.sessions.discard(session)
            if not opened.sessions:
                del self._handles[handle], self._handle_of[opened.socket]
                opened.socket.close(now)
                self._drop_poll_file(opened)

    # --- polling

    def _watch(self, session: Session, _: syscalls.Watch, __: int) -> Attempt:
        def watch(_: float) -> None:
            if session.socket is None:
                raise OSError(errno.ENOTSOCK, "this channel is not a socket's")
            opened = self._handles[self._handle_of[session.socket]]
            if opened.poll_file is None:
                self._bell = self._bell or Bell()
                opened.poll_file = PollFile(self._bell, opened.socket)
                self.poll_files += 1
            for each in opened.sessions:
                each.poll_file = opened.poll_file
            session.send_with(syscalls.Done(), (opened.poll_file.fd,))

        return watch

    def _drop_poll_file(self, opened: _OpenSocket) -> None:
        if opened.poll_file is None or self._bell is None:
            return
        opened.poll_file.close()
        opened.poll_file = None
        self.poll_files -= 1
        if not self.poll_files:
            self._bell.close()
            self._bell = None

    def hang_up(self) -> None:
        """The endpoint ends."""
        for opened in self._handles.values():
            if opened.poll_file is not None:
                opened.poll_file.hang_up()

    # --- opening sockets

    def _open_socket(self, session: Session, request: syscalls.OpenSocket, _: int) -> Attempt:
        if request.family not in (socket.AF_INET, socket.AF_INET6):
            return refusing(errno.EAFNOSUPPORT, f"address family {request.family}: AF_INET or AF_INET6")
        return lambda _: syscalls.Done(
            self._serve(session, DevmemSocket(self._host.stack, request.family))
        )

    def _serve(self, session: Session, sock: DevmemSocket) -> int:
        """Make `session` serve `sock`, once; returns the socket's handle."""
        if session.socket is not None:
            raise OSError(errno.EISCONN, "this channel serves a socket already")
        handle = self._handle(sock)
        opened = self._handles[handle]
        opened.sessions.add(session)
        if opened.accepted_by is not None:
            opened.accepted_by.accepted.discard(handle)
            opened.accepted_by = None
        session.socket, session.poll_file = sock, opened.poll_file
        return handle

    def _handle(self, sock: DevmemSocket) -> int:
        handle = self._handle_of.get(sock)
        if handle is None:
            handle = secrets.randbits(62)
            self._handle_of[sock] = handle
            self._handles[handle] = _OpenSocket(sock)
        return handle

    def _accepted(self, sock: DevmemSocket, session: Session) -> int:
        """`session` was given `sock`, a connection; returns its handle."""
        handle = self._handle(sock)
        self._handles[handle].accepted_by = session
        session.accepted.add(handle)
        return handle

    def _attach_socket(self, session: Session, request: syscalls.AttachSocket, _: int) -> Attempt:
        def attach(_: float) -> syscalls.SocketNames:
            opened = self._handles.get(request.handle)
            if opened is None:
                raise OSError(errno.EBADF, "no such socket, or it is closed")
            self._serve(session, opened.socket)
            return names(opened.socket)

        return attach

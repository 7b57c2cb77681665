"""The supervisor's loop: receives trapped calls, and answers them from the host's endpoint.

In: notifications of the listener, readiness of sockets that calls wait for, ends of processes. Out: answers.
Owns the calls that are blocked, the threads of those that must be one request, and the poll. One thread makes
all attempts: no call that waits holds up another.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial

from nodes.client.host import Host
from nodes.supervisor import tracee
from nodes.supervisor.abi import Abi
from nodes.supervisor.call import Call, GoOn, Handler, Interrupted, InThread, NewFd, Result, Unanswered, Wait
from nodes.supervisor.dispatch import Dispatch
from nodes.supervisor.files import Files
from nodes.supervisor.seccomp import Listener, Notification, Vanished
from nodes.supervisor.socket_file import SocketFile
from nodes.supervisor.strace import Strace
from nodes.uapi.channel import Channel

_IDLE_S = 0.001
_TICK_S = 0.02  # how soon a blocked call notices a signal, or that its thread is gone


class _Blocked:
    """A call that waits."""

    def __init__(self, call: Call, handler: Handler) -> None:
        self.call = call
        self.handler = handler
        self.wait: Wait | None = None  # None: for a thread


class Supervisor:
    """`listener` is the program's; `strace` shows each call of ours."""

    def __init__(self, host: Host, abi: Abi, listener: Listener, strace: Strace | None = None) -> None:
        self._listener = listener
        self._strace = strace
        self._names = {number: name for name, number in abi.trapped.items()}
        self._poll = select.epoll()
        self._files = Files(lambda fd: self._poll.register(fd, select.EPOLLIN))
        self._dispatch = Dispatch(host, self._files, listener, self._renewed, self._to_linux, self._name)
        self._blocked: dict[int, _Blocked] = {}
        self._watched: dict[int, int] = {}
        self._done: deque[tuple[_Blocked, int | OSError]] = deque()
        self._awake, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._named: set[str] = set()
        self._settled_at = 0.0
        self._poll.register(listener.fd, select.EPOLLIN)
        self._poll.register(self._awake, select.EPOLLIN)
        self._endpoint = Channel.connect(host.path)  # hangs up when the endpoint ends
        self._poll.register(self._endpoint.fileno(), select.EPOLLRDHUP)

    def run(self) -> None:
        """Until the program and all that it has started have ended."""
        while True:
            ready = self._poll.poll(self._patience_s())
            now = time.monotonic()
            if not ready or now - self._settled_at >= _IDLE_S:  # other programs' calls hold up no token
                self._dispatch.settle()
                self._settled_at = now
            for fd, events in ready:
                if fd == self._listener.fd:
                    if not events & select.EPOLLIN:
                        return
                    self._receive()
                elif fd == self._awake:
                    self._take_done()
                elif fd == self._endpoint.fileno():
                    self._endpoint_ended()
                elif fd in self._watched:
                    self._resume_waiting(fd)
                else:
                    self._poll.unregister(fd)
                    self._files.process_ended(fd)
            self._tick(time.monotonic())

    def _patience_s(self) -> float:
        if self._dispatch.owes:
            return _IDLE_S
        return _TICK_S if self._blocked else -1

    # --- calls

    def _receive(self) -> None:
        try:
            notification = self._listener.receive()
        except Vanished:
            return
        self._begin(notification)

    def _begin(self, notification: Notification) -> None:
        name = self._names[notification.nr]
        caller = tracee.Caller(notification.pid, partial(self._listener.is_valid, notification.id))
        call = Call(notification.id, caller, name, notification.args)
        made: Result | Handler | None = None
        with self._answering(call):
            made = self._dispatch.make(call)
            if isinstance(made, int | NewFd):
                self._finish(call, made)
        if isinstance(made, Generator):
            handler = made
            self._step(_Blocked(call, handler), lambda: next(handler))

    def _step(self, blocked: _Blocked, go: Callable[[], Wait | InThread]) -> None:
        """Let the handler go on, to its end or to the next wait."""
        call = blocked.call
        self._blocked.pop(call.id, None)
        with self._answering(call):
            try:
                wanted = go()
            except StopIteration as end:
                self._finish(call, end.value)
                return
            self._blocked[call.id] = blocked
            if isinstance(wanted, InThread):
                blocked.wait = None
                threading.Thread(target=self._work, args=(blocked, wanted), daemon=True).start()
            else:
                blocked.wait = wanted
                self._watch(wanted.file.fd)

    @contextmanager
    def _answering(self, call: Call) -> Iterator[None]:
        """What a part raises instead of a result. A bug of ours ends the call and not the program, as a
        kernel's oops would, and standard error has the traceback."""
        try:
            yield
        except GoOn:
            self._listener.go_on(call.id)
        except Vanished:
            pass
        except OSError as refused:
            self._finish(call, refused)
        except Exception:
            traceback.print_exc()
            self._finish(call, OSError(errno.EIO, "BUG"))

    def _finish(self, call: Call, result: Result | OSError) -> None:
        if isinstance(result, OSError):
            value = -(result.errno or errno.EIO)
            if isinstance(result, Unanswered):
                self._name(str(result.strerror))
            self._listener.answer(call.id, value)
        elif isinstance(result, NewFd):
            value = self._install(call, result)
        else:
            value = result
            self._listener.answer(call.id, value)
        if self._strace is not None:
            self._strace.show(call, value)

    def _install(self, call: Call, new: NewFd) -> int:
        if new.tracked:
            self._files.add(new.file)
        try:
            value = self._listener.answer_with(call.id, new.file.fd, new.cloexec)
        except Vanished:
            value = -errno.EINTR
        except OSError as refused:  # EMFILE
            value = -(refused.errno or errno.EMFILE)
            self._listener.answer(call.id, value)
        if not new.tracked:
            new.file.close()
        elif value < 0:
            self._files.collect()
        else:
            self._files.held_by(call.pid)
        return value

    def _name(self, text: str) -> None:
        """Once for each kind of call that the testbed has no answer to."""
        if text not in self._named:
            self._named.add(text)
            print(f"kernel-api: {text}", file=sys.stderr)

    def _renewed(self, call: Call, file: SocketFile, before: str) -> None:
        if self._files.renew(file, before):
            self._listener.replace(call.id, file.fd, call.fd, cloexec=False)

    def _to_linux(self, call: Call, file: SocketFile) -> None:
        with file.of_linux() as sock:
            self._listener.replace(call.id, sock.fileno(), call.fd, tracee.is_cloexec(call.pid, call.fd))
        self._files.collect()

    # --- waits

    def _watch(self, fd: int) -> None:
        """For all that wait for it, once."""
        events = select.EPOLLONESHOT
        for blocked in self._blocked.values():
            if blocked.wait is not None and blocked.wait.file.fd == fd:
                events |= blocked.wait.events
        if fd in self._watched:
            try:
                self._poll.modify(fd, events)
                return
            except FileNotFoundError:  # a socket that closed had this number
                pass
        self._poll.register(fd, events)
        self._watched[fd] = events

    def _resume_waiting(self, fd: int) -> None:
        waiting = [each for each in self._blocked.values() if each.wait and each.wait.file.fd == fd]
        for blocked in waiting:
            if self._listener.is_valid(blocked.call.id):
                self._step(blocked, lambda handler=blocked.handler: next(handler))  # type: ignore[misc]

    def _endpoint_ended(self) -> None:
        """Blocked calls fail as they are attempted again: no poll file tells them."""
        self._poll.unregister(self._endpoint.fileno())
        for blocked in [each for each in self._blocked.values() if each.wait is not None]:
            self._step(blocked, lambda handler=blocked.handler: next(handler))  # type: ignore[misc]

    def _work(self, blocked: _Blocked, work: InThread) -> None:
        try:
            result: int | OSError = work.function()
        except OSError as refused:
            result = refused
        except Exception:
            traceback.print_exc()
            result = OSError(errno.EIO, "BUG")
        self._done.append((blocked, result))
        os.write(self._wake, b"\0")

    def _take_done(self) -> None:
        os.read(self._awake, 4096)
        while self._done:
            blocked, result = self._done.popleft()
            handler = blocked.handler
            if blocked.call.id not in self._blocked:
                continue
            if isinstance(result, OSError):
                self._step(blocked, lambda h=handler, e=result: h.throw(e))  # type: ignore[misc]
            else:
                self._step(blocked, lambda h=handler, n=result: h.send(n))  # type: ignore[misc]

    def _tick(self, now: float) -> None:
        """Deadlines, signals, and threads that are gone."""
        for blocked in [*self._blocked.values()]:
            call, handler = blocked.call, blocked.handler
            if not self._listener.is_valid(call.id):
                del self._blocked[call.id]
                handler.close()
            elif blocked.wait is None:
                continue
            elif blocked.wait.deadline is not None and blocked.wait.deadline <= now:
                late = BlockingIOError(errno.EAGAIN, "timed out")
                self._step(blocked, lambda h=handler, e=late: h.throw(e))  # type: ignore[misc]
            elif tracee.has_signal(call.pid):
                self._step(blocked, lambda h=handler: h.throw(Interrupted()))  # type: ignore[misc]

    def close(self) -> None:
        """The program has ended."""
        self._files.close()
        self._dispatch.close()
        self._endpoint.close()
        self._poll.close()
        for fd in (self._awake, self._wake):
            os.close(fd)

"""All sessions of a host: which of them wait for which socket, and until when.

In: sessions that are blocked in a call, sockets that have changed, `now`. Out: retries of blocked calls; poll
files brought up to date; the sessions whose wanted events may have changed. Owns what calls act on (`kernel`)
and the timers of blocked calls.
"""

from __future__ import annotations

from nodes.control import families
from nodes.host import Host, SystemCalls
from nodes.syscall.file_table import FileTable
from nodes.syscall.session import Session
from nodes.syscall.system_call import Kernel, Platform
from nodes.syscall.user_memory import UserMemory
from nodes.timer_heap import TimerHeap


class Sessions(SystemCalls):
    """In `rearm` are sessions whose wanted events may have changed: the loop takes them out when it tells its
    poll. `waiting` are those blocked in a call."""

    def __init__(self, host: Host, platform: Platform) -> None:
        answers = families.answers(host.devices, host.ethtool)
        memory = UserMemory(host.stack.counted)
        answers |= families.route_answers(host.stack.inet.routes)
        self.kernel = Kernel(host, platform, memory, FileTable(platform.open_poll_file), answers)
        self.rearm: dict[Session, None] = {}
        self.waiting: dict[Session, None] = {}
        self._stack = host.stack
        self._timers: TimerHeap[Session] = TimerHeap()

    @property
    def observed(self) -> bool:
        """Whether a change of a socket may concern a process: one waits in a call, or polls."""
        return bool(self.waiting) or self.kernel.files.poll_files > 0

    def wait(self, session: Session) -> None:
        """`session` is blocked in a call until its deadline."""
        self.waiting[session] = None
        self._timers.schedule(session, session.deadline)

    def done(self, session: Session) -> None:
        """The blocked call of `session` is over. Its timer stays: as a rule the next call moves it."""
        self.waiting.pop(session, None)

    def retry(self, now: float) -> None:
        """Attempt the blocked calls of sockets that have changed and those whose deadline has come; bring
        poll files up to date."""
        while self._stack.changed:
            for sock in self._stack.take_changed():
                file = self.kernel.files.file_of(sock)
                if file is None:
                    continue
                for session in [each for each in file.holders if each in self.waiting]:
                    session.retry(now)
                if file.poll_file is not None:
                    file.poll_file.update()
        while (late := self._timers.pop_due(now)) is not None:
            late.retry(now)

    def next_timeout(self) -> float | None:
        """No later than when the first blocked call gives up."""
        return self._timers.next_timeout()

    def forget(self, session: Session, now: float) -> None:
        """`session` is closed: its socket closes if no other channel serves it."""
        self.waiting.pop(session, None)
        self._timers.cancel(session)
        self.kernel.files.release(session, now)

    def hang_up(self) -> None:
        """The endpoint ends: every process that polls a socket sees it."""
        self.kernel.files.hang_up()

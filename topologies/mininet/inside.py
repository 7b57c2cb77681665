"""A command inside a host of a running network, as if a shell there had started it.

In: the process whose namespaces are the host's, the words of the command, signals. Out: the command runs
there, and this process ends as it did. Owns the command and what it starts, until it ends.

Three processes. This one waits outside. Its child, the supervisor, is in the host's process namespace:
setns(2) moves a process's children only. It starts the command. A pipe tells it which signals came, and, at
its end, that the process outside has gone, by SIGKILL even. All are in one process group: signals of the
terminal reach the command by themselves, and once. Other signals are passed on to the command and to all of
its descendants; the supervisor inherits those that lose their parent (PR_SET_CHILD_SUBREAPER).
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from topologies.mininet.isolation import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    inherit_orphans,
    join,
    signal_at_parents_death,
)

PASSED_ON = (
    signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2
)  # fmt: skip
SI_KERNEL = 0x80  # siginfo's si_code of a signal that the terminal sent
_NAMESPACES = ("net", "mnt", "pid")
_SAME_S = 0.05  # a signal that came to the whole group is not passed on as well
_CANNOT_RUN, _NOT_FOUND = 126, 127  # exit statuses, as in sh


def run_inside(pid: int, argv: Sequence[str], directory: str) -> int:
    """Run `argv` in the namespaces of process `pid`, in `directory` there; returns its exit status. If a
    signal ended it, the same signal ends this process. Raises OSError."""
    noted = {*PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, noted)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    told, tell = os.pipe()
    network, mounts, processes = (os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in _NAMESPACES)
    join(processes, CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        os.close(tell)
        with _NoReturn():
            join(network, CLONE_NEWNET)
            join(mounts, CLONE_NEWNS)
            _Supervisor(told, argv, directory).run()
    for descriptor in (told, network, mounts, processes):
        os.close(descriptor)
    while True:
        came = signal.sigwaitinfo(noted)
        if came.si_signo != signal.SIGCHLD:
            if came.si_code != SI_KERNEL:
                with suppress(BrokenPipeError):
                    os.write(tell, bytes([came.si_signo]))
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _end_as(status)


class _NoReturn:
    """A forked child never goes on in its parent's code, whatever happens in the block."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> NoReturn:
        if error is not None:
            _say(str(error))
        os._exit(_CANNOT_RUN)


class _Supervisor:
    """The process inside that starts the command, passes signals on to it and ends as it does."""

    def __init__(self, told: int, argv: Sequence[str], directory: str) -> None:
        self._told, self._open = told, True
        self._woken, waker = socket.socketpair()
        self._waker = waker
        self._came_s: dict[int, float] = {}  # when this process, in the command's group, got a signal
        self._due: list[tuple[float, int]] = []  # signals to pass on, unless they come to the group
        inherit_orphans()
        for end in (self._woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (*PASSED_ON, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup ignores SIGHUP
                signal.signal(number, lambda *_: None)
        supervisor = os.getpid()
        self._command = os.fork()
        if self._command == 0:
            with _NoReturn():
                _become(argv, directory, supervisor)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def run(self) -> NoReturn:
        while True:
            now = time.monotonic()
            wait_s = max(0.0, self._due[0][0] - now) if self._due else None
            sources: list[Any] = [self._woken, *([self._told] if self._open else [])]
            readable, _, _ = select.select(sources, [], [], wait_s)
            if self._woken in readable:
                self._note_own(self._woken.recv(4096))
            if self._told in readable:
                self._note_told(os.read(self._told, 4096))
            self._pass_on()
            for pid, status in _reaped():
                if pid == self._command:
                    os._exit(_end_as(status))

    def _note_own(self, numbers: bytes) -> None:
        self._came_s.update(dict.fromkeys(numbers, time.monotonic()))

    def _note_told(self, numbers: bytes) -> None:
        self._open = bool(numbers)
        for number in numbers or (signal.SIGTERM,):  # at the end of the pipe the process outside has gone
            self._due.append((time.monotonic() + _SAME_S, number))

    def _pass_on(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            due_s, number = self._due.pop(0)
            if self._came_s.get(number, 0.0) < due_s - 2 * _SAME_S:
                for pid in _descendants(os.getpid()):
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)


def _become(argv: Sequence[str], directory: str, supervisor: int) -> NoReturn:
    """The command, with signals as a shell would have left them."""
    signal.set_wakeup_fd(-1)
    for number in (*PASSED_ON, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        if number not in PASSED_ON or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal_at_parents_death(signal.SIGTERM)
    if os.getppid() != supervisor:  # it was killed before the line above
        os._exit(_CANNOT_RUN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.chdir(directory)
    except OSError as failure:
        _say(f"the current directory {directory} is not there inside ({failure.strerror}); change to another")
        os._exit(_CANNOT_RUN)
    try:
        os.execvp(argv[0], list(argv))
    except OSError as failure:
        _say(f"{argv[0]}: {failure.strerror}")
        os._exit(_NOT_FOUND if isinstance(failure, FileNotFoundError) else _CANNOT_RUN)


def _say(sentence: str) -> None:
    with suppress(OSError):
        os.write(2, f"run.py: exec: {sentence}\n".encode())


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found, unseen = [], [ancestor]
    while unseen:
        more = children.get(unseen.pop(), [])
        found += more
        unseen += more
    return found


def _reaped() -> Iterator[tuple[int, int]]:
    """Children that have ended, with their wait statuses."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found


def _end_as(status: int) -> int:
    """The exit status of a process that has exited. If a signal ended it, the same one ends this process."""
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command may have dumped one
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number

"""Programs on a host's stack: `run.py exec --kernel-api`, in a run that stays up (the fixture `up`).

In: words of a command line. Out: exit status and what was printed. Owns the program's process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from commands.running import find_run, host_of
from nodes.client.host import Host
from tests.system.standing import PROJECT

RUN = [sys.executable, str(PROJECT / "run.py"), "exec"]
PROGRAMS = PROJECT / "tests" / "programs"
H2 = "10.0.1.2"


class Program:
    """A program on a host's stack. What it prints goes to files: it never waits for its reader."""

    def __init__(self, host: str, *words: str, feed: bytes = b"", options: tuple[str, ...] = ()) -> None:
        self._out, self._err, given = (tempfile.TemporaryFile() for _ in range(3))  # noqa: SIM115
        given.write(feed)
        given.seek(0)
        argv = [*RUN, host, "--kernel-api", *options, "--", *words]
        environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            argv, stdin=given, stdout=self._out, stderr=self._err, env=environment
        )
        given.close()

    def result(self) -> tuple[int, bytes, str]:
        """Its exit status, and what it printed to standard output and standard error."""
        status = self.process.wait(60)
        said = []
        for each in (self._out, self._err):
            each.seek(0)
            said.append(each.read())
            each.close()
        return status, said[0], said[1].decode()

    def printed(self) -> bytes:
        """To standard output, so far."""
        return os.pread(self._out.fileno(), 1 << 20, 0)

    def wait_for(self, words: bytes) -> None:
        """Until it has printed them to standard output."""
        give_up_at = time.monotonic() + 30
        while words not in self.printed():
            assert self.process.poll() is None, self.result()
            assert time.monotonic() < give_up_at, f"{words!r} has not come"
            time.sleep(0.02)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, bytes, str]:
        self.process.send_signal(number)
        return self.result()


def run(host: str, *words: str, feed: bytes = b"") -> tuple[int, bytes, str]:
    return Program(host, *words, feed=feed).result()


@contextmanager
def host_seen(name: str) -> Iterator[Host]:
    with closing(Host(host_of(find_run(None), name).channel)) as host:
        yield host


def linux_tree() -> Path:
    """A source tree of Linux, which is no part of the project; skips the test where none is at hand."""
    tree = os.environ.get("LINUX_TREE")
    if not tree:
        pytest.skip("no kernel tree at hand: LINUX_TREE names one, whose programs are then built and run")
    return Path(tree).resolve()


def wait_until_listening(port: int, host: str = "h2") -> None:
    give_up_at = time.monotonic() + 30
    with host_seen(host) as seen:
        while not any(row.state == "LISTEN" and row.local[1] == port for row in seen.sockets()):
            assert time.monotonic() < give_up_at, f"nothing listens at port {port}"
            time.sleep(0.02)


def wait_until_gone(host: str = "h2") -> None:
    """The host's stack has no socket any more, but those in TIME-WAIT."""
    give_up_at = time.monotonic() + 30
    with host_seen(host) as seen:
        while rows := [row for row in seen.sockets() if row.state != "TIME-WAIT"]:
            assert time.monotonic() < give_up_at, f"left: {rows}"
            time.sleep(0.05)

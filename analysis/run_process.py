"""A program that shows its progress on a terminal, started from where there is none.

In: a command line. Out: its status, and what it said. Owns the process, and a terminal that it draws on. The
process stays in the group of its starter: what interrupts or ends a notebook's kernel reaches it, too.
"""

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

_ENVIRONMENT = {"TERM": "xterm", "COLUMNS": "100", "LINES": "25"}
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SHOWN_S = 0.5
_END_S = 60.0  # a run takes its network down


@dataclass(frozen=True, slots=True)
class Started:
    """`terminal`: the end of it that is read from."""

    process: subprocess.Popen[bytes]
    terminal: int


def started(command: Sequence[str], output: IO[bytes]) -> Started:
    """`command`, whose standard output goes to `output`."""
    leader, follower = pty.openpty()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=follower, env=os.environ | _ENVIRONMENT
        )
    except BaseException:
        os.close(leader)
        raise
    finally:
        os.close(follower)
    return Started(process, leader)


def ended(run: Started, show: Callable[[str, str], None]) -> tuple[int, list[str]]:
    """Wait for its end; returns its status and the lines that it drew, each in its last form. `show` is given
    the current line now and then, and the one that it replaces. An exception, as of an interrupt, ends the
    process in order first."""
    screen, shown, at = "", "", 0.0
    try:
        while True:
            alive = run.process.poll() is None
            piece = _read(run.terminal, _SHOWN_S if alive else 0)
            screen += piece.decode("utf-8", "replace")
            line = _last(screen)
            if line != shown and (time.monotonic() >= at + _SHOWN_S or not alive):
                show(line, shown)
                shown, at = line, time.monotonic()
            if not alive and not piece:
                break
    except BaseException:
        run.process.send_signal(signal.SIGINT)
        run.process.wait(_END_S)
        raise
    finally:
        os.close(run.terminal)
        if shown:
            print()
    return run.process.returncode, _lines(screen)


def _read(terminal: int, patience_s: float) -> bytes:
    """What there is now; nothing after `patience_s`, or when nobody writes any more."""
    ready, _, _ = select.select([terminal], [], [], patience_s)
    try:
        return os.read(terminal, 1 << 16) if ready else b""
    except OSError:  # EIO: the last writer has closed
        time.sleep(min(patience_s, 0.05))
        return b""


def _lines(screen: str) -> list[str]:
    """What stays of each line: the last thing that was drawn there."""
    plain = _CONTROL.sub("", screen).replace("\r\n", "\n")
    drawn = ([part for part in line.split("\r") if part.strip()] for line in plain.split("\n"))
    return [parts[-1].rstrip() for parts in drawn if parts]


def _last(screen: str) -> str:
    found = _lines(screen[-4096:])
    return found[-1] if found else ""

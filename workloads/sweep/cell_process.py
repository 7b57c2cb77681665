"""One cell as a process of its own: run.py, what it says in a log, how it ended as a sentence.

In: a command, the directory that it makes. Out: seconds and a reason. Owns the process: it is asked to end
when this one ends, however that comes, and takes its network down itself. Ray carries this module's code to
other machines, which is why it imports nothing of ours. prctl(2), PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_END_S = 60.0  # for a run to take its network down, on a busy machine
# The guard asks for SIGTERM at its parent's death and passes that on. The command could not ask itself: the
# kernel forgets the wish of a process that becomes root of a user namespace.
_GUARD = """
import ctypes, os, signal, subprocess, sys
command, asked = None, False
def end(*_):
    global asked
    asked = True
    if command: command.terminate()
signal.signal(signal.SIGTERM, end)
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != int(sys.argv[1]): sys.exit(1)
command = subprocess.Popen(sys.argv[2:])
if asked: command.terminate()
status = command.wait()
sys.exit(status if status >= 0 else 128 - status)
"""


class CellProcess:
    """From construction until `reason` is not None, or `end`. Construct it in a thread that lives as long:
    the kernel counts a thread's end as the parent's. `limit_s`: seconds after which it is ended."""

    def __init__(self, command: Sequence[str], run_dir: Path, limit_s: float) -> None:
        self.reason: str | None = None
        self._run_dir = run_dir
        self._log = log_of(run_dir)
        self._limit_s = limit_s
        self._started_at = time.monotonic()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _GUARD, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=kept,  # Ray's variables are about the sweep's cluster, a run has a Ray of its own
                start_new_session=True,  # Ctrl-C of the terminal reaches it once, through `end`
            )

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._started_at

    def poll(self) -> bool:
        """Whether it has ended; then `reason` is "" or a sentence."""
        if self.reason is None:
            status = self._process.poll()
            if status is not None:
                self.reason = self._reason(status)
            elif self.seconds > self._limit_s:
                self.end()
                self.reason = f"it was ended after {self._limit_s:g} s; give it a higher --limit"
        return self.reason is not None

    def end(self) -> None:
        """Ask it to end and wait for that; kill it if it does not."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _reason(self, status: int) -> str:
        if status == 0:
            return "" if self._run_dir.is_dir() else f"it wrote no results; see {self._log.name}"
        signals = {128 + number: number.name for number in signal.Signals}  # as shells have it
        how = f"was ended by {signals[status]}" if status in signals else f"ended with status {status}"
        return self._error() or self._said() or f"it {how}; see {self._log.name}"

    def _error(self) -> str:
        """What the manifest says; "" without one."""
        with suppress(OSError, ValueError):
            return str(json.loads((self._run_dir / "manifest.json").read_bytes()).get("error") or "")
        return ""

    def _said(self) -> str:
        """The last sentence of run.py's."""
        lines = self._log.read_text(errors="replace").splitlines()
        said = [line.removeprefix("run.py: ") for line in lines if line.startswith("run.py: ")]
        return said[-1] if said else ""


def log_of(run_dir: Path) -> Path:
    """Where the process's output goes: beside the directory, which run.py makes itself."""
    return run_dir.with_name(f"{run_dir.name}.log")


def command_of(project: Path, run_dir: Path, words: Sequence[str]) -> list[str]:
    """run.py of that project, by the project's own Python, or else by this one."""
    own = project / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    place = [f"--results={run_dir.parent}", f"--run-id={run_dir.name}"]
    return [python, str(project / "run.py"), *place, *words]

"""A Ray of this run's own on this machine and the ranks in it, from the side of run.py.

In: what to put before a program's words so that it runs in namespaces of its own (see
topologies.mininet.enclosure), a `watch` that is called all the time and raises when the run has to end. Out:
a trial's rows. Owns the process that Ray lives in (`workloads.experiment.ray_server`), which takes everything
of Ray's with it. No wait is without a limit, and a signal of the user's reaches no process of Ray's.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar, cast

import psutil

from workloads.experiment import ray_protocol as protocol
from workloads.experiment.patience import patience_s
from workloads.experiment.records import (
    ExperimentConfig,
    ExperimentError,
    RankFailure,
    RankPlace,
    Trial,
)

LOG_NAME = "ray.log"
_PROJECT = Path(__file__).resolve().parents[2]
_SILENCE_S = 28.0  # Ray's process sends Alive more often, also while it starts
_END_S = 10.0
_POLL_S = 0.2
# Of the user's own RAY_ variables none is passed on: they are about another Ray.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else Ray's workers wait for ever below `uv run`
}

_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class RayPlace:
    """`prefix`: see `enclosed`. `directory` is for Ray's files and sockets and needs a short name; `log` is
    for what Ray says."""

    prefix: Sequence[str]
    directory: Path
    log: Path


class RaySession:
    """From construction to `close()`; also a context manager. The process ends with the thread that
    constructed it. Every method but `close` raises ExperimentError, RankFailure or what `watch` raises."""

    server = "workloads.experiment.ray_server"
    end_s = _END_S

    def __init__(self, place: RayPlace, watch: Callable[[], None]) -> None:
        self._place = place
        self._watch = watch
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._process = self._start_process()
        self._ranks: list[psutil.Process] = []
        self._requests = protocol.Outlet(os.dup(_pipe(self._process.stdin).fileno()))
        _pipe(self._process.stdin).close()
        self._reader = threading.Thread(target=self._read, name="Ray's answers", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process to kill so that all of Ray's end."""
        return self._process.pid

    def start(self, config: ExperimentConfig, places: Sequence[RankPlace]) -> tuple[int, ...]:
        """Start Ray and a rank at each place; returns the pids of the ranks' processes."""
        directory = str(self._place.directory / "ray")  # which Ray opens to all; the one above is closed
        started = self._ask(protocol.Start(directory, config, tuple(places)), protocol.Started)
        outside = pids_outside(self.pid)
        if not {*started.pids} <= outside.keys():
            raise ExperimentError("the process of a rank ended at once; start a new run")
        pids = tuple(outside[pid] for pid in started.pids)
        self._ranks = [psutil.Process(pid) for pid in pids]
        return pids

    def signal(self, rank: int, number: signal.Signals) -> None:
        """Send a signal to a rank's process; raises ExperimentError if it has ended."""
        try:
            self._ranks[rank].send_signal(number)
        except psutil.NoSuchProcess:
            raise ExperimentError(f"the process of rank {rank} has ended already") from None

    def run(self, trial: Trial) -> protocol.Rows:
        """One trial on all ranks."""
        return self._ask(protocol.Run(trial), protocol.Rows)

    def close_ranks(self) -> None:
        """Ranks give back what they hold."""
        self._ask(protocol.Close(), protocol.Closed)

    def close(self) -> None:
        """End Ray and everything that it started; raises nothing of its own. Closing the pipe is what does
        it: nothing in that process has to be ready for it."""
        self._requests.close()
        self._wait()
        self._reader.join()

    def _start_process(self) -> subprocess.Popen[bytes]:
        with open(self._place.log, "ab") as log:
            return subprocess.Popen(
                [*self._place.prefix, sys.executable, "-m", self.server],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=_PROJECT,
                env=self._environment(),
                start_new_session=True,  # so that Ctrl-C of the terminal does not reach it
                bufsize=0,
            )

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        token = secrets.token_hex(32)  # of an environment, which only its user and root can read
        return inherited | _ENVIRONMENT | {"RAY_AUTH_TOKEN": token}

    def _ask(self, request: object, kind: type[_Reply]) -> _Reply:
        with contextlib.suppress(OSError):  # it has ended; what it said last is among the messages
            self._requests.send(request)
        heard_at = time.monotonic()
        while True:
            self._watch()
            try:
                message = self._messages.get(timeout=_POLL_S)
            except queue.Empty:
                silent_s = time.monotonic() - heard_at
                if silent_s > patience_s(_SILENCE_S):
                    raise ExperimentError(
                        f"Ray did not answer for {silent_s:.1f} s; see {self._place.log} and start a new run"
                    ) from None
                continue
            if message is None or isinstance(message, protocol.Failed):
                self._raise_failure(message)
            if not self._is_event(message):
                assert isinstance(message, kind), f"{request} was answered by {message}"
                return message
            heard_at = time.monotonic()

    def _is_event(self, message: object) -> bool:
        """Whether it only says that work goes on."""
        return isinstance(message, protocol.Alive)

    def _raise_failure(self, failed: protocol.Failed | None) -> None:
        """A rank often fails because something else failed; when `watch` has learnt of that, it raises the
        better reason. None: the process ended without a word."""
        time.sleep(_POLL_S)
        self._watch()
        if failed is None:
            raise ExperimentError(self._exit_report())
        raise (RankFailure if failed.of_rank else ExperimentError)(failed.reason)

    def _wait(self) -> int:
        """The status of the process, which is killed if it does not end by itself."""
        try:
            return self._process.wait(self.end_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _exit_report(self) -> str:
        status = self._wait()
        number = -status if status < 0 else status - 128  # as Popen has it, as shells and the enclosure do
        how = f"signal {number}" if number > 0 else f"status {status}"
        lines = self._place.log.read_text(errors="replace").strip().splitlines()
        said = f" saying {lines[-1]!r}" if lines else ""
        return f"Ray's process ended with {how}{said}; see {self._place.log} and start a new run"

    def _read(self) -> None:
        with protocol.inlet(os.dup(_pipe(self._process.stdout).fileno())) as messages:
            _pipe(self._process.stdout).close()
            try:
                while True:
                    self._messages.put(messages.recv())
            except (EOFError, OSError, pickle.UnpicklingError):
                self._messages.put(None)


def pids_outside(parent: int) -> dict[int, int]:
    """Processes of the pid namespace that `parent` starts its children in: their pids there, and here."""
    namespace = os.readlink(f"/proc/{parent}/ns/pid_for_children")
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if os.readlink(place / "ns/pid") == namespace:
                status = (place / "status").read_text()
                (line,) = (line for line in status.splitlines() if line.startswith("NSpid:"))
                found[int(line.split()[-1])] = int(place.name)
    return found


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    return cast(IO[bytes], end)

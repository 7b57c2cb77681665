"""The runner of cells on the machines of a Ray cluster, from the side of the sweep.

In: jobs; where the cluster is. Out: events. Owns the process that talks to Ray,
`workloads.sweep.ray_driver`. No wait is without a limit.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from workloads.experiment import ray_protocol as ends
from workloads.experiment.patience import patience_s
from workloads.sweep.ray_protocol import Connect, Machines, Message, Unable
from workloads.sweep.runner import Event, Job, RunnerError

LOG_NAME = "ray.log"
PROJECT = Path(__file__).resolve().parents[2]
DRIVER = (sys.executable, "-m", "workloads.sweep.ray_driver")
_CONNECT_S = 25.0  # to find the cluster
_ANSWER_S = 60.0  # from then on the driver says every second that it lives
_NO_MACHINE_S = 60.0
_POLL_S = 0.2
_END_S = 40.0  # for the runs on all machines to take their networks down
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


class RayRunner:
    """As runner.Runner. The constructor raises RunnerError when there is no such cluster, or when it has no
    machine, and what `watch` raises."""

    def __init__(
        self,
        asked: Connect,
        log: Path,
        watch: Callable[[], None] = lambda: None,
        driver: Sequence[str] = DRIVER,
    ) -> None:
        self._asked, self._log = asked, log
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._machines: int | None = None
        self._heard_at = self._machine_at = time.monotonic()
        with open(log, "ab") as said:
            self._process = subprocess.Popen(
                driver, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, cwd=PROJECT,
                env=os.environ | _ENVIRONMENT, start_new_session=True, bufsize=0,
            )  # fmt: skip
        stdin = cast("IO[bytes]", self._process.stdin)
        self._requests = ends.Outlet(os.dup(stdin.fileno()))
        stdin.close()
        self._reader = threading.Thread(target=self._read, name="the driver's words", daemon=True)
        self._reader.start()
        try:
            self._request(asked)
            while self._machines is None:
                watch()
                assert not self.events(), "no cell has been started"
            if not self._machines:
                raise RunnerError(self._no_machine())
        except BaseException:
            self.close()
            raise

    @property
    def places(self) -> int:
        return self._machines or 0

    def start(self, job: Job) -> None:
        self._request(job)

    def events(self) -> Sequence[Event]:
        news: list[Event] = []
        with suppress(queue.Empty):
            message = self._messages.get(timeout=_POLL_S)
            while True:
                self._heard_at = time.monotonic()
                if message is None or isinstance(message, Unable):
                    raise RunnerError(self._end_of(message))
                if isinstance(message, Machines):
                    self._machines = message.count
                else:
                    news.append(message)
                message = self._messages.get_nowait()
        self._check_deadlines()
        return news

    def close(self) -> None:
        """Ends the runs on all machines; raises nothing of its own. A driver that has found no cluster has
        nothing to end."""
        self._requests.close()
        try:
            self._process.wait(0.0 if self._machines is None else _END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _request(self, request: Connect | Job) -> None:
        with suppress(OSError):  # it has ended; what it said last is among the messages
            self._requests.send(request)

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        if self._machines:
            self._machine_at = now
        if now - self._heard_at > patience_s(_CONNECT_S if self._machines is None else _ANSWER_S):
            raise RunnerError(
                f"Ray at {self._asked.address} did not answer for {now - self._heard_at:.0f} s; look at the "
                f"cluster by `ray status`, see {self._log}, and go on with --resume"
            )
        if self._machines == 0 and now - self._machine_at > _NO_MACHINE_S:
            raise RunnerError(self._no_machine())

    def _no_machine(self) -> str:
        return (
            f"no machine of the Ray cluster at {self._asked.address} has the resource emu_host; start Ray on "
            """each by `ray start --resources '{"emu_host": 1}' ...`, and go on with --resume"""
        )

    def _end_of(self, unable: Unable | None) -> str:
        said = f" ({unable.reason})" if unable else ""
        return (
            f"Ray at {self._asked.address} cannot be used{said}; correct --ray-address or start the cluster, "
            f"see {self._log}, and go on with --resume"
        )

    def _read(self) -> None:
        stdout = cast("IO[bytes]", self._process.stdout)
        with ends.inlet(os.dup(stdout.fileno())) as messages:
            stdout.close()
            try:
                while True:
                    self._messages.put(messages.recv())
            except (EOFError, OSError, pickle.UnpicklingError):
                self._messages.put(None)

"""A user's function of a rank as a workload: called in every iteration, timed, what it asked for compared.

In: the function, a size. Out: what was moved in which time, how many values are wrong. Owns the thread that
the function runs in: one that waits for nothing and never returns is given up as one that waits in vain.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from nodes.client.runtime import thread_id
from workloads.machine import Machine
from workloads.options import RepeatedOptions
from workloads.transports.transport import Transport
from workloads.user.code import UserCode
from workloads.user.rank import UserRank
from workloads.workload import UNCHECKED, CheckResult, Iteration, IterationResult

_LOOK_S = 0.5


class Acting:
    """One rank's part. As workload.Workload. Every rank is connected to every other one."""

    def __init__(
        self, machine: Machine, transport: Transport[Any], code: UserCode, nranks: int, size_bytes: int
    ) -> None:
        self._machine = machine
        self._transport = transport
        self._code = code
        self._nranks = nranks
        self._size = size_bytes
        self._checks = not machine.config.options_as(RepeatedOptions).no_check
        peers = (peer for peer in range(nranks) if peer != machine.place.rank)
        self.send_to = self.receive_from = tuple(peers)
        self._rank: UserRank | None = None

    @property
    def phase(self) -> str:
        return self._rank.doing if self._rank is not None else ""

    def fill(self, iteration: Iteration) -> None:
        machine = self._machine
        rank = UserRank(machine, self._transport, self._code, self._nranks, self._size, iteration.seed)
        rank.fill(0, rank.input(rank.rank))
        rank.doing = f"before the first call of {self._code.words}"
        self._rank = rank

    def run(self, iteration: Iteration) -> IterationResult:  # noqa: ARG002  the data is there
        """Timed until the function returns."""
        runtime, rank = self._machine.runtime, self._rank
        assert rank is not None, "fill comes first"
        began, start_s = runtime.cpu(), runtime.monotonic()
        self._call(rank)
        end_s, used = runtime.monotonic(), runtime.cpu().since(began)
        rank.agree()
        rank.doing = "completion of the last sends"
        for ticket in rank.last.values():
            self._transport.wait_reusable(ticket)
        return IterationResult(
            size_bytes=self._size,
            time_s=end_s - start_s,
            app_cpu_s=used.total_s,
            app_system_cpu_s=used.system_s,
            sent_bytes=rank.sent.total() + rank.said_bytes,
            received_bytes=rank.received.total() + rank.heard_bytes,
            compute_s=rank.computed_s or None,
        )

    def check(self, iteration: Iteration) -> CheckResult:  # noqa: ARG002  the function has said what
        rank = self._rank
        assert rank is not None, "fill comes first"
        if not self._checks or not rank.compared:
            return UNCHECKED
        wrong = sum(rank.accelerator.compare(rank.data, offset, values) for offset, values in rank.compared)
        return CheckResult(sum(values.nbytes for _, values in rank.compared), wrong)

    def _call(self, rank: UserRank) -> None:
        """Raises WorkloadError, and TimeoutError when nothing has moved for the configuration's timeout."""
        runtime = self._machine.runtime
        changed = runtime.condition()
        ended: list[BaseException | None] = []
        threads: list[int] = []

        def work() -> None:
            threads.append(thread_id())
            failure: BaseException | None = None
            try:
                with self._code.explained():
                    self._code.function(rank)
            except BaseException as reason:
                failure = reason
            with changed:
                ended.append(failure)
                changed.notify_all()

        def wait() -> None:
            with changed:
                if not changed.wait_for(lambda: bool(ended), _LOOK_S):
                    raise TimeoutError("the function has not returned")

        runtime.spawn(work, f"{self._code.words} of rank {rank.rank}")
        try:
            self._machine.progress.wait(wait)
        except TimeoutError:
            self._find(rank, threads)
            raise
        if ended[0] is not None:
            raise ended[0]

    def _find(self, rank: UserRank, threads: Sequence[int]) -> None:
        """Where the function is, which need not be in its last call of the rank's."""
        frames = sys._current_frames()
        where = f"line {self._code.line(frames.get(threads[0]) if threads else None)} of {self._code.words}"
        if not rank.doing.endswith(f", {where}"):
            rank.doing = where

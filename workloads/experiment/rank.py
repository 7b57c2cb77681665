"""One rank: fills its accelerator, takes part in a trial, checks every value, reports a row an iteration.

In: trials, by calls from outside (Ray's or a test's) between collectives, never within one. Out: Samples.
Owns the rank's Machine and, during a trial, its Transport.
A trial is `listen` on every rank, `connect` on every rank, `run` on every rank, `disconnect` on every rank.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from nodes.machine.ledger import Totals, totals
from workloads import expected
from workloads.experiment.barrier import Barrier
from workloads.experiment.records import (
    Checked,
    ExperimentConfig,
    Meeting,
    RankFailure,
    RankPlace,
    Sample,
    Timed,
    Trial,
)
from workloads.machine import Machine
from workloads.registry import PATHS, WORKLOADS, Workload
from workloads.transports.transport import Packets, Transport

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class _Counters(NamedTuple):
    """Everything that is read before and after an iteration."""

    moved: Totals
    packets: Packets
    endpoint_cpu_s: float


class _Part(NamedTuple):
    """What a rank has during a trial."""

    trial: Trial
    transport: Transport[Any]
    workload: Workload
    barrier: Barrier


class Rank:
    """Rank `place.rank`. Every method raises RankFailure, whose text is one sentence."""

    def __init__(self, place: RankPlace, config: ExperimentConfig) -> None:
        self._place = place
        self._config = config
        self._kind = WORKLOADS[config.workload]
        self._nranks = self._kind.ranks(config)
        self._part: _Part | None = None
        with self._explained("connecting to its host"):
            self._machine = Machine(place, config)

    def pid(self) -> int:
        """The process to end if it does not end itself."""
        return os.getpid()

    def listen(self, trial: Trial) -> Meeting:
        """Begin a trial; returns where the rank before is to connect."""
        with self._explained(f"opening path {trial.path}"):
            transport = PATHS[trial.path](self._machine)
            workload = self._kind(self._machine, transport, trial.size_bytes)
            self._part = _Part(trial, transport, workload, Barrier(self._nranks, self._config.timeout_s))
            return Meeting(transport.listen(), self._part.barrier.listen())

    def connect(self, next_rank: Meeting) -> None:
        """Connect the rings; returns when both neighbours are connected."""
        with self._explained(f"connecting to rank {(self._place.rank + 1) % self._nranks}"):
            self._current().transport.connect(next_rank.payload)
            self._current().barrier.connect(next_rank.barrier)

    def run(self) -> list[Sample]:
        """All iterations of the trial, warm-up first and marked so."""
        warmup, measured = self._kind.iterations(self._config)
        return [self._iteration(number, number < warmup) for number in range(warmup + measured)]

    def disconnect(self) -> None:
        """End the trial."""
        if self._part is not None:
            with self._explained("disconnecting"):
                self._part.barrier.close()
                self._part.transport.close()
            self._part = None

    def close(self) -> None:
        self.disconnect()
        self._machine.close()

    def _iteration(self, number: int, warmup: bool) -> Sample:
        """Counters are read outside two barriers, so no neighbour's traffic escapes them; the barriers
        themselves are beside the network."""
        trial, transport, workload, barrier = self._current()
        seed = expected.seed_of(self._config.seed, trial.path, trial.size_bytes, trial.repetition, number)
        with self._explained(f"preparing iteration {number}"):
            workload.fill(seed)
            before = self._counters(transport)
        with self._explained(f"waiting for all ranks before iteration {number}"):
            barrier.wait()
        start_s, stolen_s = time.time(), _stolen_s()
        with self._explained(f"running iteration {number}"):
            timed = workload.run()
        end_s, stolen_s = time.time(), _stolen_s() - stolen_s
        with self._explained(f"waiting for all ranks after iteration {number}"):
            barrier.wait()
        after = self._counters(transport)
        with self._explained(f"checking iteration {number}"):
            checked = workload.check(seed)
        return Sample(
            **self._identity(number, warmup),
            **self._found(timed, checked),
            **_counted(before, after),
            machine_steal_s=stolen_s,
            start_s=start_s,
            end_s=end_s,
        )

    def _counters(self, transport: Transport[Any]) -> _Counters:
        stats = self._machine.host.stats()
        stack = transport.counted(stats)
        moved = totals((*stack.moved, *self._machine.ledger.snapshot()))
        return _Counters(moved, stack.packets, stats.cpu_s)

    def _identity(self, number: int, warmup: bool) -> dict[str, Any]:
        """The columns that say whose row it is."""
        trial, _, workload, _ = self._current()
        return {
            "path": trial.path,
            "workload": self._config.workload,
            "type": workload.type,
            "redop": workload.redop,
            "root": workload.root,
            "repetition": trial.repetition,
            "iteration": number,
            "warmup": int(warmup),
            "rank": self._place.rank,
            "host": self._place.host,
            "nranks": self._nranks,
        }

    def _found(self, timed: Timed, checked: Checked) -> dict[str, Any]:
        """The columns that the workload itself found."""
        sent, received = timed.sent_bytes, timed.received_bytes
        return {
            "size_bytes": timed.size_bytes,
            "count_elements": timed.size_bytes // self._kind.element_bytes,
            "time_s": timed.time_s,
            "wrong_elements": checked.wrong_elements,
            "checked_bytes": checked.bytes,
            "payload_sent_bytes": sent,
            "payload_received_bytes": received,
            "payload_staged_bytes": self._current().transport.staged_bytes(sent, received),
            "app_cpu_s": timed.app_cpu_s,
        }

    def _current(self) -> _Part:
        if self._part is None:
            raise RankFailure(f"rank {self._place.rank} is in no trial; call listen first")
        return self._part

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn whatever goes wrong into a sentence that says who, where and when."""
        try:
            yield
        except RankFailure:
            raise
        except Exception as failure:
            who = f"rank {self._place.rank} on host {self._place.host}"
            if self._part is not None:
                who += f", path {self._part.trial.path}"
                doing += f" ({self._part.workload.phase})" if self._part.workload.phase else ""
            reason = str(failure) or type(failure).__name__
            if isinstance(failure, TimeoutError | BlockingIOError):
                reason = f"no answer within {self._config.timeout_s:g} s"
            raise RankFailure(f"{who}, failed while {doing}: {reason}") from failure


def _counted(before: _Counters, after: _Counters) -> dict[str, Any]:
    """The columns that are differences of counters."""
    columns = msgspec.structs.asdict(after.moved.minus(before.moved))
    for name, count in msgspec.structs.asdict(after.packets).items():
        columns[name] = None if count is None else count - getattr(before.packets, name)
    return {**columns, "endpoint_cpu_s": after.endpoint_cpu_s - before.endpoint_cpu_s}


def _stolen_s() -> float:
    """Seconds of CPU time that a hypervisor gave to others, all CPUs together: man 5 proc, /proc/stat."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return int(fields[8]) / _TICKS_PER_S

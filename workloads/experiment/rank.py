"""One rank: fills its accelerator, takes part in trials, checks every value, reports a row an iteration.

In: trials, by calls from outside (Ray's or a test's) between collectives, never within one. Out: Samples.
Owns the rank's Machine and, during a trial, its Transport.
A trial is `prepare` on every rank, then `listen`, `connect`, `run`, `disconnect`, and at last `restore`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from nodes.machine.routes import ROUTES, Totals, totals
from workloads import expected
from workloads.experiment.host_share import share
from workloads.experiment.ledger_series import LedgerReader, LedgerReading
from workloads.experiment.records import (
    ExperimentConfig,
    Operation,
    RankAddresses,
    RankFailure,
    RankPlace,
    Sample,
    Trial,
)
from workloads.experiment.surroundings import THIS_MACHINE, Meeting, Surroundings
from workloads.experiment.tcp_info import TcpInfoSample, TcpInfoSampler
from workloads.machine import Machine
from workloads.options import ITERATIONS_MAX, pause_s, warmup_time_s
from workloads.registry import PATHS, workload_of
from workloads.transports.counters import PacketCounters
from workloads.transports.token_returns import Held
from workloads.transports.token_returns import columns as token_return_columns
from workloads.transports.transport import Transport
from workloads.workload import UNCHECKED, CheckResult, Iteration, IterationResult, Workload


class _Counters(NamedTuple):
    """All counters that are read before and after an iteration."""

    moved: Totals
    packets: PacketCounters
    endpoint_cpu_s: float
    rx_pool_peak_share: float | None
    held_tokens: Held | None
    endpoint_switches: tuple[int, int]


class _RunningTrial(NamedTuple):
    """What a rank has during a trial."""

    trial: Trial
    transport: Transport[Any]
    workload: Workload
    barrier: Meeting


class Rank:
    """Rank `place.rank`. Every method raises RankFailure, whose text is one sentence."""

    def __init__(
        self, place: RankPlace, config: ExperimentConfig, around: Surroundings = THIS_MACHINE
    ) -> None:
        self._around = around
        self._place = place
        self._config = config
        self._type = workload_of(config)
        self._nranks = self._type.ranks(config)
        self._words = self._type.words(config)
        self._running: _RunningTrial | None = None
        self._operations: list[Operation] = []
        self._warms_on = False  # what rank 0 said at the last barrier
        self._pauses_until_s = -math.inf
        self._tcp_info: list[TcpInfoSample] = []
        self._readings: list[LedgerReading] = []
        self._nic = contextlib.ExitStack()  # takes back what `prepare` has done
        with self._explained("connecting to its host and its accelerator"):
            kind, runtime = self._type, around.runtime
            wanted = kind.data_bytes(config), runtime, kind.flows(config), kind.memory(config, place.rank)
            self._machine = Machine(place, config, *wanted)

    def pid(self) -> int:
        """The process to end if it does not end itself."""
        return os.getpid()

    def prepare(self, trial: Trial) -> None:
        """Prepare its NICs for the trial's path, its own if it is that NIC's first rank."""
        with self._explained(f"preparing the NIC for path {trial.path}"):
            path = PATHS[trial.path](self._machine)
            for nic in self._machine.nics:
                if nic != self._place.nic or self._place.leads_nic:
                    path.prepare_nic(nic, self._nic)

    def listen(self, trial: Trial) -> RankAddresses:
        """Begin a trial; returns where each peer that sends to this rank is to connect."""
        with self._explained(f"opening path {trial.path}"):
            path = PATHS[trial.path](self._machine)
            flows = self._type.flows(self._config)
            transport = Transport(self._machine, path, flows, self._type.channels)
            workload = self._type.start(self._machine, transport, trial.size_bytes)
            machines = self._place.machines or ("",) * self._nranks
            barrier = self._around.barrier(
                self._place.rank, machines[: self._nranks], self._machine.progress
            )
            self._running = _RunningTrial(trial, transport, workload, barrier)
            return RankAddresses(transport.listen(workload.receive_from), barrier.listen())

    def connect(self, peers: RankAddresses) -> None:
        """Connect to the peers that this rank sends to, where they listen for it, and to the next rank's
        barrier; returns when the peers that send to this rank are connected as well."""
        running = self._current()
        with self._explained(f"connecting to {_named(running.workload.send_to)}"):
            running.transport.connect({peer: peers.payload[peer] for peer in running.workload.send_to})
            running.barrier.connect(peers.barrier)

    def progress_fd(self) -> int:
        """Of the record that all ranks share when they have connected."""
        return self._machine.progress.fd

    def run(self) -> list[Sample]:
        """All iterations of the trial, warm-up first and marked so. With --warmup-time it goes on until rank
        0's clock says that it is over, which every rank hears at the barrier behind the iteration."""
        self._pauses_until_s = -math.inf
        rows: list[Sample] = []
        self._operations, self._tcp_info = [], []
        warmup_s, now = warmup_time_s(self._config.options), self._machine.runtime.monotonic
        with self._sampled():
            for (warmup, in_place), group in itertools.groupby(self._type.iterations(self._config)):
                until_s = now() + warmup_s if warmup else -math.inf
                self._warms_on, planned = False, len(tuple(group))
                while planned > 0 or self._warms_on:
                    planned -= 1
                    rows.append(self._iteration(len(rows), warmup, in_place, until_s))
        return rows

    def ledger_readings(self) -> list[LedgerReading]:
        """What the ledgers had counted while the last `run` ran."""
        return self._readings

    def operations(self) -> list[Operation]:
        """What the measured iterations of the last `run` did, if that was to be kept."""
        return self._operations

    def tcp_info(self) -> list[TcpInfoSample]:
        """How the connections of the last `run` did, if that was to be sampled."""
        return self._tcp_info

    def disconnect(self) -> None:
        """End the trial."""
        if self._running is not None:
            with self._explained("disconnecting"):
                self._running.barrier.close()
                self._running.transport.close()
            self._running = None

    def restore(self) -> None:
        """Once every rank has disconnected: take back what `prepare` has done."""
        with self._explained("restoring the NIC"):
            self._nic.close()

    def close(self) -> None:
        self.disconnect()
        self.restore()
        self._machine.close()

    def _iteration(self, number: int, warmup: bool, in_place: bool, until_s: float) -> Sample:
        """Rank 0 votes for more iterations of warm-up until `until_s`. Counters are read before the first
        barrier and after the second, so every peer's traffic of this iteration is between them; the barriers
        themselves are beside the network."""
        trial, transport, workload, barrier = self._current()
        seed = expected.seed_of(self._config.seed, trial.path, trial.size_bytes, trial.repetition, number)
        iteration = Iteration(seed, in_place)
        with self._explained(f"preparing iteration {number}"):
            workload.fill(iteration)
            self._pause()
            self._machine.progress.moved()
            before, earlier = self._counters(transport, restart_peak=True), transport.moved()
        with self._explained(f"waiting for all ranks before iteration {number}"):
            barrier.wait()
        around = self._around
        start_s, machine, switches = around.time(), around.machine_cpu(), around.switches()
        with self._explained(f"running iteration {number}"):
            result = workload.run(iteration)
        end_s, machine = around.time(), around.machine_cpu().since(machine)
        switched = around.switches()
        with self._explained(f"waiting for all ranks after iteration {number}"):
            self._warms_on = barrier.wait(self._votes_for_more(number, until_s))
        self._pauses_until_s = self._machine.runtime.monotonic() + pause_s(self._config.options)
        after, moved = self._counters(transport), transport.moved()
        with self._explained(f"checking iteration {number}"):
            checked = self._checked(workload, iteration)
            self._machine.progress.moved()
        if not warmup:
            self._keep(number, result)
        return Sample(
            **self._identity(number, warmup, in_place),
            **self._result_columns(result, checked),
            payload_staged_bytes=moved.staged - earlier.staged,
            payload_local_bytes=moved.local - earlier.local,
            payload_staged_received_bytes=moved.staged_received - earlier.staged_received,
            payload_far_bytes=moved.far - earlier.far,
            **_counter_columns(before, after),
            app_voluntary_switches=switched[0] - switches[0],
            app_involuntary_switches=switched[1] - switches[1],
            machine_steal_s=machine.steal_s,
            machine_softirq_s=machine.softirq_s,
            start_s=start_s,
            end_s=end_s,
        )

    def _pause(self) -> None:
        """Until --pause is over. What was checked and filled since the last iteration is part of it, so
        that a connection is idle for as long on a slow machine as on one whose work takes no time."""
        runtime = self._machine.runtime
        if (rest_s := self._pauses_until_s - runtime.monotonic()) > 0:
            runtime.sleep(rest_s)

    def _checked(self, workload: Workload, iteration: Iteration) -> CheckResult:
        """Payload without content cannot be wrong."""
        return UNCHECKED if self._around.runtime.counted else workload.check(iteration)

    def _votes_for_more(self, number: int, until_s: float) -> bool:
        """There is one clock by which warm-up ends, so that it ends on all ranks with the same iteration."""
        clock_s = self._machine.runtime.monotonic()
        return self._place.rank == 0 and number < ITERATIONS_MAX and clock_s < until_s

    @contextlib.contextmanager
    def _sampled(self) -> Iterator[None]:
        """Read the ledgers meanwhile, and sample the trial's connections if that was asked for."""
        trial, transport, *_ = self._current()
        runtime, period_s = self._machine.runtime, self._config.tcp_info_s
        with contextlib.ExitStack() as stack:
            reader = LedgerReader(runtime, self._ledger_reading())
            stack.enter_context(self._explained("reading what its host has moved"))
            self._readings = stack.enter_context(reader.reading())
            if period_s is None:
                yield
                return
            asked = runtime, period_s, trial, self._place.rank, transport.sent_by(), self._around.time
            sampler = stack.enter_context(TcpInfoSampler(*asked))
            yield
        self._tcp_info = sampler.rows

    def _keep(self, iteration: int, result: IterationResult) -> None:
        trial = self._current().trial
        of = trial.path, result.size_bytes, trial.repetition, iteration, self._place.rank
        self._operations += [Operation(*of, *msgspec.structs.astuple(each)) for each in result.nodes]

    def _counters(self, transport: Transport[Any], restart_peak: bool = False) -> _Counters:
        """The host's first rank alone tells the page pools' highest use, and so it alone may restart it:
        until it has come to the next barrier no rank's payload is under way."""
        leads = self._place.leads_host
        stats = share(self._machine.host.stats(restart_peak and leads), self._place)
        stack = transport.counters(stats)
        moved = totals((*stack.moved, *self._machine.ledger.snapshot()))
        peak = stats.rx_pool_peak_share if leads and stack.packets.rx_packets is not None else None
        switches = stats.voluntary_switches, stats.involuntary_switches
        return _Counters(moved, stack.packets, stats.cpu_s, peak, stack.held_tokens, switches)

    def _ledger_reading(self) -> Callable[[], LedgerReading]:
        """What reads this rank's ledgers and, if any of it is this rank's, its share of the endpoint's."""
        machine, transport, place = self._machine, self._current().transport, self._place
        first = machine.host.stats()
        pools = place.leads_host and transport.counters(first).packets.rx_packets is not None

        def read() -> LedgerReading:
            asks = place.leads_nic or place.leads_host
            stats = machine.host.stats(restart_recent=pools) if asks else first
            counts = [0] * len(ROUTES)
            derived = transport.add_to(counts, share(stats, place)) + machine.ledger.add_to(counts)
            occupied = stats.rx_pool_recent_share if pools else None
            return LedgerReading(machine.runtime.monotonic(), tuple(counts), derived, occupied)

        return read

    def _identity(self, number: int, warmup: bool, in_place: bool) -> dict[str, Any]:
        """The columns that identify a row."""
        return {
            "path": self._current().trial.path,
            "workload": self._config.workload,
            "type": self._words.type,
            "redop": self._words.redop,
            "root": self._words.root,
            "in_place": int(in_place),
            "repetition": self._current().trial.repetition,
            "iteration": number,
            "warmup": int(warmup),
            "rank": self._place.rank,
            "host": self._place.host,
            "nic": self._machine.nic.ifname,
            "nranks": self._nranks,
        }

    def _result_columns(self, result: IterationResult, checked: CheckResult) -> dict[str, Any]:
        """The columns that the workload itself determines."""
        return {
            "size_bytes": result.size_bytes,
            "count_elements": result.size_bytes // self._words.element_bytes,
            "time_s": result.time_s,
            "compute_s": result.compute_s,
            "overlapped_s": result.overlapped_s,
            "setup_s": result.setup_s,
            "stalled_s": result.stalled_s,
            "operations": len(result.latencies_s) or None,
            **_percentiles(result.latencies_s),
            "wrong_elements": checked.wrong_elements,
            "checked_bytes": checked.bytes,
            "payload_sent_bytes": result.sent_bytes,
            "payload_received_bytes": result.received_bytes,
            "app_cpu_s": result.app_cpu_s,
            "app_system_cpu_s": result.app_system_cpu_s,
        }

    def _current(self) -> _RunningTrial:
        if self._running is None:
            raise RankFailure(f"rank {self._place.rank} is in no trial; call listen first")
        return self._running

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn any exception into a sentence that says which rank failed, where and when."""
        try:
            yield
        except RankFailure:
            raise
        except Exception as failure:
            who = f"rank {self._place.rank} on host {self._place.host}"
            if self._running is not None:
                who += f", path {self._running.trial.path}"
                doing += f" ({self._running.workload.phase})" if self._running.workload.phase else ""
            reason = str(failure) or type(failure).__name__
            if isinstance(failure, TimeoutError | BlockingIOError):
                reason = f"nothing has moved for {self._config.timeout_s:g} s; --timeout allows more"
            raise RankFailure(f"{who}, failed while {doing}: {reason}") from failure


def _percentiles(latencies_s: tuple[float, ...]) -> dict[str, float | None]:
    """The columns of latencies, in microseconds; numpy's default interpolation."""
    return {
        f"latency_p{percent}_us": float(np.percentile(latencies_s, percent)) * 1e6 if latencies_s else None
        for percent in (50, 95, 99)
    }


def _named(ranks: tuple[int, ...]) -> str:
    """rank 1, ranks 1 and 2, ranks 1, 2 and 3."""
    *first, last = map(str, ranks or ("none",))
    return f"ranks {', '.join(first)} and {last}" if first else f"rank {last}"


def _counter_columns(before: _Counters, after: _Counters) -> dict[str, Any]:
    """The columns that are differences of counters."""
    columns = msgspec.structs.asdict(after.moved.minus(before.moved))
    for name, count in msgspec.structs.asdict(after.packets).items():
        columns[name] = None if count is None else count - getattr(before.packets, name)
    held = None if after.held_tokens is None else after.held_tokens - (before.held_tokens or Held())
    for at, name in enumerate(("voluntary", "involuntary")):
        switches = after.endpoint_switches[at] - before.endpoint_switches[at]
        columns[f"endpoint_{name}_switches"] = switches
    return {
        **columns,
        **token_return_columns(held),
        "rx_pool_peak_share": after.rx_pool_peak_share,
        "endpoint_cpu_s": after.endpoint_cpu_s - before.endpoint_cpu_s,
    }

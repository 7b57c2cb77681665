"""Background traffic while a network runs: a process of `workloads.traffic` in each host that has a part.

In: --traffic, what the topology file asks for, a started network. Out: traffic from `begin` on until the end
of the context; traffic.csv in the run's directory, and a record for each entry. Owns the processes until
then; the fabric ends them if nobody else does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from commands.usage import UsageError
from topologies.mininet.fabric import FabricError
from topologies.topology import Topology
from topologies.topology_error import TopologyError
from topologies.traffic.check import Traffic, check, drawn
from topologies.traffic.entry import parse
from workloads.experiment.records import NetworkConfig
from workloads.experiment.rows_file import RowsFile
from workloads.traffic.config import Source, TrafficConfig, encode
from workloads.traffic.outcome import CSV_NAME, Entry, TrafficRecord, TrafficRow, outcome
from workloads.traffic.tally import Report

if TYPE_CHECKING:
    from commands.network import StartedNetwork

MODULE = "workloads.traffic"
_READY_S = 20.0
_DRAIN_S = 0.05  # for what was sent to arrive, after nothing more is sent
_UDP_IPV4_BYTES = 28


def asked_traffic(config: NetworkConfig, topology: Topology, seed: int) -> tuple[Traffic, ...]:
    """What the topology file asks for, then --traffic, with all receivers. Raises UsageError."""
    found = []
    for entry in topology.traffic:
        checked = check(entry, topology)
        assert isinstance(checked, Traffic), "a file's is checked when it is loaded"
        found.append(checked)
    found += [_written(text, topology) for text in config.traffic]
    return drawn(found, topology, seed)


def _written(text: str, topology: Topology) -> Traffic:
    try:
        checked = check(parse(text), topology)
    except TopologyError as reason:
        raise UsageError(f"--traffic {text}: {reason}") from None
    if isinstance(checked, Traffic):
        return checked
    raise UsageError(f"--traffic {text}: {next(iter(checked.values()))}")


class BackgroundTraffic:
    """`records`: what each entry got, once the context has ended; none if the run ended otherwise. `pids`:
    the processes, by host."""

    def __init__(self, traffic: Sequence[Traffic], seed: int, run_dir: Path) -> None:
        self._traffic, self._seed, self._run_dir = traffic, seed, run_dir
        self._started: StartedNetwork | None = None
        self._addresses: dict[str, str] = {}  # of Linux's own stack, by host
        self.pids: dict[str, int] = {}
        self.records: tuple[TrafficRecord, ...] = ()

    def __enter__(self) -> BackgroundTraffic:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._end()
            return
        with suppress(FabricError, OSError, RuntimeError):
            self._end()

    def start(self, started: StartedNetwork, topology: Topology) -> None:
        """Start the processes; returns when they take connections. Nothing is sent yet. Raises FabricError,
        and what the network's `watch` raises."""
        if not self._traffic:
            return
        self._started = started
        self._addresses = {
            host.name: host.nics[0].kernel_address.partition("/")[0] for host in topology.hosts
        }
        self._files = started.inventory.make_directory()
        datagram = min(link.mtu for link in topology.links) - _UDP_IPV4_BYTES
        for name in self._addresses:
            if config := self._config(name, datagram):
                argv = [sys.executable, "-m", MODULE, "--config", encode(config)]
                self.pids[name] = started.spawn(name, argv, f"{name}.traffic.log")
                started.inventory.add_process(self.pids[name])
        give_up_at = time.monotonic() + _READY_S
        while missing := [name for name in self.pids if not self._ready(name).exists()]:
            started.watch()
            if time.monotonic() > give_up_at:
                raise FabricError(f"the traffic of {missing[0]} did not start in {_READY_S:g} s; try again")
            time.sleep(0.02)

    def begin(self) -> None:
        """The measured part begins now."""
        self._tell(signal.SIGUSR1)

    def _config(self, name: str, datagram: int) -> TrafficConfig | None:
        """None: the host has no part in it."""
        sources = tuple(
            Source(
                entry=number, kind=each.kind, protocol=each.protocol, rate_bps=sender.rate_bps,
                peers=tuple(self._addresses[peer] for peer in sender.receivers),
                seed=f"{self._seed} traffic {number} {name}",
                sizes=each.sizes, on_s=each.on_s, off_s=each.off_s,
            )
            for number, each in enumerate(self._traffic)
            for sender in each.senders
            if sender.host == name
        )  # fmt: skip
        receivers = {peer for each in self._traffic for sender in each.senders for peer in sender.receivers}
        if not sources and name not in receivers:
            return None
        return TrafficConfig(
            address=self._addresses[name],
            sources=sources,
            datagram_bytes=datagram,
            ready=str(self._ready(name)),
            report=str(self._report(name)),
        )

    def _ready(self, name: str) -> Path:
        return self._files / f"{name}.traffic.ready"

    def _report(self, name: str) -> Path:
        return self._files / f"{name}.traffic.json"

    def _tell(self, number: signal.Signals) -> None:
        for pid in self.pids.values():
            with suppress(ProcessLookupError):  # the network's `watch` tells
                os.kill(pid, number)

    def _end(self) -> None:
        """Raises FabricError, and SamplesError when traffic.csv cannot be written."""
        if self._started is None:
            return
        self._tell(signal.SIGUSR2)
        time.sleep(_DRAIN_S)
        reports = {name: self._ended(self._started, name) for name in self.pids}
        entries = [Entry(each.text, each.kind) for each in self._traffic]
        hosts = {address: name for name, address in self._addresses.items()}
        found = outcome(entries, hosts, reports)
        with RowsFile(self._run_dir / CSV_NAME, TrafficRow) as file:
            file.append(found.rows)
        self.records = found.records

    def _ended(self, started: StartedNetwork, name: str) -> Report:
        status = started.terminate(self.pids[name])
        report = self._report(name)
        if not report.exists():
            log = self._run_dir / f"{name}.traffic.log"
            raise FabricError(f"the traffic of {name} ended with status {status} and no report; see {log}")
        return msgspec.json.decode(report.read_bytes(), type=Report)

"""The process that has a part of a network on a machine that takes part in a run.

    python -m commands.part_server

In: `commands.part_protocol` requests on stdin. Out: answers on stdout, see
`workloads.experiment.machine_agent`; an empty request is answered by the next piece of an archive of what
was written here. Owns the part's network and a temporary directory, until stdin is closed. What fails is told
and ends nothing by itself: files can still be asked for.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from commands import part_protocol as protocol
from commands.checks import check_room
from commands.network import NetworkRequest, RisingNetwork, StartedNetwork
from commands.placement import taking_part
from commands.underlay import check_underlay
from commands.watched import directions, dropped, watched
from nodes.machine.pace import write_factor
from topologies.mininet.cgroup import room
from topologies.mininet.fabric import LOG_NAME
from topologies.mininet.inventory import DIRECTORY_PREFIX
from topologies.mininet.protocol import Probe
from topologies.mininet.search_path import extend_path
from workloads.experiment.machine_clocks import ClockReading
from workloads.experiment.meter import MachineMeter, Used
from workloads.experiment.observer import Observer

_POLL_S = 0.2
_PIECE_BYTES = 8 << 20


class PartServer:
    """`answer` does what a request asks. Raises what its parts raise."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._asked: protocol.Build | None = None
        self._rising: RisingNetwork | None = None
        self._started: StartedNetwork | None = None
        self._meter: MachineMeter | None = None
        self._trial = ExitStack()
        self._files: Iterator[bytes] | None = None
        stack.callback(self._trial.close)

    def watch(self) -> None:
        """Raises when a piece of the part has died."""
        if self._rising is not None:
            self._rising.watch()

    def piece(self) -> bytes:
        """Of an archive of what was written here; b"" after the last one."""
        if self._files is None:
            self._files = self._packed()
        return next(self._files, b"")

    def answer(self, request: Any) -> Any:
        if isinstance(request, protocol.Build):
            return self._build(request)
        assert self._rising is not None
        if isinstance(request, protocol.Calibrate):
            return self._rising.calibrated()
        if isinstance(request, Probe):
            return self._rising.fabric.probe(request).found
        if isinstance(request, protocol.StartHosts):
            return self._start(request)
        if isinstance(request, protocol.Watch):
            return self._watch(request)
        if isinstance(request, protocol.ReadClock):
            return ClockReading.now()
        if isinstance(request, protocol.BeginTrial):
            assert self._meter is not None
            self._trial.enter_context(self._meter.measuring())
            return None
        assert isinstance(request, protocol.EndTrial)
        return self._end_trial(request)

    def _build(self, request: protocol.Build) -> None:
        self._asked = request
        part, config, hosts = request.part, request.config, len(request.part.hosts)
        check_underlay(part)
        here = [each for each in taking_part(config, part.topology) if each.host in part.nodes]
        check_room(msgspec.structs.replace(config, hosts=hosts), here, room())
        place = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX))
        self._stack.callback(shutil.rmtree, place, ignore_errors=True)
        self._run_dir = place / request.run_id
        self._run_dir.mkdir()
        network = NetworkRequest(part.topology, self._run_dir, config, only=part, shown_dir=request.results)
        rising = RisingNetwork(network, lambda: None, self._stack)
        rising.inventory.add_directory(place)
        self._rising = rising

    def _start(self, request: protocol.StartHosts) -> protocol.HostsStarted:
        assert self._rising is not None
        started = self._started = self._rising.started(request.links)
        directory = started.inventory.make_directory()
        paces = {rank: directory / f"rank{rank}.pace" for rank in request.ranks}
        for pace in paces.values():
            write_factor(pace, 1)
        return protocol.HostsStarted(
            {host.name: host.channel for host in started.hosts},
            started.interfaces,
            {rank: str(pace) for rank, pace in paces.items()},
        )

    def _watch(self, request: protocol.Watch) -> None:
        assert self._asked is not None
        assert self._started is not None
        topology = self._asked.part.topology
        observer = Observer(watched(topology, self._started, request.places, request.pids, {}))
        self._meter = MachineMeter(
            observer, directions(topology, self._started), dropped(topology, self._started)
        )

    def _end_trial(self, request: protocol.EndTrial) -> Used:
        assert self._asked is not None
        assert self._meter is not None
        self._trial.close()
        used = self._meter.used(request.trial, request.samples)
        # Cores of all machines are in one file.
        name = self._asked.name
        rows = [
            msgspec.structs.replace(row, name=f"{name}:{row.name}") if row.kind == "core" else row
            for row in used.usage
        ]
        return Used(rows, used.links)

    def _packed(self) -> Iterator[bytes]:
        """Files of hosts have names of their own; that of the network's builder gets the machine's."""
        if self._rising is None or self._asked is None:
            return
        archive = self._run_dir.with_name("archive")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as pack:
            for path in sorted(self._run_dir.iterdir()):
                if path.suffix in (".log", ".pcapng", ".jsonl"):
                    own = f"fabric-{self._asked.name}.log" if path.name == LOG_NAME else path.name
                    pack.write(path, own)
        with open(archive, "rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece


def main() -> NoReturn:
    """Until stdin is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    extend_path()
    requests, answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError), ExitStack() as stack:
        _serve(PartServer(stack), requests, answers)
    os._exit(0)


def _serve(server: PartServer, requests: Connection, answers: Connection) -> NoReturn:
    failed = ""
    while True:
        while not requests.poll(_POLL_S):
            try:
                if not failed:
                    server.watch()
            except Exception as reason:
                failed = _sentence(reason)
                answers.send_bytes(b"E" + failed.encode())
        request = requests.recv_bytes()
        try:
            if not request:
                answer = server.piece()
            elif failed:
                answers.send_bytes(b"F" + failed.encode())
                continue
            else:
                server.watch()
                answer = protocol.encoded(server.answer(protocol.decoded(request)))
        except Exception as reason:
            failed = failed or _sentence(reason)
            answers.send_bytes(b"F" + failed.encode())
            continue
        answers.send_bytes(b"R" + answer)


def _sentence(reason: Exception) -> str:
    if isinstance(reason, OSError | subprocess.SubprocessError | AssertionError) or not str(reason):
        return f"it failed ({type(reason).__name__}: {reason})"
    return str(reason)


if __name__ == "__main__":
    main()

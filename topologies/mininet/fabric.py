"""A running network, from the side of the process that asked for it: run.py or a test.

In: a `Topology`. Out: processes started in its hosts, their pids, reports of those that ended without being
asked to. Owns the builder process (`topologies.mininet.builder`) and, through it, every interface, namespace
and process of the network.
"""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from topologies.calibration import LinkCalibration
from topologies.mininet import protocol
from topologies.mininet.protocol import ChildExited, Completed, Interface, Probe, Probed
from topologies.part import Part, whole
from topologies.topology import Topology

BUILD_S, BUILD_S_PER_NODE = 20.0, 2.0
ANSWER_S = 10.0
PROBE_S = 30.0  # what an end of a slow link takes for one action
CLOSE_S = 15.0  # more than the builder allows itself (GRACE_S, STOP_S)
PROJECT = Path(__file__).resolve().parents[2]
LOG_NAME = "fabric.log"

_Answer = TypeVar("_Answer", bound=protocol.Reply)


class FabricError(RuntimeError):
    """The network could not be built or used; the text is one sentence that names the remedy."""


class Fabric:
    """The network of `topology`, or the part of it that this machine carries, from construction to
    `close()`; also a context manager.

    Logs go to `run_dir` (the builder's own: fabric.log). Ctrl-C does not reach it: it stops when it is closed
    or when the thread that constructed it ends, for whatever reason. Methods may be called from any thread.
    Raises FabricError when the network cannot be built.
    """

    def __init__(self, topology: Topology | Part, run_dir: Path) -> None:
        self.part = topology if isinstance(topology, Part) else whole(topology)
        self.topology = self.part.topology
        self._run_dir = run_dir.resolve()
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[protocol.Request, Future[protocol.Reply]]] = {}
        self._spawned: dict[int, ChildExited] = {}  # running processes, as ChildExited will report them
        self._dead: list[ChildExited] = []
        self._shell_pids: dict[str, int] = {}
        self._first_pid: int | None = None
        self._obstacle: str | None = None
        self._closing = False
        self._ended = threading.Event()  # the builder: it answers no more
        self._builder = self._start_builder()
        self._reader = threading.Thread(target=self._read_answers, name="fabric answers", daemon=True)
        self._reader.start()
        try:
            nodes = len(self.part.nodes) + len(self.part.relays)
            timeout_s = BUILD_S + BUILD_S_PER_NODE * nodes
            ready = self._ask(protocol.Build(next(self._ids), self.part), protocol.Ready, timeout_s)
        except BaseException:
            self.close()
            raise
        self._first_pid = ready.builder_pid
        self._shell_pids = dict(zip(ready.nodes, ready.shell_pids, strict=True))

    def __enter__(self) -> Fabric:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def spawn(self, host_name: str, argv: Sequence[str], log_name: str) -> int:
        """Start `argv` in a host, in a session of its own, output to run_dir/log_name; return its pid.

        It runs from the project's folder until `terminate`, or until the fabric closes. Raises FabricError.
        """
        log_path = str(self._run_dir / log_name)
        request = protocol.Spawn(next(self._ids), host_name, tuple(argv), log_path)
        return self._ask(request, protocol.Spawned, ANSWER_S).pid

    def run(self, host_name: str, argv: Sequence[str], timeout_s: float = 30.0) -> Completed:
        """Run `argv` in a host to its end; any status is an answer. FabricError after `timeout_s`."""
        request = protocol.Run(next(self._ids), host_name, tuple(argv), timeout_s)
        completed = self._ask(request, Completed, timeout_s + ANSWER_S)
        if completed.timed_out:
            raise FabricError(
                f"{argv[0]} in host {host_name} took more than {timeout_s:g} s and was killed; allow it more "
                f"time, or see why it hangs: {completed.stderr.strip()[-200:] or 'it said nothing'}"
            )
        return completed

    def terminate(self, pid: int) -> int:
        """End a spawned process (SIGTERM, SIGKILL 2 s later) and return its exit code. Raises FabricError."""
        return self._ask(protocol.Terminate(next(self._ids), pid), protocol.Terminated, ANSWER_S).status

    def check(self) -> None:
        """Raise FabricError if the builder has ended without being asked to."""
        if self._ended.is_set() and not self._closing:
            raise FabricError(self._exit_report())

    def dead_children(self) -> list[ChildExited]:
        """Spawned processes and hosts' shells that have ended since the last call without being asked to.

        When the builder dies, every spawned process dies with it and is reported with the builder's status.
        """
        with self._lock:
            dead, self._dead = self._dead, []
        return dead

    def interfaces(self) -> tuple[Interface, ...]:
        """Every link end and bridge with the limits that the kernel reports now. Raises FabricError."""
        return self._ask(protocol.Describe(next(self._ids)), protocol.Described, ANSWER_S).interfaces

    def calibrate(self) -> tuple[LinkCalibration, ...]:
        """Measure, in both directions, the links that something is asked of; nothing else may use the
        network meanwhile. Raises FabricError."""
        timeout_s = ANSWER_S * (1 + len(self.topology.links))
        return self._ask(protocol.Calibrate(next(self._ids)), protocol.Calibrated, timeout_s).links

    def probe(self, request: Probe) -> Probed:
        """Measure at one end of a link to another machine. Raises FabricError."""
        numbered = msgspec.structs.replace(request, id=next(self._ids))
        return self._ask(numbered, Probed, ANSWER_S + PROBE_S)

    def set_links(self, down: Collection[str] = (), rates: Mapping[str, int] | None = None) -> float:
        """Take these links down, by their names, and all others up; give those of `rates` another rate, in
        bits a second. Returns when that was (Unix time). Raises FabricError."""
        request = protocol.SetLinks(next(self._ids), tuple(down), dict(rates or {}))
        return self._ask(request, protocol.LinksSet, ANSWER_S + len(self.topology.switches)).time_s

    @property
    def builder_pid(self) -> int:
        """The builder's pid: killing it ends everything else."""
        return self._builder.pid

    @property
    def pids(self) -> tuple[int, ...]:
        """The fabric's processes known here: the builder's two, the nodes' shells, running spawned ones."""
        first = () if self._first_pid is None else (self._first_pid,)
        with self._lock:
            return (self._builder.pid, *first, *self._shell_pids.values(), *self._spawned)

    def shell_pid(self, node: str) -> int:
        """The process that keeps a host's or switch's namespaces open: nsenter's target."""
        return self._shell_pids[node]

    def close(self) -> None:
        """End every process, take the network down. Safe to call again; raises nothing of its own."""
        self._closing = True
        if self._builder.stdin and not self._builder.stdin.closed:
            self._builder.stdin.close()
        for hurry in (self._builder.terminate, self._builder.kill):
            try:
                self._builder.wait(CLOSE_S)
                break
            except subprocess.TimeoutExpired:
                hurry()
        self._builder.wait()
        self._reader.join()

    def _start_builder(self) -> subprocess.Popen[bytes]:
        self._run_dir.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "topologies.mininet.builder", str(os.getpid())]
        with open(self._run_dir / LOG_NAME, "ab") as log:
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=PROJECT,
                start_new_session=True,  # so that Ctrl-C of the terminal does not reach it
                bufsize=0,
            )

    def _ask(self, request: protocol.Request, kind: type[_Answer], timeout_s: float) -> _Answer:
        answer: Future[protocol.Reply] = Future()
        self._waiting[request.id] = request, answer
        try:
            with self._lock:
                _pipe(self._builder.stdin).write(protocol.encoder.encode(request) + b"\n")
            if self._ended.is_set():
                raise BrokenPipeError
            found = answer.result(timeout_s)
        except (BrokenPipeError, ValueError):
            self._reader.join(ANSWER_S)
            raise FabricError(self._exit_report()) from None
        except FutureTimeoutError:
            what = type(request).__name__.lower()
            raise FabricError(
                f"the network's builder did not answer {what} in {timeout_s:g} s; "
                f"see {self._run_dir / LOG_NAME}"
            ) from None
        finally:
            self._waiting.pop(request.id, None)
        if isinstance(found, protocol.Refused):
            raise FabricError(found.reason)
        assert isinstance(found, kind), f"{request} was answered by {found}"
        return found

    def _read_answers(self) -> None:
        with io.BufferedReader(_pipe(self._builder.stdout)) as lines:
            for line in lines:
                message = protocol.answers.decode(line)
                if isinstance(message, ChildExited):
                    with self._lock:
                        self._spawned.pop(message.pid, None)
                        self._dead.append(message)
                elif isinstance(message, protocol.Refused) and message.id == 0:
                    self._obstacle = message.reason
                elif message.id in self._waiting:
                    self._settle(*self._waiting[message.id], message)
        self._report_exit(self._builder.wait())

    def _settle(
        self, request: protocol.Request, answer: Future[protocol.Reply], message: protocol.Reply
    ) -> None:
        with self._lock:  # here and not in spawn(): the next line may report that it has exited
            if isinstance(request, protocol.Spawn) and isinstance(message, protocol.Spawned):
                self._spawned[message.pid] = ChildExited(request.host, message.pid, 0, request.argv)
            elif isinstance(request, protocol.Terminate) and isinstance(message, protocol.Terminated):
                self._spawned.pop(request.pid, None)
        answer.set_result(message)

    def _report_exit(self, status: int) -> None:
        """The builder has ended with `status`: so have its children, and no request is answered."""
        self._ended.set()
        with self._lock:
            if not self._closing:
                self._dead += [ChildExited(c.host, c.pid, status, c.argv) for c in self._spawned.values()]
            self._spawned.clear()
        for _, answer in list(self._waiting.values()):
            answer.set_exception(FabricError(self._exit_report()))

    def _exit_report(self) -> str:
        """Why the builder answers no more: one sentence with the remedy."""
        if self._obstacle is not None:
            return self._obstacle
        if self._closing:
            return "the network is closed; build a new one"
        log = self._run_dir / LOG_NAME
        words = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        said = f" saying {words[0]!r}" if words else ""
        status = self._builder.poll()
        return f"the network's builder ended with status {status}{said}; see {log} and start a new run"


def _pipe(end: object) -> io.FileIO:
    """Popen's unbuffered pipe, which Popen's annotations give another type."""
    return cast(io.FileIO, end)

"""The builder process: one Mininet network in namespaces of its own, and the processes that run in its hosts.

    python -m topologies.mininet.builder PARENT_PID

In: `topologies.mininet.protocol` requests, a JSON line each, on stdin. Out: replies and events on stdout;
Mininet's own log on stderr. Owns the network, the hosts' processes and everything they start: it is process 1
of a pid namespace, so the kernel ends all of them when it dies. It stops in good order when stdin ends (its
client closed it or died) or at SIGTERM.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import msgspec
from mininet.log import lg

from topologies.host import Host
from topologies.mininet import protocol
from topologies.mininet.assembly import assemble, interfaces, links_of
from topologies.mininet.calibrate import calibrate
from topologies.mininet.far_ends import FarEnds
from topologies.mininet.isolation import become_first_process, pid_outside, signal_at_parents_death
from topologies.mininet.link_states import LinkStates
from topologies.mininet.node import HostProcess
from topologies.mininet.orphans import Orphans, reap_orphans
from topologies.mininet.search_path import extend_path
from topologies.part import Part
from topologies.relay import Relay
from topologies.switch import Switch
from topologies.topology_error import TopologyError

COMMANDS = ("mnexec", "brctl", "ifconfig", "ip")  # the programs that Mininet runs
GRACE_S = 2.0  # between SIGTERM and SIGKILL
STOP_S = 10  # Mininet waits for ever for a shell that hangs; after this the kernel cleans up instead


class Child(msgspec.Struct, eq=False):
    """A process the builder watches: spawned, run to its end, or a node's own shell.

    `ended` is called with its exit code; at `deadline_s` (monotonic seconds) it is killed.
    """

    host: str
    argv: tuple[str, ...]
    process: HostProcess
    ended: Callable[[int], None]
    deadline_s: float | None = None

    def kill(self, number: signal.Signals) -> None:
        """Signal its whole session, which mnexec made it the leader of."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            self.process.send_signal(number)  # it has not called setsid yet


class Builder:
    """Serves one client; `run()` returns when the client wants no more. `underlay`: a descriptor of the
    network namespace that the client is in."""

    def __init__(self, requests_fd: int, replies_fd: int, underlay: int) -> None:
        self._requests_fd, self._replies_fd = requests_fd, replies_fd
        self._unread = b""
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}  # by outside pid
        self._underlay = underlay
        self._part: Part | None = None
        self._net: Any = None
        self._links: LinkStates | None = None
        self._far_ends: FarEnds | None = None
        self._open = True

    def run(self) -> None:
        with ExitStack() as undo:
            self._selector.register(self._requests_fd, selectors.EVENT_READ, self._read_requests)
            orphans = undo.enter_context(Orphans())
            self._selector.register(orphans, selectors.EVENT_READ, orphans.drain)
            undo.callback(self._stop_network)
            undo.callback(self._stop_children)
            undo.callback(_ignore_signals)
            while self._open:
                self._turn(self._select_timeout_s())

    def _turn(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            key.data()
        ours = [*(child.process for child in self._children.values()), *self._shells()]
        reap_orphans({process.pid for process in ours})
        for child in list(self._children.values()):
            if child.deadline_s is not None and time.monotonic() >= child.deadline_s:
                child.deadline_s = None
                child.kill(signal.SIGKILL)

    def _select_timeout_s(self) -> float | None:
        deadlines = [child.deadline_s for child in self._children.values() if child.deadline_s is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _read_requests(self) -> None:
        received = os.read(self._requests_fd, 65536)
        self._open = bool(received)
        *lines, self._unread = (self._unread + received).split(b"\n")
        for line in lines:
            self._answer(protocol.requests.decode(line))

    def _answer(self, request: protocol.Request) -> None:
        try:
            match request:
                case protocol.Build():
                    self._build(request)
                case protocol.Spawn():
                    self._spawn(request)
                case protocol.Run():
                    self._run(request)
                case protocol.Terminate():
                    self._terminate(request)
                case protocol.Describe():
                    self._describe(request)
                case protocol.Calibrate():
                    self._calibrate(request)
                case protocol.Probe():
                    self._probe(request)
                case protocol.SetLinks():
                    self._set_links(request)
        except (OSError, TopologyError) as error:
            self._send(protocol.Refused(request.id, _sentence(error)))

    def _send(self, message: protocol.Reply | protocol.ChildExited) -> None:
        line = memoryview(protocol.encoder.encode(message) + b"\n")
        try:
            while line:
                line = line[os.write(self._replies_fd, line) :]
        except BrokenPipeError:
            self._open = False

    # The network

    def _build(self, request: protocol.Build) -> None:
        self._part = part = request.part
        net = self._net = assemble(part, self._underlay)
        self._links = LinkStates(net, part.topology)
        self._far_ends = FarEnds(part, lambda node: int(net[node].pid))
        nodes = [*net.hosts, *net.switches]
        for node in nodes:
            self._expect_to_run(node.name, ("shell", "of", node.name), node.shell)
        builder_pid = pid_outside(HostProcess.outside_proc)
        names = tuple(node.name for node in nodes)
        shells = tuple(node.shell.outside_pid for node in nodes)
        self._send(protocol.Ready(request.id, builder_pid, names, shells))

    def _describe(self, request: protocol.Describe) -> None:
        found = []
        for node, name, in_node in interfaces(self._built()):
            with links_of(self._net, node, in_node) as links:
                found.append(protocol.Interface(node, name, *msgspec.structs.astuple(links.get(name))))
        self._send(protocol.Described(request.id, tuple(found)))

    def _calibrate(self, request: protocol.Calibrate) -> None:
        found = calibrate(self._built().whole_links, lambda node: int(self._net[node].pid))
        self._send(protocol.Calibrated(request.id, found))

    def _probe(self, request: protocol.Probe) -> None:
        self._built()
        assert self._far_ends is not None
        self._send(protocol.Probed(request.id, self._far_ends.act(request)))

    def _built(self) -> Part:
        if self._part is None:
            raise TopologyError("no network has been built yet; ask for one first")
        return self._part

    def _set_links(self, request: protocol.SetLinks) -> None:
        if self._links is None:
            raise TopologyError("no network has been built yet; ask for one first")
        self._send(protocol.LinksSet(request.id, self._links.set(request.down, request.rates)))

    # The hosts' processes

    def _spawn(self, request: protocol.Spawn) -> None:
        with open(request.log_path, "ab") as log:
            process = self._start(request.host, request.argv, log.fileno(), log.fileno())
        self._expect_to_run(request.host, request.argv, process)
        self._send(protocol.Spawned(request.id, process.outside_pid))

    def _run(self, request: protocol.Run) -> None:
        outputs = [os.memfd_create(name) for name in ("stdout", "stderr")]
        child: Child

        def ended(status: int) -> None:
            texts = []
            for fd in outputs:
                texts.append(os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace"))
                os.close(fd)
            stdout, stderr = texts
            timed_out = child.deadline_s is None
            self._send(protocol.Completed(request.id, status, stdout, stderr, timed_out))

        try:
            process = self._start(request.host, request.argv, *outputs)
        except BaseException:
            for fd in outputs:
                os.close(fd)
            raise
        child = Child(request.host, request.argv, process, ended, time.monotonic() + request.timeout_s)
        self._watch(child)

    def _start(self, host: str, argv: tuple[str, ...], stdout: int, stderr: int) -> HostProcess:
        part = self._built()
        nodes: Iterable[Host | Switch | Relay] = (*part.hosts, *part.routers, *part.relays)
        own = {node.name for node in nodes}
        if host not in own:
            part.topology.host(host)  # or there is none
            raise TopologyError(f"host {host} is on another machine")
        node = self._net[host]
        if node.shell.poll() is not None:
            status = node.shell.returncode
            raise TopologyError(f"host {host} has died (its shell with status {status}); start a new run")
        process: HostProcess = node.popen(list(argv), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        return process

    def _terminate(self, request: protocol.Terminate) -> None:
        child = self._children.get(request.pid)
        if child is None:
            raise TopologyError(f"process {request.pid} is none of this network's; it may have ended already")
        child.ended = lambda status: self._send(protocol.Terminated(request.id, status))
        child.deadline_s = time.monotonic() + GRACE_S
        child.kill(signal.SIGTERM)

    def _expect_to_run(self, host: str, argv: tuple[str, ...], process: HostProcess) -> None:
        """Watch a process that ends only when it is told to, and report to the client if it does before."""
        event = partial(protocol.ChildExited, host, process.outside_pid, argv=argv)
        self._watch(Child(host, argv, process, lambda status: self._send(event(status=status))))

    def _watch(self, child: Child) -> None:
        self._children[child.process.outside_pid] = child
        pidfd = os.pidfd_open(child.process.pid)
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._reap(child, pidfd))

    def _reap(self, child: Child, pidfd: int) -> None:
        self._selector.unregister(pidfd)
        os.close(pidfd)
        status = child.process.wait()
        del self._children[child.process.outside_pid]
        child.ended(status)

    # The end

    def _stop_children(self) -> None:
        self._selector.unregister(self._requests_fd)
        shells = self._shells()
        for child in list(self._children.values()):
            child.ended = lambda _status: None
            if child.process in shells:
                del self._children[child.process.outside_pid]
            else:
                child.deadline_s = time.monotonic() + GRACE_S
                child.kill(signal.SIGTERM)
        while self._children:
            self._turn(self._select_timeout_s())

    def _stop_network(self) -> None:
        if all(shell.poll() is None for shell in self._shells()) and self._net is not None:
            self._net.stop()

    def _shells(self) -> list[HostProcess]:
        return [node.shell for node in (*self._net.hosts, *self._net.switches)] if self._net else []


def _ignore_signals() -> None:
    """From here on no signal interrupts the orderly end, and it lasts STOP_S at most."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.alarm(STOP_S)


def _sentence(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _obstacle() -> str | None:
    """Why no network can be built here, as a sentence with its remedy; None when one can."""
    if os.geteuid() != 0:
        return f"building a network needs root and this is user id {os.geteuid()}; run it with sudo"
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        return f"the command {missing[0]} is missing; run `make setup`"
    return None


def _refuse(replies_fd: int, reason: str) -> NoReturn:
    os.write(replies_fd, protocol.encoder.encode(protocol.Refused(0, reason)) + b"\n")
    sys.exit(1)


def _take_over_stdio() -> tuple[int, int]:
    """Keep stdin and stdout for the protocol; what other code prints goes to stderr."""
    requests_fd, replies_fd = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)
    return requests_fd, replies_fd


def _at_sigterm(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main(parent_pid: int) -> None:
    """Serve the client `parent_pid` until it closes or dies."""
    signal_at_parents_death(signal.SIGTERM)
    if os.getppid() != parent_pid:  # the client died before the line above
        return
    underlay = os.open("/proc/self/ns/net", os.O_RDONLY)
    extend_path()
    if reason := _obstacle():
        _refuse(1, reason)
    try:
        HostProcess.outside_proc = become_first_process()
    except OSError as error:
        reason = f"new namespaces are refused here ({_sentence(error)})"
        _refuse(1, f"{reason}; run as root, outside of any sandbox")
    signal.signal(signal.SIGTERM, _at_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lg.setLogLevel("info")
    Builder(*_take_over_stdio(), underlay).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))

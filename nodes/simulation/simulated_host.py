"""One host of a simulation: it drives a Host as an endpoint process does on a real machine.

In: frames at its ports, requests of its processes, timers. Out: turns, each at the nanosecond at which the
host's CPU, memory and PCIe are free for it; what a turn sends, frames and replies, leaves when its work is
done. Owns the Host, its sessions and the model of its machine.
"""

from __future__ import annotations

import errno
import select
import socket as linux
from typing import Final, NoReturn

from nodes.host import Host, NicWire, Surroundings
from nodes.host_config import HostConfig, NicConfig
from nodes.machine.buses import Buses
from nodes.simulation.channel import Answer, ClientEnd, Pipe, ServerEnd
from nodes.simulation.clock import Event, ns
from nodes.simulation.machine_model import MachineModel, MachineSpec
from nodes.simulation.port import Port
from nodes.simulation.process import Scheduler
from nodes.sock.devmem_socket import DevmemSocket
from nodes.syscall.file_table import PollFile
from nodes.syscall.session import Session
from nodes.syscall.sessions import Sessions
from nodes.wire import ethernet, ipv6

# One super-packet, and another connection's turn: an ACK does not wait behind a window of data in the device,
# as TCP small queues see to (tcp_small_queue_check, net/ipv4/tcp_output.c).
_SMALL_QUEUE: Final = 1
_TURN_MIN_NS: Final = 1  # a machine without costs goes on in time, too
_IN: Final = select.EPOLLIN
_HUP: Final = select.EPOLLRDHUP


class SimulatedPlatform:
    """What an operating system would add below: nothing. Satisfies nodes.syscall.system_call.Platform."""

    def __init__(self) -> None:
        self.buses = Buses({})
        self.cpu_ns = 0  # what the host's CPU has worked

    def open_poll_file(self, sock: DevmemSocket) -> PollFile:  # noqa: ARG002
        _refuse("a simulated socket has no descriptor to poll: use blocking calls and threads")

    def open_kernel_socket(self) -> linux.socket:
        _refuse("a simulated host has no Linux below it: path kernel needs Mininet")

    def cpu_s(self) -> float:
        return self.cpu_ns / 1e9

    def switches(self) -> tuple[int, int]:
        return 0, 0


def _refuse(why: str) -> NoReturn:
    raise OSError(errno.EOPNOTSUPP, why)


class SimulatedHost:
    """`config`: of the host; its interfaces are numbered from `first_ifindex` on. `mtu`: of all its links.
    `carried`: whether payload is carried, or counted."""

    def __init__(
        self,
        scheduler: Scheduler,
        config: HostConfig,
        machine: MachineSpec,
        seed: int,
        mtu: int = 1500,
        carried: bool = True,
    ) -> None:
        self.config = config
        self._scheduler = scheduler
        self._clock = scheduler.clock
        self.ports = [Port(self._clock, _macs(nic), self.wake, carried) for nic in config.nics]
        wires = [NicWire(port, 2 + at, mtu) for at, port in enumerate(self.ports)]
        self.host = Host.build(
            config, wires, Surroundings(seed, counted=not carried, segments_per_turn=_SMALL_QUEUE)
        )
        self.platform = SimulatedPlatform()
        self.host.calls = self._sessions = Sessions(self.host, self.platform)
        self.machine = MachineModel(machine, self.host, self.ports)
        self._ifindexes = [*self.host.devices]  # of the ports
        self._pipes: dict[int, tuple[Pipe, Session]] = {}
        self._opened = 0
        self._rung: dict[int, None] = {}  # channels with something for the host
        self._answers: list[tuple[Pipe, Answer | None]] = []
        self._next_turn = _Turn(0, self)  # moved, and never made anew
        self._busy_until_ns = 0
        self.turns = 0

    def connect(self) -> ClientEnd:
        """A new channel of a process, with CAP_NET_ADMIN."""
        self._opened += 1
        pipe = Pipe(self._scheduler, self._opened, self._ring)
        session = Session(ServerEnd(pipe, self._answered), True, self._sessions)
        self._pipes[pipe.number] = pipe, session
        return ClientEnd(pipe)

    def _ring(self, pipe: Pipe) -> None:
        self._rung[pipe.number] = None
        self.wake()

    def _answered(self, pipe: Pipe, answer: Answer | None) -> None:
        self._answers.append((pipe, answer))

    def wake(self) -> None:
        """There is something to do: take a turn as soon as the last one's work is done."""
        self._turn_no_later_than(self._clock.now_ns)

    def set_link(self, nic: int, up: bool) -> None:
        """The link of that NIC, by its number, is down or up."""
        self.host.set_link(self._ifindexes[nic], up)
        self.wake()

    def _turn_no_later_than(self, at_ns: int) -> None:
        at_ns = max(at_ns, self._busy_until_ns)
        turn = self._next_turn
        if turn.is_due:
            if turn.at_ns <= at_ns:
                return
            self._clock.cancel(turn)
        turn.at_ns = at_ns
        self._clock.put(turn)

    def turn(self) -> None:
        """Serve frames, timers and calls, and let connections send."""
        self.turns += 1
        host, now, ports = self.host, self._clock.seconds(), self.ports
        host.receive(now, [self._ifindexes[at] for at, port in enumerate(ports) if port.readable])
        calls = self._serve(now)
        due = host.transmit(now)
        more = self._rearm()
        busy_ns, served_at = self.machine.after_turn(calls, now)
        self.platform.cpu_ns += busy_ns
        over_ns = self._clock.now_ns + max(busy_ns, _TURN_MIN_NS)
        self._busy_until_ns = max(over_ns, ns(served_at))
        for port in ports:
            port.flush(over_ns)
        if self._answers:
            answers, self._answers = self._answers, []
            self._clock.put(_Delivery(over_ns, answers))
        if more or any(port.readable for port in ports):
            self._turn_no_later_than(over_ns)
        elif due is not None:
            self._turn_no_later_than(ns(due))

    def _serve(self, now: float) -> int:
        """One request of each channel that has some and may make a call; returns how many calls that was."""
        if not self._rung:
            return 0
        rung, self._rung = self._rung, {}
        calls = 0
        for number in rung:
            pipe, session = self._pipes[number]
            events = session.wanted_events()
            readable = bool(pipe.requests) and bool(events & _IN)
            if readable or pipe.client_closed:
                session.handle(_IN if readable else _HUP, now)
                calls += readable
                pipe.taken()
            if pipe.requests or pipe.client_closed:
                self._sessions.rearm[session] = None
        return calls

    def _rearm(self) -> bool:
        """Note which channels have more for the host; returns whether any may be served now."""
        if not self._sessions.rearm:
            return bool(self._rung)
        rearm, self._sessions.rearm = self._sessions.rearm, {}
        for session in rearm:
            if session.closed:
                self._pipes.pop(session.fd, None)
                continue
            pipe = self._pipes[session.fd][0]
            may_call = bool(session.wanted_events() & _IN)
            if pipe.client_closed or (pipe.requests and may_call):
                self._rung[session.fd] = None
        return bool(self._rung)

    def close(self) -> None:
        """The host's processes have ended: what they left is undone."""
        now = self._clock.seconds()
        for _, session in [*self._pipes.values()]:
            session.close(now)
        _deliver(self._answers)
        self._answers = []
        self._clock.cancel(self._next_turn)
        self.host.close()


class _Turn(Event):
    __slots__ = ("_host",)

    def __init__(self, at_ns: int, host: SimulatedHost) -> None:
        super().__init__(at_ns)
        self._host = host

    def happen(self) -> None:
        self._host.turn()


class _Delivery(Event):
    """What a turn has answered reaches the processes."""

    __slots__ = ("_answers",)

    def __init__(self, at_ns: int, answers: list[tuple[Pipe, Answer | None]]) -> None:
        super().__init__(at_ns)
        self._answers = answers

    def happen(self) -> None:
        _deliver(self._answers)


def _deliver(answers: list[tuple[Pipe, Answer | None]]) -> None:
    for pipe, answer in answers:
        pipe.deliver(answer)


def _macs(nic: NicConfig) -> list[bytes]:
    """Of the frames that the NIC takes: its own, and its multicast groups'."""
    v6 = nic.ipv6
    groups = () if v6 is None else (ipv6.solicited_node(int(v6.ip)), ipv6.ALL_NODES)
    return [nic.mac_bytes, *(ethernet.multicast_of(group) for group in groups)]

"""A simulation: hosts, lines and switches under one clock, and the processes that run on the hosts.

In: hosts, how they are joined, programs. Out: what the programs make of it, and every counter of the hosts.
Owns the clock and the scheduler. Two runs of the same program and seed are the same to the last bit.

    with Simulation(seed=1) as simulation:
        a, b = simulation.add_host("a", "10.0.0.1/24"), simulation.add_host("b", "10.0.0.2/24")
        simulation.join(a, b, bits_per_second=200_000_000_000, propagation_ns=5_000)
        a.spawn(sender); b.spawn(receiver)
        simulation.run()
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from functools import partial
from typing import Self

from nodes.client.host import Host as ClientHost
from nodes.host_config import HostConfig, NicConfig
from nodes.machine.buses import Buses
from nodes.simulation.channel import ClientEnd
from nodes.simulation.clock import Clock
from nodes.simulation.failures import DeadlockError
from nodes.simulation.journal import Journal
from nodes.simulation.line import Deliver, Line
from nodes.simulation.machine_model import INFINITE, MachineSpec, Resource
from nodes.simulation.output import QueueLimits
from nodes.simulation.process import Scheduler, SimulatedRuntime, SimulatedThread
from nodes.simulation.simulated_host import SimulatedHost
from nodes.simulation.switch import Switch

Program = Callable[[ClientHost], None]
WATCH_EVENTS = 256  # at most, between two calls of `watch`


def _nothing() -> None:
    pass


class Node:
    """A host, and where its processes are begun."""

    def __init__(self, simulation: Simulation, name: str, simulated: SimulatedHost) -> None:
        self.name = name
        self.simulated = simulated
        self._simulation = simulation

    def spawn(self, program: Program, name: str = "") -> SimulatedThread:
        """Run `program` as a process of this host, which it is given."""
        runtime = self._simulation.runtime

        def run() -> None:
            host = ClientHost(self.name, runtime=runtime)
            try:
                program(host)
            finally:
                host.close()

        return runtime.spawn(run, name or f"{self.name}:{getattr(program, '__name__', 'program')}")


class Simulation:
    """`seed`: of ports and initial sequence numbers. `carried`: whether payload is carried, or counted.
    `cuts`: NICs send each wire packet by itself, in place of super-packets.
    `watch` is called now and then while it runs, and may raise."""

    def __init__(self, seed: int = 1, carried: bool = True, cuts: bool = False) -> None:
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)
        self.runtime = SimulatedRuntime(self.scheduler, self, counted=not carried)
        self.nodes: dict[str, Node] = {}
        self._random = random.Random(seed)
        self._carried = carried
        self._cuts = cuts
        self.journal = Journal()
        self.watch: Callable[[], None] = _nothing

    def add_host(
        self, name: str, *addresses: str, machine: MachineSpec = INFINITE, mtu: int = 1500, **options: object
    ) -> Node:
        """A host with a NIC for each address ("10.0.0.1/24"). `options`: further fields of HostConfig."""
        nics = tuple(
            NicConfig(interface=f"{name}-eth{i}", address=address) for i, address in enumerate(addresses)
        )
        return self.add(HostConfig(nics=nics, channel=name, name=name, **options), machine, mtu)  # type: ignore[arg-type]

    def add(self, config: HostConfig, machine: MachineSpec = INFINITE, mtu: int = 1500) -> Node:
        """A host as an endpoint process would be told of it. Its programs reach it by `config.channel`."""
        seed = self._random.getrandbits(64)
        simulated = SimulatedHost(self.scheduler, config, machine, seed, mtu, self._carried)
        for port in simulated.ports:
            port.cuts = self._cuts
        node = self.nodes[config.channel] = Node(self, config.channel, simulated)
        return node

    def join(
        self, a: Node, b: Node, bits_per_second: int = 0, propagation_ns: int = 0, nic: int = 0
    ) -> tuple[Line, Line]:
        """A cable between the same NIC of two hosts; returns its lines, out of `a` and out of `b`."""
        ports = a.simulated.ports[nic], b.simulated.ports[nic]
        lines = tuple(self.line(bits_per_second, propagation_ns, to.deliver) for to in reversed(ports))
        for port, line in zip(ports, lines, strict=True):
            port.line = line
        return lines[0], lines[1]

    def add_switch(self, limits: QueueLimits | None = None) -> Switch:
        return Switch(self.clock, limits)

    def plug(
        self, node: Node, switch: Switch, bits_per_second: int = 0, propagation_ns: int = 0, nic: int = 0
    ) -> None:
        """A cable between a NIC of a host and a new port of a switch."""
        port = node.simulated.ports[nic]
        number = switch.add_port(self.line(bits_per_second, propagation_ns, port.deliver))
        port.line = self.line(bits_per_second, propagation_ns, partial(switch.deliver, number))

    def line(self, bits_per_second: int, propagation_ns: int, deliver: Deliver) -> Line:
        """One direction of a cable, to `deliver`, which the journal knows."""
        return Line(self.clock, bits_per_second, propagation_ns, deliver, self.journal.of_line())

    def connect(self, path: str) -> ClientEnd:
        """A channel of a process to that host."""
        return self._node(path).simulated.connect()

    def buses(self, path: str) -> Buses:
        """Of that host."""
        return self._node(path).simulated.machine.buses

    def device_memory(self, path: str) -> Resource | None:
        """Of one more accelerator of that host."""
        rate = self._node(path).simulated.machine.spec.device_bytes_per_second
        return Resource(rate) if rate else None

    def _node(self, path: str) -> Node:
        node = self.nodes.get(path)
        if node is None:
            raise OSError(errno.ENOENT, f"no host {path!r}; there are {', '.join(self.nodes)}")
        return node

    def run(self, done: Callable[[], bool] = bool) -> None:
        """Until all processes have ended, or until `done()`, which is asked when a process has ended. Raises
        the first failure of a process; DeadlockError when all that are left wait and nothing will ever
        happen."""
        scheduler, clock = self.scheduler, self.clock
        while scheduler.alive and not scheduler.failures and not done():
            self.watch()
            if not clock.run(WATCH_EVENTS):
                waiting = ", ".join(scheduler.alive.values())
                raise DeadlockError(f"nothing is due any more, and these wait for ever: {waiting}")
        if scheduler.failures:
            name, failure = scheduler.failures[0]
            failure.add_note(f"in the simulated process {name}, {clock.seconds() - 1:.9f} s after the start")
            raise failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what is left of the processes, and the hosts."""
        self.scheduler.kill()
        for node in self.nodes.values():
            node.simulated.close()

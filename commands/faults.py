"""Faults on purpose, carried out while a network runs.

In: the options, the steps of a plan. Out: links, processes and rings are hurt and healed; events.jsonl, a
line a step, in the run's directory. Owns that file and one thread.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from commands.running import respawn_wish
from commands.usage import UsageError
from nodes.client.host import Host, HostError
from nodes.client.runtime import Runtime
from nodes.machine.pace import write_factor
from topologies import fault as fault_words
from topologies.fault import HOST_SLOW, Event, Fault, Scope, Step
from topologies.file import faults as schedule
from topologies.mininet.fabric import FabricError
from topologies.topology_error import TopologyError
from workloads.experiment.manifest_records import FaultRecord
from workloads.experiment.records import ExperimentError, NetworkConfig, RankPlace

if TYPE_CHECKING:
    from commands.network import StartedNetwork

EVENTS_NAME = "events.jsonl"
_ANSWER_S = 5.0  # of an endpoint
_OF_PROCESSES = ("endpoint-killed", "application-killed", "application-stopped")
_OF_LINKS = ("link-down", "flap", "partition", "rate")

SignalRank = Callable[[int, signal.Signals], None]


class Hurt(Protocol):
    """The network that is hurt, on Mininet or simulated."""

    def host(self, name: str, /) -> Host:
        """A connection to that host, which the caller closes. HostError, OSError."""

    def set_links(self, down: Collection[str], rates: Mapping[str, int], /) -> float:
        """Links of `down` are down and all others up, those of `rates` have that rate and all others their
        own; returns when that was done, by the samples' clock."""

    def slow_host(self, name: str, factor: int, /) -> None:
        """That host's CPU takes so many times as long."""

    def kill(self, name: str, /) -> None:
        """The endpoint of that host."""

    def respawn(self, name: str, /) -> None: ...


class _Started:
    """A network on Mininet. Satisfies Hurt."""

    def __init__(self, started: StartedNetwork) -> None:
        self._channels = {host.name: host.channel for host in started.hosts}
        self.set_links, self.kill = started.set_links, started.kill

    def host(self, name: str) -> Host:
        return Host(self._channels[name], _ANSWER_S)

    def slow_host(self, name: str, factor: int) -> None:  # noqa: ARG002
        raise FabricError("a host of Mininet has no CPU of its own")

    def respawn(self, name: str) -> None:
        respawn_wish(self._channels[name]).touch()


class FaultError(RuntimeError):
    """A fault could not be carried out, or ended a run; one sentence."""


def asked_faults(config: NetworkConfig, scope: Scope) -> tuple[Fault, ...]:
    """Those of --faults, then those of --fault. Raises UsageError."""
    return (*_scheduled(config.faults, scope), *(_written(text, scope) for text in config.fault))


def check_clock(plan: Sequence[Step], simulated: bool) -> None:
    """Raises UsageError for a fault that such hosts cannot have."""
    for step in plan:
        kind, text = step.fault.kind, step.fault.text
        if simulated and kind in _OF_PROCESSES:
            raise UsageError(
                f"--fault {text} does not go with --clock simulated: it is done to a process of this "
                "machine; take link-down, host-slow or accelerator-slow, or leave it out"
            )
        if not simulated and kind == HOST_SLOW:
            raise UsageError(
                f"--fault {text} is for simulated hosts, whose CPU has a cost; add --clock simulated, take "
                "accelerator-slow or application-stopped, or leave it out"
            )


def fault_records(faults: FaultInjector) -> tuple[FaultRecord, ...]:
    """As the manifest has them."""
    return msgspec.convert(faults.events(), tuple[FaultRecord, ...], from_attributes=True)


def paced(place: RankPlace, directory: Path) -> RankPlace:
    """With the file that says how slow its accelerator is made."""
    pace = directory / f"rank{place.rank}.pace"
    write_factor(pace, 1)
    return msgspec.structs.replace(place, pace=str(pace))


def _scheduled(name: str, scope: Scope) -> tuple[Fault, ...]:
    try:
        return schedule.load(Path(name), scope) if name else ()
    except TopologyError as reason:
        raise UsageError(str(reason)) from None
    except OSError as failure:
        raise UsageError(f"--faults {name} cannot be read ({failure.strerror}); correct the name") from None


def _written(text: str, scope: Scope) -> Fault:
    try:
        checked = fault_words.check(fault_words.parse(text), scope)
    except TopologyError as reason:
        raise UsageError(f"--fault {text}: {reason}") from None
    if isinstance(checked, Fault):
        return checked
    raise UsageError(f"--fault {text}: {next(iter(checked.values()))}")


class FaultInjector:
    """Carries out `plan` from `begin` on. As a context: it stops at the end, and heals nothing. `tell` is
    called after each step, by another thread."""

    def __init__(
        self, plan: Sequence[Step], run_dir: Path, tell: Callable[[Event], None] = lambda _: None
    ) -> None:
        self._plan, self._path, self._tell = plan, run_dir / EVENTS_NAME, tell
        self._happened: list[Event] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: str | None = None
        self.killed: str | None = None  # the last fault that killed a process

    def __enter__(self) -> FaultInjector:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def begin(
        self,
        started: StartedNetwork,
        signal_rank: SignalRank | None = None,
        places: Sequence[RankPlace] = (),
    ) -> None:
        """The measured part begins now, with ranks at `places`."""
        if self._plan:
            hands = _Hands(_Started(started), signal_rank, [Path(place.pace) for place in places], time.time)
            run = partial(self._carry_out, hands, self._stopping.wait, time.monotonic)
            self._thread = threading.Thread(target=run, name="faults", daemon=True)
            self._thread.start()

    def begin_simulated(self, runtime: Runtime, hurt: Hurt, places: Sequence[RankPlace]) -> None:
        """The same in a simulation, as one of its processes."""
        if self._plan:
            hands = _Hands(hurt, None, [Path(place.pace) for place in places], runtime.monotonic)

            def wait(seconds: float) -> bool:
                runtime.sleep(seconds)
                return False

            runtime.spawn(partial(self._carry_out, hands, wait, runtime.monotonic), "faults")

    def check(self) -> None:
        """Raise FaultError if a step could not be carried out."""
        if self._failure is not None:
            raise FaultError(self._failure)

    def events(self) -> tuple[Event, ...]:
        """All steps: those that have happened, then the others."""
        left = self._plan[len(self._happened) :]
        return (*self._happened, *(Event(each.fault.text, each.action, each.at_s) for each in left))

    def _carry_out(
        self, hands: _Hands, wait: Callable[[float], bool], monotonic: Callable[[], float]
    ) -> None:
        """`wait` returns whether to stop."""
        began, began_s = monotonic(), hands.now()
        for step in self._plan:
            if wait(max(0.0, began + step.at_s - monotonic())):
                return
            text = step.fault.text
            try:
                if step.begins and step.fault.kind.endswith("-killed"):
                    self.killed = text
                time_s = hands.carry_out(step)
                event = Event(text, step.action, step.at_s, round(time_s - began_s, 6), time_s)
                with open(self._path, "ab") as file:
                    file.write(msgspec.json.encode(event) + b"\n")
            except (ExperimentError, FabricError, HostError, OSError) as reason:
                said = f"fault {text} could not be carried out after {step.at_s:g} s ({step.action})"
                self._failure = f"{said}: {reason}"
                return
            self._happened.append(event)
            self._tell(event)


class _Hands:
    """What a step does to a network."""

    def __init__(
        self, hurt: Hurt, signal_rank: SignalRank | None, paces: Sequence[Path], now: Callable[[], float]
    ) -> None:
        self._network, self._signal_rank, self._paces, self.now = hurt, signal_rank, paces, now
        self._hurting: list[Fault] = []  # now, of kinds that may overlap
        self._rings: dict[Fault, list[int]] = {}  # what they were before

    def carry_out(self, step: Step) -> float:
        """Returns when it was done, by the samples' clock. Raises ExperimentError, FabricError, HostError,
        OSError."""
        fault = step.fault
        if fault.kind in _OF_LINKS:
            return self._links(step)
        if fault.kind == "rx-ring":
            self._rx_ring(step)
        elif fault.kind == "pool":
            self._pool(fault.target, self._last(step))
        elif fault.kind == "accelerator-slow":
            rank = int(fault.target.removeprefix("rank"))
            write_factor(self._paces[rank], self._last(step) or 1)
        elif fault.kind == HOST_SLOW:
            self._network.slow_host(fault.target, self._last(step) or 1)
        elif fault.kind == "endpoint-killed":
            if step.begins:
                self._network.kill(fault.target)
            else:
                self._network.respawn(fault.target)
        elif self._signal_rank is not None:
            number = signal.SIGKILL if fault.kind == "application-killed" else signal.SIGSTOP
            rank = int(fault.target.removeprefix("rank"))
            self._signal_rank(rank, number if step.begins else signal.SIGCONT)
        return self.now()

    def _links(self, step: Step) -> float:
        """A link is down as long as one fault wants it so; of several rates the last one holds."""
        self._note(step)
        down = {name for fault in self._hurting if fault.kind != "rate" for name in fault.links}
        rates = {name: fault.value for fault in self._hurting if fault.kind == "rate" for name in fault.links}
        return self._network.set_links(down, rates)

    def _note(self, step: Step) -> None:
        (self._hurting.append if step.begins else self._hurting.remove)(step.fault)

    def _last(self, step: Step) -> int:
        """The value of the last fault of that kind that its target has now, 0 without any."""
        self._note(step)
        mine = step.fault.kind, step.fault.target
        return next((each.value for each in reversed(self._hurting) if (each.kind, each.target) == mine), 0)

    def _pool(self, name: str, percent: int) -> None:
        with closing(self._network.host(name)) as host:
            host.withhold_memory(percent / 100)

    def _rx_ring(self, step: Step) -> None:
        with closing(self._network.host(step.fault.target)) as host:
            nics = [host.ethtool.of(nic.ifindex) for nic in host.nics]
            if step.begins:
                self._rings[step.fault] = [nic.rings_get()["rx"] for nic in nics]
            sizes = [step.fault.value] * len(nics) if step.begins else self._rings.pop(step.fault)
            for nic, size in zip(nics, sizes, strict=True):
                nic.rings_set({"rx": size})

"""Faults on purpose, carried out while a network runs.

In: the options, the steps of a plan. Out: links, processes and rings are hurt and healed; events.jsonl, a
line a step, in the run's directory. Owns that file and one thread.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from commands.running import respawn_wish
from commands.usage import UsageError
from nodes.client.host import Host, HostError
from nodes.machine.pace import write_factor
from topologies import fault as fault_words
from topologies.fault import Event, Fault, Scope, Step
from topologies.file import faults as schedule
from topologies.mininet.fabric import FabricError
from topologies.topology_error import TopologyError
from workloads.experiment.records import ExperimentError, NetworkConfig, RankPlace

if TYPE_CHECKING:
    from commands.network import StartedNetwork

EVENTS_NAME = "events.jsonl"
_ANSWER_S = 5.0  # of an endpoint
_OF_LINKS = ("link-down", "flap", "partition", "rate")

SignalRank = Callable[[int, signal.Signals], None]


class FaultError(RuntimeError):
    """A fault could not be carried out, or ended a run; one sentence."""


def asked_faults(config: NetworkConfig, scope: Scope) -> tuple[Fault, ...]:
    """Those of --faults, then those of --fault. Raises UsageError."""
    return (*_scheduled(config.faults, scope), *(_written(text, scope) for text in config.fault))


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
            hands = _Hands(started, signal_rank, [Path(place.pace) for place in places])
            self._thread = threading.Thread(target=self._carry_out, args=(hands,), name="faults", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise FaultError if a step could not be carried out."""
        if self._failure is not None:
            raise FaultError(self._failure)

    def events(self) -> tuple[Event, ...]:
        """All steps: those that have happened, then the others."""
        left = self._plan[len(self._happened) :]
        return (*self._happened, *(Event(each.fault.text, each.action, each.at_s) for each in left))

    def _carry_out(self, hands: _Hands) -> None:
        began, began_s = time.monotonic(), time.time()
        for step in self._plan:
            if self._stopping.wait(max(0.0, began + step.at_s - time.monotonic())):
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
        self, started: StartedNetwork, signal_rank: SignalRank | None, paces: Sequence[Path]
    ) -> None:
        self._started, self._signal_rank, self._paces = started, signal_rank, paces
        self._channels = {host.name: host.channel for host in started.hosts}
        self._hurting: list[Fault] = []  # now, of kinds that may overlap
        self._rings: dict[Fault, list[int]] = {}  # what they were before

    def carry_out(self, step: Step) -> float:
        """Returns when it was done (Unix time). Raises ExperimentError, FabricError, HostError, OSError."""
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
        elif fault.kind == "endpoint-killed":
            if step.begins:
                self._started.kill(fault.target)
            else:
                respawn_wish(self._channels[fault.target]).touch()
        elif self._signal_rank is not None:
            number = signal.SIGKILL if fault.kind == "application-killed" else signal.SIGSTOP
            rank = int(fault.target.removeprefix("rank"))
            self._signal_rank(rank, number if step.begins else signal.SIGCONT)
        return time.time()

    def _links(self, step: Step) -> float:
        """A link is down as long as one fault wants it so; of several rates the last one holds."""
        self._note(step)
        down = {name for fault in self._hurting if fault.kind != "rate" for name in fault.links}
        rates = {name: fault.value for fault in self._hurting if fault.kind == "rate" for name in fault.links}
        return self._started.set_links(down, rates)

    def _note(self, step: Step) -> None:
        (self._hurting.append if step.begins else self._hurting.remove)(step.fault)

    def _last(self, step: Step) -> int:
        """The value of the last fault of that kind that its target has now, 0 without any."""
        self._note(step)
        mine = step.fault.kind, step.fault.target
        return next((each.value for each in reversed(self._hurting) if (each.kind, each.target) == mine), 0)

    def _pool(self, name: str, percent: int) -> None:
        with closing(Host(self._channels[name], _ANSWER_S)) as host:
            host.withhold_memory(percent / 100)

    def _rx_ring(self, step: Step) -> None:
        with closing(Host(self._channels[step.fault.target], _ANSWER_S)) as host:
            nics = [host.ethtool.of(nic.ifindex) for nic in host.nics]
            if step.begins:
                self._rings[step.fault] = [nic.rings_get()["rx"] for nic in nics]
            sizes = [step.fault.value] * len(nics) if step.begins else self._rings.pop(step.fault)
            for nic, size in zip(nics, sizes, strict=True):
                nic.rings_set({"rx": size})

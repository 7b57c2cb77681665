"""A run across machines: one emulated network, a part of it on each machine of a Ray cluster.

In: a configuration that has been checked, which host and switch is on which machine. Out: the files of a run
of one machine, and in the manifest the machines. Owns, through the caller's stack, the process that talks to
Ray, and with it the processes on the machines.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from commands import part_protocol as protocol
from commands.far_calibration import far_calibrations
from commands.machines import Division
from commands.network import TOPOLOGY_NAME, check_calibrated
from commands.placement import taking_part
from commands.prediction import model_of, predictions
from topologies.calibration import LinkCalibration
from topologies.drawing import NAME as DRAWING
from topologies.drawing import drawing
from topologies.mininet.inventory import Inventory
from topologies.part import VNI_MAX, Part, split
from topologies.topology import Topology
from workloads.experiment.cluster_protocol import ClusterMachine, Join
from workloads.experiment.cluster_session import ClusterSession
from workloads.experiment.machine_clocks import ClockOffset, MachineClocks, by_driver, by_machine, offset
from workloads.experiment.manifest import ManifestFile, sources
from workloads.experiment.manifest_records import InterfaceRecord, LinkRecord, MachineRecord, TunnelRecord
from workloads.experiment.meter import Used
from workloads.experiment.ray_protocol import Rows
from workloads.experiment.ray_session import LOG_NAME as RAY_LOG
from workloads.experiment.records import ExperimentConfig, RankPlace, Sample, Trial
from workloads.experiment.trials import run_trials

_FIRST_LOOKS, _LOOKS = 8, 3  # at each machine's clock: before the first trial, after each
_PROJECT = Path(__file__).resolve().parents[1]


class AcrossRequest(msgspec.Struct, frozen=True):
    config: ExperimentConfig
    network: Topology
    run_dir: Path
    division: Division


def run_across(
    request: AcrossRequest, manifest: ManifestFile, check: Callable[[], None], stack: ExitStack
) -> None:
    """Start everything, each with what ends it on `stack`, and run the trials. Raises what its parts raise,
    and what `check` raises."""
    config, run_dir, network = request.config, request.run_dir, request.network
    _write(run_dir / TOPOLOGY_NAME, network)
    _write(run_dir / DRAWING, drawing(network))
    inventory = stack.enter_context(Inventory.create(run_dir.name))
    session = stack.enter_context(ClusterSession(run_dir / RAY_LOG, run_dir, check))
    inventory.add_process(session.pid)
    asked, (git, _) = request.division, sources(_PROJECT)
    commit = git.commit if git else ""
    joined = session.join(Join(asked.ray_address, asked.machines, protocol.SERVER, str(_PROJECT), commit))
    first_vni = secrets.randbelow(VNI_MAX - len(network.links)) + 1  # other runs may meet on the machines
    parts = split(network, asked.homes, [each.address for each in joined], first_vni, asked.tunnel_port)
    manifest.add_machines([_record(*each) for each in zip(joined, parts, strict=True)])
    machines = _Machines(session, asked.homes)
    run_ids = [f"{run_dir.name[:90]}-m{at}" for at in range(1, 1 + len(joined))]
    machines.each(
        [
            protocol.Build(run_id, run_dir, machine.name, part, config)
            for run_id, machine, part in zip(run_ids, joined, parts, strict=True)
        ]
    )
    links = _calibrated(machines, network)
    check_calibrated(links, config)
    places = _start_hosts(machines, manifest, request, links, [each.address for each in joined])
    manifest.add_ranks(places)
    model = model_of(network, links, [place.host for place in places], config.mtu)
    manifest.add_predictions(predictions(config, model))
    homes = [asked.homes[place.host] for place in places]
    pids = session.start_on(homes, config, places)
    ranks = [[at for at, home in enumerate(homes) if home == each] for each in range(len(joined))]
    machines.each(
        [protocol.Watch(tuple(places[at] for at in own), tuple(pids[at] for at in own)) for own in ranks]
    )
    clocks = _Clocks(machines)

    def records() -> list[MachineRecord]:
        return [_record(*each) for each in zip(joined, parts, clocks.found(), strict=True)]

    manifest.add_machines(records())
    ranks_by_one_clock = _RanksByOneClock(session, clocks, homes, lambda: manifest.note_machines(records()))
    run_trials(config, ranks_by_one_clock, _ClusterMeter(machines, clocks), run_dir)


class _Machines:
    """What is asked of the machines. Methods raise what the session raises."""

    def __init__(self, session: ClusterSession, homes: dict[str, int]) -> None:
        self._session, self.homes = session, homes
        self.count = max(homes.values()) + 1

    def each(self, requests: Sequence[Any]) -> list[Any]:
        """One a machine, at once."""
        answers = self._session.tell([protocol.encoded(request) for request in requests])
        return [protocol.decoded(answer or b"") for answer in answers]

    def at(self, number: int, request: Any) -> Any:
        """That machine alone."""
        asked = [protocol.encoded(request) if at == number else None for at in range(self.count)]
        return protocol.decoded(self._session.tell(asked)[number] or b"")

    def of(self, node: str, request: Any) -> Any:
        """The machine of that node alone."""
        return self.at(self.homes[node], request)


class _Found(NamedTuple):
    """What is known of a machine's clocks: the offset before the first trial, the offset after the last one,
    and what times of any trial are wrong by at most."""

    first: ClockOffset
    last: ClockOffset
    uncertainty_s: float


class _Clocks:
    """Those of the machines, which are asked at once and after every trial. `of_trial`: of each machine, in
    the trial that `trial_has_ended` was told of last."""

    def __init__(self, machines: _Machines) -> None:
        self._machines = machines
        self._first = self._last = self._look(_FIRST_LOOKS)
        self._uncertainty_s = [each.uncertainty_s for each in self._first]
        self.of_trial: Sequence[MachineClocks] = ()

    def trial_has_ended(self) -> None:
        """The next one begins soon: what is found now is of its beginning, too."""
        before, self._last = self._last, self._look(_LOOKS)
        self.of_trial = [MachineClocks.between(*each) for each in zip(before, self._last, strict=True)]
        for at, clocks in enumerate(self.of_trial):
            self._uncertainty_s[at] = max(self._uncertainty_s[at], clocks.uncertainty_s)

    def found(self) -> list[_Found]:
        """Of each machine."""
        return [_Found(*each) for each in zip(self._first, self._last, self._uncertainty_s, strict=True)]

    def _look(self, times: int) -> list[ClockOffset]:
        """Ask each machine so many times."""
        ask = self._machines.at
        return [
            offset(functools.partial(ask, at, protocol.ReadClock()), times)
            for at in range(self._machines.count)
        ]


class _RanksByOneClock:
    """All ranks, whose rows have the driver's times. `homes`: the machine of each. `looked` is called when
    the clocks have been looked at."""

    def __init__(
        self, session: ClusterSession, clocks: _Clocks, homes: Sequence[int], looked: Callable[[], None]
    ) -> None:
        self._session, self._clocks, self._homes, self._looked = session, clocks, homes, looked

    def run(self, trial: Trial, /) -> Rows:
        """One trial on all of them."""
        rows = self._session.run(trial)
        self._clocks.trial_has_ended()
        self._looked()
        return by_driver(rows, [self._clocks.of_trial[home] for home in self._homes])

    def close_ranks(self) -> None:
        self._session.close_ranks()


class _ClusterMeter:
    """A Meter of all machines, each of which measures by its own clock."""

    def __init__(self, machines: _Machines, clocks: _Clocks) -> None:
        self._machines, self._clocks = machines, clocks

    @contextmanager
    def measuring(self) -> Iterator[None]:
        self._machines.each([protocol.BeginTrial()] * self._machines.count)
        yield

    def used(self, trial: Trial, samples: Sequence[Sample]) -> Used:
        homes = self._machines.homes
        own = [
            by_machine([each for each in samples if homes[each.host] == at], clocks)
            for at, clocks in enumerate(self._clocks.of_trial)
        ]
        found: list[Used] = self._machines.each([protocol.EndTrial(trial, rows) for rows in own])
        usage = [row for each in found for row in each.usage]
        return Used(usage, [row for each in found for row in each.links])


def _calibrated(machines: _Machines, network: Topology) -> tuple[LinkCalibration, ...]:
    found = [link for own in machines.each([protocol.Calibrate()] * machines.count) for link in own]
    homes = machines.homes
    far = [link for link in network.links if homes[link.a.node] != homes[link.b.node]]
    return (*found, *far_calibrations(far, machines.of))


def _start_hosts(
    machines: _Machines,
    manifest: ManifestFile,
    request: AcrossRequest,
    links: tuple[LinkCalibration, ...],
    addresses: Sequence[str],
) -> list[RankPlace]:
    """The endpoints of all hosts; returns the places of the ranks that take part."""
    config, network, homes = request.config, request.network, machines.homes
    at = [homes[place.host] for place in taking_part(config, network)]
    started: list[protocol.HostsStarted] = machines.each(
        [
            protocol.StartHosts(links, tuple(rank for rank, home in enumerate(at) if home == each))
            for each in range(machines.count)
        ]
    )
    manifest.add_network(
        msgspec.convert(links, tuple[LinkRecord, ...], from_attributes=True),
        msgspec.convert(
            [each for one in started for each in one.interfaces],
            tuple[InterfaceRecord, ...],
            from_attributes=True,
        ),
    )
    channels = {name: path for one in started for name, path in one.channels.items()}
    paces = {rank: path for one in started for rank, path in one.paces.items()}
    where = tuple(addresses[home] for home in at)
    places = taking_part(config, network, channels)
    return [msgspec.structs.replace(each, pace=paces[each.rank], machines=where) for each in places]


def _record(machine: ClusterMachine, part: Part, clocks: _Found | None = None) -> MachineRecord:
    return MachineRecord(
        name=machine.name,
        node=machine.node,
        address=machine.address,
        hosts=tuple(host.name for host in part.hosts),
        switches=tuple(switch.name for switch in part.switches),
        tunnels=tuple(
            TunnelRecord(each.link, each.end.interface, each.remote, each.vni, each.port)
            for each in part.tunnels
        ),
        clock_offset_s=None if clocks is None else clocks.first.unix_s,
        clock_offset_end_s=None if clocks is None else clocks.last.unix_s,
        clock_monotonic_offset_s=None if clocks is None else clocks.first.monotonic_s,
        clock_monotonic_offset_end_s=None if clocks is None else clocks.last.monotonic_s,
        clock_uncertainty_s=None if clocks is None else clocks.uncertainty_s,
    )


def _write(path: Path, contents: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(contents)) + b"\n")

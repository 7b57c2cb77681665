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
from typing import Any

import msgspec

from commands import part_protocol as protocol
from commands.far_calibration import far_calibrations
from commands.machines import Division
from commands.network import TOPOLOGY_NAME, check_calibrated
from commands.placement import of_first, placement
from commands.prediction import model_of, predictions
from topologies.calibration import LinkCalibration
from topologies.drawing import NAME as DRAWING
from topologies.drawing import drawing
from topologies.mininet.inventory import Inventory
from topologies.part import VNI_MAX, Part, split
from topologies.topology import Topology
from workloads.experiment.cluster_protocol import ClusterMachine, Join
from workloads.experiment.cluster_session import ClusterSession
from workloads.experiment.machine_clocks import ClockOffset, by_driver, by_machine, offset
from workloads.experiment.manifest import ManifestFile, sources
from workloads.experiment.manifest_records import InterfaceRecord, LinkRecord, MachineRecord, TunnelRecord
from workloads.experiment.meter import Used
from workloads.experiment.ray_protocol import Rows
from workloads.experiment.ray_session import LOG_NAME as RAY_LOG
from workloads.experiment.records import ExperimentConfig, RankPlace, Sample, Trial
from workloads.experiment.trials import run_trials
from workloads.registry import workload_of

_FIRST_LOOKS, _LOOKS = 8, 3  # at each machine's clock: before the first trial, before each
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
    clocks.look(_FIRST_LOOKS)
    told = zip(joined, parts, clocks.offsets, strict=True)
    manifest.add_machines([_record(*each) for each in told])
    run_trials(config, _RanksByOneClock(session, clocks, homes), _ClusterMeter(machines, clocks), run_dir)


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


class _Clocks:
    """Those of the machines. `offsets`: of each, as of the last look."""

    def __init__(self, machines: _Machines) -> None:
        self._machines = machines
        self.offsets: list[ClockOffset] = []

    def look(self, times: int) -> None:
        """Ask each machine so many times."""
        ask = self._machines.at
        self.offsets = [
            offset(functools.partial(ask, at, protocol.ReadClock()), times)
            for at in range(self._machines.count)
        ]


class _RanksByOneClock:
    """All ranks, whose rows have the driver's times. `homes`: the machine of each."""

    def __init__(self, session: ClusterSession, clocks: _Clocks, homes: Sequence[int]) -> None:
        self._session, self._clocks, self._homes = session, clocks, homes

    def run(self, trial: Trial, /) -> Rows:
        """One trial on all of them."""
        rows = self._session.run(trial)
        return by_driver(rows, [self._clocks.offsets[home] for home in self._homes])

    def close_ranks(self) -> None:
        self._session.close_ranks()


class _ClusterMeter:
    """A Meter of all machines, each of which measures by its own clock."""

    def __init__(self, machines: _Machines, clocks: _Clocks) -> None:
        self._machines, self._clocks = machines, clocks

    @contextmanager
    def measuring(self) -> Iterator[None]:
        self._clocks.look(_LOOKS)
        self._machines.each([protocol.BeginTrial()] * self._machines.count)
        yield

    def used(self, trial: Trial, samples: Sequence[Sample]) -> Used:
        homes = self._machines.homes
        own = [
            by_machine([each for each in samples if homes[each.host] == at], clock)
            for at, clock in enumerate(self._clocks.offsets)
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
    taking_part = workload_of(config).ranks(config)
    at = [homes[place.host] for place in placement(network, config.ranks_per_host)][:taking_part]
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
    places = of_first(placement(network, config.ranks_per_host, channels), taking_part)
    return [msgspec.structs.replace(each, pace=paces[each.rank], machines=where) for each in places]


def _record(machine: ClusterMachine, part: Part, clock: ClockOffset | None = None) -> MachineRecord:
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
        clock_offset_s=None if clock is None else clock.unix_s,
        clock_uncertainty_s=None if clock is None else clock.uncertainty_s,
    )


def _write(path: Path, contents: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(contents)) + b"\n")

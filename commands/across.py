"""A run across machines: one emulated network, a part of it on each machine of a Ray cluster.

In: a configuration that has been checked, which host and switch is on which machine. Out: the files of a run
of one machine, and in the manifest the machines. Owns, through the caller's stack, the process that talks to
Ray, and with it the processes on the machines.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from commands.far_calibration import far_calibrations
from commands.machines import Division
from commands.network import TOPOLOGY_NAME, check_calibrated
from commands.part_protocol import (
    SERVER,
    BeginTrial,
    Build,
    Calibrate,
    EndTrial,
    HostsStarted,
    StartHosts,
    Watch,
    decoded,
    encoded,
)
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
from workloads.experiment.manifest import (
    InterfaceRecord,
    LinkRecord,
    MachineRecord,
    ManifestFile,
    TunnelRecord,
    sources,
)
from workloads.experiment.meter import Used
from workloads.experiment.ray_session import LOG_NAME as RAY_LOG
from workloads.experiment.records import ExperimentConfig, RankPlace, Sample, Trial
from workloads.experiment.trials import run_trials
from workloads.registry import workload_of

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
    joined = session.join(Join(asked.ray_address, asked.machines, SERVER, str(_PROJECT), commit))
    first_vni = secrets.randbelow(VNI_MAX - len(network.links)) + 1  # other runs may meet on the machines
    parts = split(network, asked.homes, [each.address for each in joined], first_vni, asked.tunnel_port)
    manifest.add_machines([_record(*each) for each in zip(joined, parts, strict=True)])
    machines = _Machines(session, asked.homes)
    run_ids = [f"{run_dir.name[:90]}-m{at}" for at in range(1, 1 + len(joined))]
    machines.each(
        [
            Build(run_id, run_dir, machine.name, part, config)
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
    machines.each([Watch(tuple(places[at] for at in own), tuple(pids[at] for at in own)) for own in ranks])
    run_trials(config, session, _ClusterMeter(machines), run_dir)


class _Machines:
    """What is asked of the machines. Methods raise what the session raises."""

    def __init__(self, session: ClusterSession, homes: dict[str, int]) -> None:
        self._session, self.homes = session, homes
        self.count = max(homes.values()) + 1

    def each(self, requests: Sequence[Any]) -> list[Any]:
        """One a machine, at once."""
        answers = self._session.tell([encoded(request) for request in requests])
        return [decoded(answer or b"") for answer in answers]

    def of(self, node: str, request: Any) -> Any:
        """The machine of that node alone."""
        home = self.homes[node]
        asked = [encoded(request) if at == home else None for at in range(self.count)]
        return decoded(self._session.tell(asked)[home] or b"")


class _ClusterMeter:
    """A Meter of all machines, each of which measures by its own clock."""

    def __init__(self, machines: _Machines) -> None:
        self._machines = machines

    @contextmanager
    def measuring(self) -> Iterator[None]:
        self._machines.each([BeginTrial()] * self._machines.count)
        yield

    def used(self, trial: Trial, samples: Sequence[Sample]) -> Used:
        homes = self._machines.homes
        own = [
            tuple(each for each in samples if homes[each.host] == at) for at in range(self._machines.count)
        ]
        found: list[Used] = self._machines.each([EndTrial(trial, rows) for rows in own])
        usage = [row for each in found for row in each.usage]
        return Used(usage, [row for each in found for row in each.links])


def _calibrated(machines: _Machines, network: Topology) -> tuple[LinkCalibration, ...]:
    found = [link for own in machines.each([Calibrate()] * machines.count) for link in own]
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
    started: list[HostsStarted] = machines.each(
        [
            StartHosts(links, tuple(rank for rank, home in enumerate(at) if home == each))
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


def _record(machine: ClusterMachine, part: Part) -> MachineRecord:
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
    )


def _write(path: Path, contents: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(contents)) + b"\n")

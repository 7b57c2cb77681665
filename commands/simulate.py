"""A measuring run under a simulated clock: the trials of a run, on hosts and lines that are simulated.

In: a request that was checked, its manifest. Out: samples.csv and link_usage.csv, whose seconds are
simulated. Owns the simulation while it lasts.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from commands.faults import FaultInjector, fault_records, paced
from commands.network import TOPOLOGY_NAME, NetworkRequest, host_config
from commands.placement import taking_part
from commands.prediction import model_of, predictions
from commands.run_request import RunRequest
from commands.simulated_faults import SimulatedFaults
from commands.simulated_network import SimulatedNetwork, build, check_links
from commands.simulated_progress import SimulatedProgress
from commands.stop import Stop
from commands.usage import UsageError
from nodes.simulation.frame import FRAMING_BYTES
from nodes.simulation.machine_model import CpuCosts
from nodes.simulation.machines import MACHINES
from nodes.simulation.watchdog import Watchdog
from topologies.calibration import LinkCalibration
from topologies.drawing import NAME as DRAWING
from topologies.drawing import drawing
from topologies.fault import HOST_SLOW, Step
from topologies.topology import Topology
from workloads.experiment.ledger_series import Began
from workloads.experiment.link_usage import LinkCounts, LinkDirection, link_usage
from workloads.experiment.manifest import ManifestFile
from workloads.experiment.manifest_records import LinkRecord
from workloads.experiment.meter import Used
from workloads.experiment.proc import Sent
from workloads.experiment.records import COUNTED, ExperimentConfig, Sample, Trial
from workloads.experiment.simulated_ranks import SimulatedRanks
from workloads.experiment.trials import run_trials
from workloads.registry import workload_of

_CHANNELS = Path("/simulated")  # where channels would lie; only names are made of it


def check_simulated(config: ExperimentConfig, network: Topology) -> None:
    """What is asked for can be simulated. Raises UsageError."""
    if config.machine not in MACHINES:
        raise UsageError(f"there is no --machine {config.machine!r}; choose from {', '.join(MACHINES)}")
    refused = {
        "--path kernel": ("kernel" in config.paths, "simulated hosts have no Linux below them"),
        "--traffic": (bool(config.traffic or network.traffic), "it comes from Linux's own stack"),
        "--pcap": (config.pcap, "captures are written by endpoint processes"),
        "--trace": (config.trace, "traces are written by endpoint processes"),
    }
    if config.payload == COUNTED and config.impair is not None:
        raise UsageError(
            "--impair does not go with --payload counted: it holds the bytes of frames; leave one of them out"
        )
    for option, (asked, why) in refused.items():
        if asked:
            raise UsageError(f"{option} does not go with --clock simulated: {why}; leave it out")
    check_links(network)


def check_faults(config: ExperimentConfig, plan: Sequence[Step]) -> None:
    """What the machine's model cannot feel is refused. Raises UsageError."""
    slowed = [step.fault for step in plan if step.fault.kind == HOST_SLOW]
    if slowed and MACHINES[config.machine].cpu == CpuCosts():
        raise UsageError(
            f"--fault {slowed[0].text} slows a CPU, and that of --machine {config.machine} costs nothing; "
            "choose another machine, as a3-high"
        )


def simulate(request: RunRequest, manifest: ManifestFile, stop: Stop, stack: ExitStack) -> None:
    """Build the simulation and run the trials in it; what ends it goes on `stack`."""
    config, network, run_dir = request.config, request.network, request.run_dir
    simulated = _started(request)
    stack.callback(simulated.simulation.close)
    described = msgspec.json.format(msgspec.json.encode(network))
    (run_dir / TOPOLOGY_NAME).write_bytes(described + b"\n")
    (run_dir / DRAWING).write_bytes(msgspec.json.format(msgspec.json.encode(drawing(network))) + b"\n")
    links = _links(network)
    manifest.add_network(msgspec.convert(links, tuple[LinkRecord, ...], from_attributes=True), ())
    channels = {name: node.name for name, node in simulated.nodes.items()}
    places = taking_part(config, network, channels)
    manifest.add_ranks(places)
    model = model_of(network, links, [place.host for place in places], config.mtu, FRAMING_BYTES)
    predicted = predictions(config, model)
    manifest.add_predictions(predicted)
    faults = FaultInjector(request.plan, run_dir)
    stack.callback(lambda: manifest.note_faults(fault_records(faults)))
    if any(step.fault.kind == "accelerator-slow" for step in request.plan):
        paces = Path(stack.enter_context(TemporaryDirectory(prefix="devmem-paces-")))
        places = tuple(paced(place, paces) for place in places)

    def check() -> None:
        stop.check()
        faults.check()

    of_trial = len([*workload_of(config).iterations(config)])
    expected_s = {each.size_bytes: each.time_s * of_trial for each in predicted}
    progress = SimulatedProgress(simulated.simulation.clock, check, expected_s)
    simulated.simulation.watch = progress.watch
    stack.enter_context(Watchdog(simulated.simulation))
    ranks = SimulatedRanks(simulated.simulation, config, places)
    began = Began(simulated.simulation.clock.seconds(), 0.0)
    hurt = SimulatedFaults(simulated, network)
    faults.begin_simulated(simulated.simulation.runtime, hurt, places)
    with rare_collections():
        run_trials(config, ranks, SimulatedMeter(network, simulated), run_dir, began, progress)
    manifest.add_journal(simulated.simulation.journal.digest)


@contextmanager
def rare_collections() -> Iterator[None]:
    """What a packet leaves behind is freed by its count of references. Python's collector would look for
    cycles at every object of all hosts, again and again: here it leaves those that are there already alone,
    and looks at new ones a hundred times less often."""
    often = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100 * often[0], *often[1:])
    try:
        yield
    finally:
        gc.set_threshold(*often)
        gc.unfreeze()


def _started(request: RunRequest) -> SimulatedNetwork:
    config, network = request.config, request.network
    asked = NetworkRequest(network, request.run_dir, config)
    told = {host.name: host_config(asked, host, _CHANNELS) for host in network.hosts}
    configs = {name: msgspec.structs.replace(each, kernel_address="") for name, each in told.items()}
    carried = config.payload != COUNTED
    return build(network, configs, MACHINES[config.machine], config.seed, carried, config.wire_packets)


def _links(network: Topology) -> tuple[LinkCalibration, ...]:
    """Simulated lines are what was asked for."""
    return tuple(
        LinkCalibration(near.interface, far.interface, way.rate_bps, way.rate_bps, way.delay_s, way.delay_s)
        for link in network.links
        if not link.is_plain
        for near, far, way in zip(link.ends, link.ends[::-1], link.ways, strict=True)
    )


class SimulatedMeter:
    """What the lines carried. There is no CPU of this machine in it."""

    def __init__(self, network: Topology, simulated: SimulatedNetwork) -> None:
        mtus = {end.interface: link.mtu for link in network.links for end in link.ends}
        self._lines = simulated.lines
        self._outputs = simulated.outputs
        self._directions = [
            LinkDirection(each.near, each.far, 0, each.line.bits_per_second, mtus[each.near])
            for each in self._lines
        ]
        self._counts: tuple[LinkCounts, ...] = ()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        before = self._carried()
        yield
        self._counts = before, self._carried()

    def used(self, trial: Trial, samples: Sequence[Sample]) -> Used:
        return Used((), link_usage(trial, samples, self._directions, *self._counts))

    def _carried(self) -> LinkCounts:
        """As an interface counts: without framing."""
        sent = tuple(
            Sent(line.carried_bytes - FRAMING_BYTES * line.carried_packets, line.carried_packets)
            for line in (each.line for each in self._lines)
        )
        return LinkCounts(sent, {name: each.dropped_packets for name, each in self._outputs.items()})

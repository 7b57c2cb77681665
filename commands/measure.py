"""A measuring run, from its manifest to its report.

In: a configuration that has been checked, its network. Out: results/<run id>/, the table on stdout, an exit
status: 1 if a value is wrong, 3 if a row is not faithful and had to be. Owns everything that the run starts,
for as long as it lasts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analysis.results_error import ResultsError
from commands.faults import FaultError, FaultInjector, fault_records, paced
from commands.network import NetworkRequest, StartedNetwork, start_network
from commands.placement import taking_part
from commands.prediction import model_of, predictions
from commands.run_request import RunRequest
from commands.stop import Interrupted, Stop
from commands.traffic import BackgroundTraffic
from commands.watched import directions, dropped, watched
from topologies.drawing import NAME as DRAWING
from topologies.drawing import drawing
from topologies.mininet.enclosure import enclosed
from topologies.mininet.fabric import FabricError
from topologies.mininet.user_namespace import is_inside
from workloads.experiment.manifest import ManifestFile
from workloads.experiment.manifest_records import (
    Fidelity,
    HostRecord,
    InterfaceRecord,
    LinkRecord,
    RowVerdict,
)
from workloads.experiment.memory_counters import MemoryCounters, NoCounters, memory_counters
from workloads.experiment.meter import MachineMeter
from workloads.experiment.observer import Observer
from workloads.experiment.ray_session import LOG_NAME as RAY_LOG
from workloads.experiment.ray_session import RayPlace, RaySession
from workloads.experiment.records import (
    SIMULATED,
    ExperimentError,
    RankFailure,
    RankPlace,
    SamplesError,
)
from workloads.experiment.trials import run_trials

if TYPE_CHECKING:
    from analysis.analyse import Analysis

_EMPTY = (
    "no iteration was completed, so the run has no result: ask for more --repeat or --iters, and run it again"
)
UNFAITHFUL = 3  # the exit status of --require-faithful


def measure(request: RunRequest, stop: Stop) -> int:
    """Run it and report; returns the exit status. Raises Interrupted, and what its parts raise."""
    manifest = ManifestFile(request.run_dir, request.argv, request.config, is_inside())
    try:
        with stop, ExitStack() as stack:
            if request.config.clock == SIMULATED:
                from commands.simulate import simulate  # the stack takes its time

                simulate(request, manifest, stop, stack)
            elif request.division is None:
                _run(request, manifest, stop, stack)
            else:
                from commands.across import AcrossRequest, run_across

                asked = AcrossRequest(request.config, request.network, request.run_dir, request.division)
                run_across(asked, manifest, stop.check, stack)
    except Interrupted as reason:
        manifest.finish("interrupted", str(reason))
        if request.config.clock == SIMULATED:  # what is measured for long, and is not hurt by a longer end
            _report_what_there_is(request, manifest)
        raise
    except (FaultError, SamplesError) as reason:
        manifest.finish("failed", str(reason))
        _report_what_there_is(request, manifest)
        raise
    except BaseException as reason:
        manifest.finish("failed", str(reason) or type(reason).__name__)
        raise
    manifest.finish("complete")
    analysis = _analysed(request.run_dir, manifest, request.columns, request.parquet)
    stop.check()  # the results are complete, but a script that was stopped must not go on as if it were well
    print(_json(analysis) if request.as_json else analysis.table_text, end="")
    if analysis.unwritten:
        raise ExperimentError("; ".join(analysis.unwritten))
    if not request.as_json:
        print(f"# Report: {shown(analysis.report_path)}")
    if analysis.wrong_elements:
        where = request.run_dir / "samples.csv"
        print(
            f"run.py: {analysis.wrong_elements} values are wrong; see wrong_elements in {where}",
            file=sys.stderr,
        )
        return 1
    return _demanded(request, analysis)


def _report_what_there_is(request: RunRequest, manifest: ManifestFile) -> None:
    """Of the trials that were measured before the run ended early; nothing without one."""
    with suppress(ResultsError, OSError):
        print(_analyse(request.run_dir, request.columns).table_text, end="")
        manifest.seal()


def _demanded(request: RunRequest, analysis: Analysis) -> int:
    """The exit status: whether a run that had to be faithful is so."""
    from analysis.fidelity import FAITHFUL

    if request.config.require_faithful and analysis.verdict != FAITHFUL:
        print(f"run.py: the run is {analysis.verdict}, not {FAITHFUL}; see the table", file=sys.stderr)
        return UNFAITHFUL
    return 0


def _json(analysis: Analysis) -> str:
    """What programs read: the rows of summary.csv, and where everything else is."""
    printed = {
        "report": str(analysis.report_path),
        "verdict": analysis.verdict,
        "wrong_elements": analysis.wrong_elements,
        "rows": analysis.rows,
    }
    return msgspec.json.format(msgspec.json.encode(printed)).decode() + "\n"


def shown(path: Path) -> Path:
    """From the current directory, if it lies below that."""
    with suppress(OSError, ValueError):  # that has been removed; it lies elsewhere
        return path.relative_to(Path.cwd())
    return path


def _analyse(run_dir: Path, columns: Sequence[str], parquet: bool = False) -> Analysis:
    from analysis.analyse import analyse  # pandas and matplotlib take a second, by which a run begins earlier

    return analyse(run_dir, columns, parquet)


def _analysed(
    run_dir: Path, manifest: ManifestFile, columns: Sequence[str] = (), parquet: bool = False
) -> Analysis:
    """What is drawn of a complete run, sealed. A run whose results could not be written is not complete."""
    try:
        analysis = _analyse(run_dir, columns, parquet)
    except BaseException as reason:
        manifest.finish("failed", str(reason) or type(reason).__name__)
        raise
    if not analysis.rows:
        manifest.finish("failed", _EMPTY)
        raise ExperimentError(_EMPTY)
    # A collective's two places have their trials in common.
    rows = dict.fromkeys(
        RowVerdict(row.path, row.size_bytes, row.verdict, row.verdict_reason) for row in analysis.rows
    )
    manifest.add_fidelity(Fidelity(analysis.verdict, tuple(rows)))
    if analysis.unwritten:
        manifest.finish("failed", "; ".join(analysis.unwritten))
    else:
        manifest.seal()
    return analysis


def _run(request: RunRequest, manifest: ManifestFile, stop: Stop, stack: ExitStack) -> None:
    """Start everything, each with what ends it on `stack`, and run the trials."""
    config, run_dir = request.config, request.run_dir
    faults = FaultInjector(request.plan, run_dir)
    stack.callback(lambda: manifest.note_faults(fault_records(faults)))
    traffic = BackgroundTraffic(request.traffic, config.seed, run_dir)
    stack.callback(lambda: manifest.note_traffic(traffic.records))

    def check() -> None:
        stop.check()
        faults.check()

    started = start_network(NetworkRequest(request.network, run_dir, config), check, stack)
    drawn = msgspec.json.format(msgspec.json.encode(drawing(request.network)))
    (run_dir / DRAWING).write_bytes(drawn + b"\n")
    manifest.add_network(
        msgspec.convert(started.links, tuple[LinkRecord, ...], from_attributes=True),
        msgspec.convert(started.interfaces, tuple[InterfaceRecord, ...], from_attributes=True),
        msgspec.convert(started.settings, tuple[HostRecord, ...], from_attributes=True),
    )
    places = _places(request, started)
    manifest.add_ranks(places)
    model = model_of(request.network, started.links, [place.host for place in places], config.mtu)
    manifest.add_predictions(predictions(config, model))
    started.watch()
    directory = started.inventory.make_directory()
    place = RayPlace(enclosed(directory), directory, run_dir / RAY_LOG)
    ranks = stack.enter_context(RaySession(place, started.watch))
    started.inventory.add_process(ranks.pid)
    pids = ranks.start(config, places)
    stack.enter_context(traffic).start(started, request.network)
    memory = _memory_counters(manifest, stack)
    observer = Observer(watched(request.network, started, places, pids, traffic.pids), memory)
    stack.enter_context(faults)
    traffic.begin()
    faults.begin(started, ranks.signal, places)
    try:
        meter = MachineMeter(
            observer, directions(request.network, started), dropped(request.network, started)
        )
        run_trials(config, ranks, meter, run_dir)
    except (ExperimentError, FabricError, RankFailure) as reason:
        if faults.killed is None or isinstance(reason, SamplesError):
            raise
        raise FaultError(f"fault {faults.killed} has ended the run: {reason}") from reason


def _memory_counters(manifest: ManifestFile, stack: ExitStack) -> MemoryCounters | None:
    """Those of this machine's own memory, if it has any that may be read."""
    try:
        counters = memory_counters()
    except NoCounters as reason:
        manifest.add_memory_counters(None, str(reason))
        return None
    stack.callback(counters.close)
    manifest.add_memory_counters(counters.source, None)
    return counters


def _places(request: RunRequest, started: StartedNetwork) -> list[RankPlace]:
    """Of the ranks that take part."""
    channels = {host.name: host.channel for host in started.hosts}
    paces = started.inventory.make_directory()  # Ray's own is not seen from here
    return [paced(place, paces) for place in taking_part(request.config, request.network, channels)]

"""The measuring run: run.py without a command's name.

In: words of a command line. Out: results/<run id>/, a table on stdout, an exit status. Owns nothing: what a
run starts is `commands.measure`'s.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from analysis.results_error import ResultsError
from commands.accelerator_rate import with_machines_rate
from commands.checks import check_paths, check_ranks, check_room, check_workload, niov_bytes
from commands.faults import FaultError, asked_faults, check_clock
from commands.machines import Machines, division
from commands.offer import Given, offers
from commands.place import Place, check_place
from commands.placement import placement, taking_part
from commands.run_request import RunRequest
from commands.stop import Stop
from commands.topology import topology_of
from commands.traffic import asked_traffic
from commands.usage import UsageError
from commands.wire_patience import wire_patience_s
from nodes.client.host import HostError
from nodes.host_config import check_nic_model
from nodes.option import Option
from nodes.simulation.failures import SimulationError
from topologies.fault import Scope, Step, steps
from topologies.mininet.cgroup import room
from topologies.mininet.fabric import FabricError
from topologies.mininet.inventory import InventoryError
from topologies.mininet.user_namespace import is_inside
from topologies.topology import Topology
from topologies.traffic.check import Traffic
from workloads.experiment.records import (
    COUNTED,
    SIMULATED,
    ExperimentConfig,
    ExperimentError,
    NetworkConfig,
    RankFailure,
    sizes,
)
from workloads.options import RepeatedOptions
from workloads.registry import PATHS, WORKLOADS, workload_of
from workloads.user import workload as user
from workloads.workload import WorkloadError, WorkloadType

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (
    ExperimentError, FabricError, FaultError, HostError, InventoryError, RankFailure, ResultsError,
    SimulationError,
)  # fmt: skip


def _columns(text: str) -> tuple[str, ...]:
    from analysis.wide_table import asked_columns  # pandas takes its time, and help has none

    return tuple(asked_columns(text))


class Output(msgspec.Struct, frozen=True):
    """What is printed, and in which files the results are besides."""

    json: Annotated[bool, Option("Print the rows of summary.csv as JSON in place of the table.")] = False
    columns: Annotated[
        tuple[str, ...],
        Option("Of the table, comma-separated, or all.", parse=_columns, default="the workload's"),
    ] = ()
    parquet: Annotated[
        bool, Option("Write the tables as Parquet files, too; needs the package pyarrow.")
    ] = False


@offers(
    ExperimentConfig, *(each.options for each in WORKLOADS.values()), Machines, Place, Output, grouped=True
)
def command(context: typer.Context, given: Given) -> int:
    """Run a workload over Device Memory TCP, and over the paths it is compared with, without the hardware."""
    if context.invoked_subcommand is not None:
        _check_alone(context)
        return 0
    stop = Stop()
    config, network, plan, traffic = settled(given)
    divided = division(given.record(Machines), config, network)
    if divided is not None and config.clock == SIMULATED:
        raise UsageError("--across does not go with --clock simulated: a simulation is one process")
    if divided is not None and is_inside():
        raise UsageError("--across needs root, on every machine; run `sudo python3 run.py ...`")
    if divided is None and config.clock != SIMULATED:
        check_room(config, taking_part(config, network), room())
    now, workload = datetime.datetime.now(), _plain(config.workload)
    default = f"{now:%Y%m%d-%H%M%S}-{workload}-{network.shape}{config.hosts}"
    place = given.record(Place)
    run_dir = place.run_directory(default)
    check_place(run_dir, place, builds_network=config.clock != SIMULATED)
    output = given.record(Output)
    from commands.measure import measure  # takes its time, and help has none

    if output.parquet:
        from analysis.parquet import check_installed

        check_installed()
    argv = ("run.py", *sys.argv[1:])
    printed = output.json, output.columns, output.parquet
    return measure(RunRequest(config, network, run_dir, argv, plan, traffic, *printed, divided), stop)


class Settled(NamedTuple):
    """A run of which everything is decided and that can be, on a machine with room for it."""

    config: ExperimentConfig
    network: Topology
    plan: Sequence[Step]
    traffic: Sequence[Traffic]


def settled(given: Given) -> Settled:
    """What the options mean. Raises UsageError and OptionError."""
    asked = given.fields(ExperimentConfig)
    network = topology_of(asked.get("topology", "star"), asked.get("hosts"), given.record(NetworkConfig))
    config = _config(given, network)
    if config.clock == SIMULATED:
        from commands.simulate import check_faults, check_simulated  # the stack takes its time

        check_simulated(config, network)
    elif "machine" in asked:
        raise UsageError("--machine is what simulated hosts are: add --clock simulated, or leave it out")
    elif config.payload == COUNTED:
        raise UsageError("--payload counted is for simulated hosts: add --clock simulated, or leave it out")
    elif config.wire_packets:
        raise UsageError("--wire-packets is for simulated lines: add --clock simulated, or leave it out")
    ranks = workload_of(config).ranks(config)
    plan = steps(asked_faults(config, Scope(network, ranks)), config.seed)
    check_clock(plan, config.clock == SIMULATED)
    if config.clock == SIMULATED:
        check_faults(config, plan)
    traffic = asked_traffic(config, network, config.seed)
    check_nic_model(config)
    check_workload(config)
    check_paths(config)
    check_ranks(config, placement(network, config.ranks_per_host))
    return Settled(config, network, plan, traffic)


def _config(given: Given, network: Topology) -> ExperimentConfig:
    """Everything that was left open is decided. Raises UsageError."""
    asked = given.fields(ExperimentConfig)
    kind, own = _workload(asked.get("workload", "all_reduce"))
    given.check_owner(
        kind.name, {name: each.options for name, each in (WORKLOADS | {kind.name: kind}).items()}
    )
    per_host = asked.get("ranks_per_host", kind.ranks_per_host)
    places = placement(network, per_host)
    hosts = list(dict.fromkeys(place.host for place in places))
    config = given.record(
        ExperimentConfig,
        topology=asked.get("topology", "star"),
        hosts=len(network.hosts),
        ranks_per_host=per_host,
        ranks=len(places),
        hosts_of_ranks=tuple(hosts.index(place.host) for place in places),
        workload=kind.name,
        sizes_bytes=asked.get("sizes_bytes", sizes(kind.default_sizes)),
        options=given.record(kind.options, **own),
        timeout_s=asked.get("timeout_s", wire_patience_s(asked.get("impair"), network)),
        paths=tuple(_known("path", path, PATHS) for path in asked.get("paths", _paths(asked))),
    )
    rated = with_machines_rate(config, "--tflops" in given.values)
    config = msgspec.structs.replace(config, options=rated)
    if config.payload == COUNTED and isinstance(config.options, RepeatedOptions):
        unchecked = msgspec.structs.replace(config.options, no_check=True)
        config = msgspec.structs.replace(config, options=unchecked)
    niov = niov_bytes(asked.get("niov_bytes"), config)
    # Unless something else was asked for, host pages are as large as net_iovs: like against like.
    return msgspec.structs.replace(config, niov_bytes=niov, rx_buf_len=asked.get("rx_buf_len", niov))


def _plain(name: str) -> str:
    """The function of a user's workload, as far as it can be in a directory's name."""
    return re.sub(r"[^A-Za-z0-9_]", "", name.rpartition(":")[2])


def _workload(words: str) -> tuple[WorkloadType, dict[str, str]]:
    """What `words` name, and what is decided of its options. Raises UsageError."""
    if words.endswith(".py"):
        raise UsageError(f"--workload {words} names a file and no function in it; write {words}:NAME")
    if not user.is_users(words):
        return WORKLOADS[_known("workload", words, WORKLOADS)], {}
    try:
        kind, file = user.named(words)
    except WorkloadError as reason:
        raise UsageError(f"--workload {words}: {reason}") from None
    return kind, {"file": file}


def _paths(asked: Mapping[str, Any]) -> Sequence[str]:
    """All that meet the same wire: an impairment of the endpoints' NICs is none of path kernel's, and in a
    simulation there is no Linux below."""
    if asked.get("clock") == SIMULATED:
        return [path for path in PATHS if path != "kernel"]
    clean = asked.get("impair") is None or asked.get("clean_kernel_wire", False)
    return [path for path in PATHS if path != "kernel" or clean]


def _known(kind: str, name: str, names: Collection[str]) -> str:
    """`name`, if it is one of `names`. Raises UsageError."""
    if name not in names:
        raise UsageError(f"there is no {kind} {name!r}; choose from {', '.join(names)}")
    return name


def _check_alone(context: typer.Context) -> None:
    """A measuring run's options were not given to a command. Raises UsageError."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            name, invoked = parameter.opts[0], context.invoked_subcommand
            raise UsageError(
                f"{name} before {invoked} is an option of a measuring run; write options behind the command, "
                f"as in `run.py {invoked} ...`"
            )

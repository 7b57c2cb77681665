"""The measuring run: run.py without a command's name.

In: words of a command line. Out: results/<run id>/, a table on stdout, an exit status. Owns nothing: what a
run starts is `commands.measure`'s.
"""

from __future__ import annotations

import datetime
import sys
from typing import Annotated, Any

import msgspec
import typer

from analysis.load import ResultsError
from commands.checks import check_paths, check_workload, niov_bytes, topology_of
from commands.measure import RunRequest, measure
from commands.offer import Given, offers
from commands.place import Place, check_place
from commands.stop import Stop
from commands.usage import UsageError
from nodes.client.host import HostError
from nodes.host_config import check_nic_model
from nodes.option import Option, OptionError
from topologies.mininet.fabric import FabricError
from topologies.mininet.inventory import InventoryError
from workloads.experiment.ranks import ExperimentError
from workloads.experiment.records import ExperimentConfig, RankFailure
from workloads.registry import PATHS, WORKLOADS
from workloads.sizes import parse_sizes

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (ExperimentError, FabricError, HostError, InventoryError, RankFailure, ResultsError)
_SIZES, _STREAM_SIZES = "1M:16M:x4", "1M"


def _parse_sizes(text: str) -> tuple[int, ...]:
    return tuple(parse_sizes(text))


def _parse_paths(text: str) -> tuple[str, ...]:
    """Names of data paths, each once."""
    names = tuple(name.strip() for name in dict.fromkeys(text.split(",")))
    for name in names:
        if name not in PATHS:
            raise OptionError(f"there is no path {name!r}; choose from {', '.join(PATHS)}")
    return names


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is about, as far as it was given: None is decided by the others."""

    topology: Annotated[str, Option("shape of the network; see `list`")] = "star"
    hosts: Annotated[int | None, Option("hosts, one rank each", default="4, pair: 2")] = None
    workload: Annotated[str, Option("what the ranks do; see `list`")] = "all_reduce"
    sizes: Annotated[
        tuple[int, ...] | None,
        Option(
            "bytes: 1M, 8K,64K, 1M:16M:x4, 1M:4M:+1M",
            flag="size", parse=_parse_sizes, default=f"{_SIZES}, stream: {_STREAM_SIZES} messages",
        ),
    ] = None  # fmt: skip
    paths: Annotated[
        tuple[str, ...],
        Option(
            "data paths, comma-separated; see `list`",
            flag="path", parse=_parse_paths, default=",".join(PATHS),
        ),
    ] = (*PATHS,)  # fmt: skip


@offers(Asked, ExperimentConfig, Place)
def command(context: typer.Context, given: Given) -> int:
    """Run a workload over Device Memory TCP, and over the paths it is compared with, without the hardware."""
    if context.invoked_subcommand is not None:
        _check_alone(context)
        return 0
    stop = Stop()
    config = _config(given)
    default = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{config.workload}-{config.topology}{config.hosts}"
    run_dir = given.record(Place).run_directory(default)
    network = topology_of(config.topology, config.hosts, config)
    check_nic_model(config)
    check_workload(config)
    check_paths(config)
    check_place(run_dir)
    return measure(RunRequest(config, network, run_dir, ("run.py", *sys.argv[1:])), stop)


def _config(given: Given) -> ExperimentConfig:
    """Everything that was left open is decided. Raises UsageError."""
    asked = given.record(Asked)
    if asked.workload not in WORKLOADS:
        raise UsageError(f"there is no workload {asked.workload!r}; choose from {', '.join(WORKLOADS)}")
    default_hosts = 2 if asked.topology == "pair" else 4
    default_sizes = _parse_sizes(_STREAM_SIZES if asked.workload == "stream" else _SIZES)
    config = given.record(
        ExperimentConfig,
        topology=asked.topology,
        hosts=default_hosts if asked.hosts is None else asked.hosts,
        workload=asked.workload,
        sizes_bytes=asked.sizes or default_sizes,
        paths=asked.paths,
    )
    fields = given.fields(ExperimentConfig)
    niov = niov_bytes(fields.get("niov_bytes"), config)
    # Unless something else was asked for, host pages are as large as net_iovs: like against like.
    return msgspec.structs.replace(config, niov_bytes=niov, rx_buf_len=fields.get("rx_buf_len", niov))


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

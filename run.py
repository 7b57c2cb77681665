#!/usr/bin/env python3
"""The command line: builds a network, runs a workload over it on one or more data paths, reports.

In: options. Out: results/<run id>/, a table on stdout, everything else on stderr, an exit status: 0 all went
well, 1 it did not, 2 the options are wrong, 130 or 143 stopped by Ctrl-C or SIGTERM. Owns everything that a
run starts. Started by any python3, it continues in the project's own environment.
"""

# ruff: noqa: E402  the first lines must run on a Python that has none of the packages
from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

PROJECT = Path(__file__).resolve().parent
_ENVIRONMENT = PROJECT / ".venv"


def _quit(signum: int, _frame: FrameType | None) -> None:
    """Until a run begins there is nothing to take down."""
    print(f"run.py: stopped by {signal.Signals(signum).name} before anything was started", file=sys.stderr)
    sys.stderr.flush()
    os._exit(128 + signum)


def _use_environment() -> None:
    """Continue in the project's environment unless this Python has what is needed."""
    needed = ("typer", "msgspec", "ray", "mininet", "numpy", "pandas", "matplotlib", "psutil", "jinja2")
    if all(importlib.util.find_spec(name) for name in needed):
        return
    python = _ENVIRONMENT / "bin" / "python"
    if Path(sys.prefix).resolve() == _ENVIRONMENT.resolve() or not python.exists():
        sys.exit("run.py: the Python packages are not installed; run `make setup` once")
    os.execv(python, [str(python), *sys.argv])


signal.signal(signal.SIGINT, _quit)
signal.signal(signal.SIGTERM, _quit)
_use_environment()

import datetime
from typing import Annotated

import typer

from analysis.load import ResultsError
from commands import control, options, ss
from commands.living import LivingError, stand
from commands.measure import RunRequest, measure
from commands.network import NetworkRequest
from commands.options import UsageError
from commands.stop import Interrupted, Stop
from nodes.client.host import HostError
from nodes.kernel_version import DEFAULT, VERSIONS
from nodes.nic.impairment import ImpairmentError
from nodes.nic.nic_model import MODELS, NicModelError
from topologies.mininet.doctor import checks
from topologies.mininet.fabric import FabricError
from topologies.mininet.inventory import InventoryError, clean, state_directory
from topologies.shapes import SHAPES, build
from topologies.topology import TopologyError
from workloads.experiment.records import ExperimentConfig, ExperimentError, NetworkConfig, RankFailure
from workloads.registry import PATHS, WORKLOADS
from workloads.sizes import SizeError, parse_sizes
from workloads.workload import WorkloadError

_WRONG_OPTIONS = (
    ImpairmentError, NicModelError, SizeError, TopologyError, UsageError, WorkloadError,
    control.ControlUsage,
)  # fmt: skip
_FAILURES = (
    ExperimentError, FabricError, HostError, InventoryError, LivingError, RankFailure, ResultsError, OSError,
)  # fmt: skip


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    topology: options.ShapeName = "star",
    hosts: Annotated[int | None, typer.Option(help="Hosts, one rank each.  [default: 4, pair: 2]")] = None,
    workload: Annotated[str, typer.Option(help="What the ranks do; see `list`.")] = "all_reduce",
    size: Annotated[
        str | None,
        typer.Option(
            help="Bytes: 1M, 8K,64K, 1M:16M:x4, 1M:4M:+1M.  [default: 1M:16M:x4, stream: 1M messages]"
        ),
    ] = None,
    path: Annotated[
        str, typer.Option(help="Data paths, comma-separated; see `list`.")
    ] = "devmem,bounce,kernel",
    repeat: Annotated[int, typer.Option(min=1, help="Repetitions, each with fresh connections.")] = 3,
    iters: Annotated[int, typer.Option(min=1, help="Measured iterations a repetition (collectives).")] = 3,
    warmup: Annotated[int, typer.Option(min=0, help="Iterations before them, marked as warm-up.")] = 1,
    duration: Annotated[float, typer.Option(min=0.1, max=options.DAY_S, help="Seconds of a stream.")] = 5.0,
    bidir: Annotated[bool, typer.Option("--bidir", help="Stream both ways at once.")] = False,
    mtu: options.Mtu = 1500,
    gso_max: options.GsoMax = "64K",
    queues: options.Queues = 8,
    nic: options.Nic = "generic",
    header_buffer: options.HeaderBuffer = None,
    niov_size: Annotated[
        str | None,
        typer.Option(help="Bytes of a net_iov, 4K to 64K.  [default: the kernel's largest, 64K or 4K]"),
    ] = None,
    kernel: options.Kernel = DEFAULT.name,
    host_mem_bw: options.HostMemBw = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=options.DAY_S, help="Seconds a rank waits for another.")
    ] = 10.0,
    seed: options.Seed = 1,
    impair: options.Impair = None,
    pcap: options.Pcap = False,
    trace: options.Trace = False,
    results: options.Results = PROJECT / "results",
    run_id: options.RunId = None,
) -> int:
    """Run a workload over Device Memory TCP, and over the paths it is compared with, without the hardware."""
    if context.invoked_subcommand is not None:
        options.check_alone(context)
        return 0
    stop = Stop()
    kind = WORKLOADS[options.known("workload", workload, WORKLOADS)]
    given = {"iterations": iters, "warmup": warmup, "duration_s": duration, "bidir": bidir}
    config = ExperimentConfig(
        topology=topology,
        hosts=hosts if hosts is not None else (2 if topology == "pair" else 4),
        workload=workload,
        sizes_bytes=tuple(parse_sizes(kind.default_sizes if size is None else size)),
        paths=options.paths(path),
        options=kind.own_options(given),
        repeat=repeat,
        mtu=mtu,
        gso_max_bytes=options.super_packet(gso_max),
        rx_queues=queues,
        nic=nic,
        header_buffer_bytes=header_buffer,
        niov_bytes=options.net_iov(
            niov_size, options.known("kernel", kernel, VERSIONS), options.known("nic", nic, MODELS)
        ),
        kernel=kernel,
        host_mem_bw_bytes_per_s=options.memory_rate(host_mem_bw),
        timeout_s=timeout,
        seed=seed,
        impair=impair,
        pcap=pcap,
        trace=trace,
    )
    default = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{workload}-{topology}{config.hosts}"
    run_dir = options.run_directory(results, run_id, default)
    network = build(topology, config.hosts, mtu, config.gso_max_bytes)
    options.check_hosts(config)
    options.check_workload(config)
    options.check_paths(config)
    options.check_place(run_dir)
    return measure(RunRequest(config, network, run_dir, ("run.py", *sys.argv[1:])), stop)


@app.command("list")
def list_() -> int:
    """What there is to choose from."""
    for title, entries in (
        ("--topology", {name: shape.description for name, shape in SHAPES.items()}),
        ("--workload", {name: kind.description for name, kind in WORKLOADS.items()}),
        ("--path", {name: transport.description for name, transport in PATHS.items()}),
        ("--nic (docs/devmem.md says more)", dict.fromkeys(MODELS, "")),
        ("--kernel (likewise)", dict.fromkeys(VERSIONS, "")),
    ):
        print(title)
        for name, description in entries.items():
            print(f"  {name:<12} {description}".rstrip())
    return 0


@app.command()
def doctor() -> int:
    """What this machine offers and lacks, and the remedy; exit status 1 if something needed is missing."""
    words = {True: "ok", False: "missing", None: "unknown"}
    found = checks()
    for check in found:
        remedy = f"; {check.remedy}" if check.ok is False and check.remedy else ""
        word = words[check.ok] if check.needed or check.ok else "absent"
        print(f"{word:<8} {check.name:<32} {check.found}{remedy}")
    return int(any(check.needed and check.ok is False for check in found))


@app.command("clean")
def clean_() -> int:
    """Remove what earlier runs recorded and left behind; living runs are left alone."""
    found = clean(state_directory())
    for one in found:
        print(f"run {one.run_id}: {'removed' if one.removed else 'left alone'}: {one.what}")
    if not found:
        print("nothing to clean")
    return 0


@app.command()
def up(
    topology: options.ShapeName = "star",
    hosts: Annotated[int, typer.Option(help="How many hosts.")] = 2,
    mtu: options.Mtu = 1500,
    gso_max: options.GsoMax = "64K",
    queues: options.Queues = 8,
    nic: options.Nic = "generic",
    header_buffer: options.HeaderBuffer = None,
    kernel: options.Kernel = DEFAULT.name,
    host_mem_bw: options.HostMemBw = None,
    impair: options.Impair = None,
    pcap: options.Pcap = False,
    trace: options.Trace = False,
    results: options.Results = PROJECT / "results",
    run_id: options.RunId = None,
) -> int:
    """A network with an endpoint in every host, for exec, netdev and ethtool, until Ctrl-C or `down`."""
    stop = Stop()
    config = NetworkConfig(
        mtu=mtu,
        gso_max_bytes=options.super_packet(gso_max),
        rx_queues=queues,
        nic=nic,
        header_buffer_bytes=header_buffer,
        kernel=options.known("kernel", kernel, VERSIONS),
        host_mem_bw_bytes_per_s=options.memory_rate(host_mem_bw),
        impair=impair,
        pcap=pcap,
        trace=trace,
    )
    network = build(topology, hosts, mtu, config.gso_max_bytes)
    run_dir = options.run_directory(results, run_id, f"up-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    options.check_hosts(config)
    options.check_place(run_dir)
    with stop:
        stand(NetworkRequest(network, run_dir, config, standing=True), stop.check)


app.command()(control.down)
app.command("exec", context_settings=control.PASS_ON)(control.exec_)
app.command(context_settings=control.PASS_ON)(control.ethtool)
app.command()(control.netdev)
app.command()(ss.ss)


def _say(sentence: str) -> None:
    print(f"run.py: {' '.join(sentence.split())}", file=sys.stderr)


def _told(failure: Exception) -> str:
    """Without Python's [Errno 2] in front."""
    if not isinstance(failure, OSError) or failure.strerror is None:
        return str(failure)
    return f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror


def main() -> int:
    """Every way a run can end, as a sentence on stderr and an exit status."""
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.TyperException as wrong:
        _say(wrong.format_message())
        return 2
    except _WRONG_OPTIONS as wrong:
        _say(str(wrong))
        return 2
    except Interrupted as stopped:
        _say(str(stopped))
        return stopped.status
    except _FAILURES as failure:
        _say(_told(failure))
        return 1


if __name__ == "__main__":
    sys.exit(main())

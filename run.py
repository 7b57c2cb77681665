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
import re
from collections.abc import Collection
from contextlib import ExitStack
from typing import Annotated

import psutil
import typer

from analysis.analyse import analyse
from analysis.load import ResultsError
from commands import control, ss
from commands.living import LivingError, stand
from commands.network import NetworkRequest, start_network
from nodes.client.host import HostError
from nodes.kernel_version import DEFAULT, VERSIONS
from topologies.doctor import checks
from topologies.fabric import FabricError
from topologies.inventory import InventoryError, clean, state_directory
from topologies.shapes import SHAPES, build
from topologies.topology import GSO_MAX_BYTES, Topology, TopologyError
from workloads.experiment import ExperimentError, ray_session, run_trials
from workloads.manifest import ManifestFile
from workloads.records import ExperimentConfig, RankFailure, RankPlace
from workloads.registry import PATHS, WORKLOADS
from workloads.sizes import SizeError, parse_rate, parse_size, parse_sizes

_COPIES = 6  # of the largest size that a rank holds: its dma-buf (doubled for streams), and arrays of values
_FAILURES = (
    ExperimentError, FabricError, HostError, InventoryError, LivingError, RankFailure, ResultsError, OSError,
)  # fmt: skip


class UsageError(ValueError):
    """Options that cannot be; str() is one sentence."""


class Interrupted(Exception):
    """A signal asked the run to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(signum).name}; everything it had started has been taken down"
        )
        self.status = 128 + signum


class Stop:
    """Ctrl-C and SIGTERM, noted when they come and acted upon where the run looks: nothing is ever left
    half made, and taking down is not interrupted."""

    def __init__(self) -> None:
        self._signum = 0
        self.arm()

    def arm(self) -> None:
        """Take the signals (again: Ray takes SIGTERM for itself)."""
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self._signum:
            raise Interrupted(self._signum)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._signum = self._signum or signum


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


ShapeName = Annotated[str, typer.Option(help="Shape of the network; see `list`.")]
Mtu = Annotated[int, typer.Option(help="Bytes of an IP packet on the wire.")]
GsoMax = Annotated[str, typer.Option(help="Longest super-packet; 512K is BIG TCP.")]
Kernel = Annotated[str, typer.Option(help=f"Whose devmem rules hold: {', '.join(VERSIONS)}.")]
HostMemBw = Annotated[str | None, typer.Option(help="Ceiling of each host's memory, as 2GB/s.")]
Impair = Annotated[
    str | None,
    typer.Option(help="A bad wire at each NIC: loss=0.01,reorder=0.02,duplicate=0.001,delay=1ms,seed=1."),
]
Pcap = Annotated[bool, typer.Option("--pcap", help="Write HOST.pcapng into the run's directory.")]
Results = Annotated[
    Path, typer.Option(help="Where run directories go.", show_default="results beside run.py")
]
RunId = Annotated[str | None, typer.Option(help="Name of the run's directory.  [default: date and time]")]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    topology: ShapeName = "star",
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
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds of a stream.")] = 5.0,
    bidir: Annotated[bool, typer.Option("--bidir", help="Stream both ways at once.")] = False,
    mtu: Mtu = 1500,
    gso_max: GsoMax = "64K",
    niov_size: Annotated[
        str | None,
        typer.Option(help="Bytes of a net_iov, 4K to 64K.  [default: the kernel's largest, 64K or 4K]"),
    ] = None,
    kernel: Kernel = DEFAULT.name,
    host_mem_bw: HostMemBw = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds a rank waits for another.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of the data and the order of trials.")] = 1,
    impair: Impair = None,
    pcap: Pcap = False,
    results: Results = PROJECT / "results",
    run_id: RunId = None,
) -> int:
    """Run a workload over Device Memory TCP, and over the paths it is compared with, without the hardware."""
    if context.invoked_subcommand is not None:
        return 0
    stop = Stop()
    config = ExperimentConfig(
        topology=topology,
        hosts=hosts if hosts is not None else (2 if topology == "pair" else 4),
        workload=_known("workload", workload, WORKLOADS),
        sizes_bytes=tuple(parse_sizes(size or ("1M" if workload == "stream" else "1M:16M:x4"))),
        paths=tuple(_known("path", name, PATHS) for name in dict.fromkeys(path.split(","))),
        repeat=repeat,
        iterations=iters,
        warmup=warmup,
        duration_s=duration,
        bidir=bidir,
        mtu=mtu,
        gso_max_bytes=_super_packet(gso_max),
        niov_bytes=parse_size(niov_size) if niov_size else _niov_bytes(kernel),
        kernel=_known("kernel", kernel, VERSIONS),
        host_mem_bw_bytes_per_s=parse_rate(host_mem_bw) if host_mem_bw else None,
        timeout_s=timeout,
        seed=seed,
        impair=impair,
        pcap=pcap,
    )
    run_dir = results / (
        run_id or f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{workload}-{topology}{config.hosts}"
    )
    return _run(config, run_dir, stop)


@app.command("list")
def list_() -> int:
    """What there is to choose from."""
    for title, entries in (
        ("--topology", {name: shape.description for name, shape in SHAPES.items()}),
        ("--workload", {name: kind.description for name, kind in WORKLOADS.items()}),
        ("--path", {name: transport.description for name, transport in PATHS.items()}),
    ):
        print(title)
        for name, description in entries.items():
            print(f"  {name:<12} {description}")
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
    topology: ShapeName = "star",
    hosts: Annotated[int, typer.Option(help="How many hosts.")] = 2,
    mtu: Mtu = 1500,
    gso_max: GsoMax = "64K",
    kernel: Kernel = DEFAULT.name,
    host_mem_bw: HostMemBw = None,
    impair: Impair = None,
    pcap: Pcap = False,
    results: Results = PROJECT / "results",
    run_id: RunId = None,
) -> int:
    """A network with an endpoint in every host, for exec, netdev and ethtool, until Ctrl-C or `down`."""
    stop = Stop()
    network = build(topology, hosts, mtu, _super_packet(gso_max))
    options: dict[str, object] = {
        "gso-max": _super_packet(gso_max),
        "kernel": _known("kernel", kernel, VERSIONS),
        "host-mem-bw": parse_rate(host_mem_bw) if host_mem_bw else None,
        "impair": impair,
    }
    run_dir = results / (run_id or f"up-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    _check_place(run_dir)
    stand(NetworkRequest(run_dir.name, network, run_dir, options, pcap, standing=True), stop.check)


app.command()(control.down)
app.command("exec", context_settings=control.PASS_ON)(control.exec_)
app.command(context_settings=control.PASS_ON)(control.ethtool)
app.command()(control.netdev)
app.command()(ss.ss)


def _run(config: ExperimentConfig, run_dir: Path, stop: Stop) -> int:
    """A run from its manifest to its report; returns the exit status."""
    network = _checked(config, run_dir)
    argv = ("run.py", *sys.argv[1:])
    manifest = ManifestFile(run_dir, argv, config)
    try:
        with ExitStack() as stack:
            _measure(config, network, run_dir, stop, stack)
        stop.check()
    except Interrupted as reason:
        manifest.finish("interrupted", str(reason))
        raise
    except BaseException as reason:
        manifest.finish("failed", str(reason) or type(reason).__name__)
        raise
    manifest.finish("complete")
    analysis = analyse(run_dir)
    manifest.seal()
    stop.check()  # the results are complete, but whoever stopped a script is not to be taken for content
    print(analysis.table_text, end="")
    print(f"# Report: {analysis.report_path}")
    if analysis.wrong_elements:
        _say(f"{analysis.wrong_elements} values are wrong; see wrong_elements in {run_dir / 'samples.csv'}")
    return int(bool(analysis.wrong_elements))


def _measure(
    config: ExperimentConfig, network: Topology, run_dir: Path, stop: Stop, stack: ExitStack
) -> None:
    """Start everything, each with what ends it on `stack`, and run the trials."""
    request = NetworkRequest(run_dir.name, network, run_dir, _endpoint_options(config), config.pcap)
    started = start_network(request, stop.check, stack)
    places = [RankPlace(rank, host.name, host.channel) for rank, host in enumerate(started.hosts)]
    ranks = places[: WORKLOADS[config.workload].ranks(config)]
    started.watch()
    inventory = started.inventory
    try:
        stack.enter_context(ray_session(inventory.make_directory(), len(ranks), inventory.add_process))
    except SystemExit:  # what Ray makes of SIGTERM while it starts
        raise Interrupted(signal.SIGTERM) from None
    stop.arm()
    run_trials(config, ranks, run_dir / "samples.csv", started.watch)


def _endpoint_options(config: ExperimentConfig) -> dict[str, object]:
    """What every endpoint is told, in its own words."""
    return {
        "gso-max": config.gso_max_bytes,
        "rx-buf-len": config.niov_bytes,  # host pages as large as net_iovs: like against like
        "host-mem-bw": config.host_mem_bw_bytes_per_s,
        "kernel": config.kernel,
        "impair": config.impair,
    }


def _checked(config: ExperimentConfig, run_dir: Path) -> Topology:
    """The network that was asked for; UsageError or TopologyError if the options do not go together."""
    network = build(config.topology, config.hosts, config.mtu, config.gso_max_bytes)
    element_bytes = WORKLOADS[config.workload].element_bytes
    for size in config.sizes_bytes:
        if size % element_bytes:
            raise UsageError(
                f"size {size} is no multiple of the {element_bytes} bytes of an element; round it"
            )
    if config.niov_bytes not in (4096, 8192, 16384, 32768, 65536):
        raise UsageError(
            f"--niov-size {config.niov_bytes} is not 4K, 8K, 16K, 32K or 64K; choose one of them"
        )
    if config.niov_bytes != 4096 and not VERSIONS[config.kernel].rx_page_size:
        raise UsageError(
            f"--niov-size {config.niov_bytes}: kernel {config.kernel} has net_iovs of 4096 bytes only; leave "
            "it out"
        )
    if config.bidir and config.workload != "stream":
        raise UsageError(
            f"--bidir does not go with {config.workload}, which uses both directions; leave it out"
        )
    needed, free = config.hosts * max(config.sizes_bytes) * _COPIES, psutil.virtual_memory().available
    if needed > free:
        raise UsageError(
            f"these sizes need {needed >> 20} MiB and {free >> 20} are free; ask for smaller ones"
        )
    _check_place(run_dir)
    return network


def _check_place(run_dir: Path) -> None:
    """A run may be built here and called so."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_dir.name):
        raise UsageError(
            f"run id {run_dir.name!r} cannot name a directory; use letters, digits, dot, _ and -"
        )
    if run_dir.exists():
        raise UsageError(f"{run_dir} exists already; choose another --run-id, or remove it")
    if os.geteuid() != 0:
        raise FabricError("building a network needs root; run `sudo python3 run.py ...`")


def _known(kind: str, name: str, known: Collection[str]) -> str:
    if name not in known:
        raise UsageError(f"there is no {kind} {name!r}; choose from {', '.join(known)}")
    return name


def _niov_bytes(kernel: str) -> int:
    """The largest net_iov that the kernel version has."""
    return 65536 if VERSIONS[_known("kernel", kernel, VERSIONS)].rx_page_size else 4096


def _super_packet(text: str) -> int:
    """512K stands for the kernel's limit, which is 8 bytes less."""
    size = parse_size(text)
    return GSO_MAX_BYTES if size == 512 << 10 else size


def _say(sentence: str) -> None:
    print(f"run.py: {' '.join(sentence.split())}", file=sys.stderr)


def main() -> int:
    """Every way a run can end, as a sentence on stderr and an exit status."""
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.TyperException as wrong:
        _say(wrong.format_message())
        return 2
    except (UsageError, SizeError, TopologyError, control.ControlUsage) as wrong:
        _say(str(wrong))
        return 2
    except Interrupted as stopped:
        _say(str(stopped))
        return stopped.status
    except _FAILURES as failure:
        _say(str(failure))
        return 1


if __name__ == "__main__":
    sys.exit(main())

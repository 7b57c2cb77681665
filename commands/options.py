"""The options of `run` and `up`: their words, and whether they can be and go together.

In: words of the command line. Out: the records that a run is made of, or one sentence (UsageError) before
anything has been started. Owns nothing. Typer reads the annotations.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import psutil
import typer

from nodes.kernel_version import VERSIONS
from nodes.nic import impairment
from nodes.nic.nic_model import MODELS, RX_QUEUES_MAX, nic_model
from topologies.mininet.fabric import FabricError
from topologies.topology import GSO_MAX_BYTES
from workloads.experiment.records import ExperimentConfig, NetworkConfig
from workloads.registry import PATHS, WORKLOADS
from workloads.sizes import parse_rate, parse_size

_ITERATIONS_MAX = 1_000_000  # of a rank: each is a row of samples.csv
_COPIES = 6  # of the largest size that a rank holds: its dma-buf (doubled for streams), and arrays of values
MEMORY_RATE_MIN = 1e6
DAY_S = 86400.0
_SEED_MAX = (1 << 63) - 1  # a number that any reader of manifest.json holds

ShapeName = Annotated[str, typer.Option(help="Shape of the network; see `list`.")]
Mtu = Annotated[int, typer.Option(help="Bytes of an IP packet on the wire.")]
GsoMax = Annotated[str, typer.Option(help="Longest super-packet; 512K is BIG TCP.")]
Kernel = Annotated[str, typer.Option(help=f"Whose devmem rules hold: {', '.join(VERSIONS)}.")]
HostMemBw = Annotated[str | None, typer.Option(help="Ceiling of each host's memory, as 2GB/s.")]
Impair = Annotated[
    str | None,
    typer.Option(
        help="A bad wire at each endpoint's NIC (not for path kernel, whose wire stays clean), any of "
        "loss=0.01,reorder=0.02,duplicate=0.001,corrupt=0.001,delay=1ms,jitter=100us,seed=1."
    ),
]
Pcap = Annotated[bool, typer.Option("--pcap", help="Write HOST.pcapng into the run's directory.")]
Trace = Annotated[bool, typer.Option("--trace", help="Write HOST.trace.jsonl: the page pools' events.")]
Nic = Annotated[str, typer.Option(help=f"How NICs split headers: {', '.join(MODELS)}.")]
HeaderBuffer = Annotated[
    int | None,
    typer.Option(help="Bytes of the longest header that is split.  [default: the NIC's]", show_default=False),
]
Queues = Annotated[int, typer.Option(min=1, max=RX_QUEUES_MAX, help="Receive queues of each NIC.")]
Seed = Annotated[
    int, typer.Option(min=0, max=_SEED_MAX, help="Of the data and the order of trials.", show_default=True)
]
Results = Annotated[
    Path, typer.Option(help="Where run directories go.", show_default="results beside run.py")
]
RunId = Annotated[str | None, typer.Option(help="Name of the run's directory.  [default: date and time]")]


class UsageError(ValueError):
    """Options that cannot be; str() is one sentence."""


def known(kind: str, name: str, names: Collection[str]) -> str:
    """`name`, if it is one of `names`. Raises UsageError."""
    if name not in names:
        raise UsageError(f"there is no {kind} {name!r}; choose from {', '.join(names)}")
    return name


def paths(text: str) -> tuple[str, ...]:
    """Names of data paths, each once. Raises UsageError."""
    return tuple(known("path", name.strip(), PATHS) for name in dict.fromkeys(text.split(",")))


def check_alone(context: typer.Context) -> None:
    """A measuring run's options were not given to a command. Raises UsageError."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            name, command = parameter.opts[0], context.invoked_subcommand
            raise UsageError(
                f"{name} before {command} is an option of a measuring run; write options behind the command, "
                f"as in `run.py {command} ...`"
            )


def super_packet(text: str) -> int:
    """Bytes; 512K stands for the kernel's limit, which is 8 bytes less. Raises SizeError."""
    size = parse_size(text)
    return GSO_MAX_BYTES if size == 512 << 10 else size


def memory_rate(text: str | None) -> float | None:
    """Bytes a second. Raises SizeError, UsageError."""
    rate = parse_rate(text) if text is not None else None
    if rate is not None and rate < MEMORY_RATE_MIN:
        raise UsageError(f"--host-mem-bw {text}: headers alone would take for ever; ask for 1MB/s or more")
    return rate


def net_iov(text: str | None, kernel: str, nic: str) -> int:
    """Bytes of a net_iov, by default the largest that the kernel version and the NIC's driver have. Raises
    SizeError, UsageError."""
    largest = MODELS[nic].rx_page_size_max if VERSIONS[kernel].rx_page_size else 4096
    size = parse_size(text) if text is not None else largest
    if size not in (4096, 8192, 16384, 32768, 65536):
        raise UsageError(f"--niov-size {size} is not 4K, 8K, 16K, 32K or 64K; choose one of them")
    if size > largest:
        raise UsageError(
            f"--niov-size {size}: kernel {kernel} with nic {nic} has net_iovs of {largest} bytes only; leave "
            "it out"
        )
    return size


def check_hosts(config: NetworkConfig) -> None:
    """There are such NICs and such a wire. Raises NicModelError, ImpairmentError."""
    nic_model(config.nic, config.header_buffer_bytes)
    if config.impair is not None:
        impairment.parse(config.impair)


def check_workload(config: ExperimentConfig) -> None:
    """Sizes are possible, and there is memory for them. Raises UsageError, WorkloadError."""
    WORKLOADS[config.workload].check_sizes(config.sizes_bytes)
    trials = config.repeat * len(config.sizes_bytes) * len(config.paths)
    iterations = trials * sum(WORKLOADS[config.workload].iterations(config))
    if iterations > _ITERATIONS_MAX:
        raise UsageError(
            f"--repeat, --iters, --warmup, sizes and paths make {iterations} iterations; ask for "
            f"{_ITERATIONS_MAX} at most"
        )
    needed, free = config.hosts * max(config.sizes_bytes) * _COPIES, psutil.virtual_memory().available
    if needed > free:
        raise UsageError(
            f"these sizes need {needed >> 20} MiB and {free >> 20} are free; ask for smaller ones"
        )


def check_paths(config: ExperimentConfig) -> None:
    """The hosts are such that every path can be what it is. Raises UsageError."""
    if config.impair is not None and set(config.paths) == {"kernel"}:
        raise UsageError(
            "--impair makes a bad wire at the endpoints' NICs, which path kernel does not pass; add devmem "
            "or bounce to --path, or leave it out"
        )
    if "devmem" not in config.paths:
        return
    nic = nic_model(config.nic, config.header_buffer_bytes)
    if obstacle := nic.obstacle(tx=VERSIONS[config.kernel].devmem_tx):
        asked, other = f"--nic {config.nic}", "another --nic"
        if config.header_buffer_bytes is not None:
            asked, other = f"{asked} with --header-buffer {config.header_buffer_bytes}", "another buffer"
        raise UsageError(
            f"{asked} cannot carry path devmem ({obstacle}); take --path bounce,kernel or {other}"
        )
    if config.rx_queues < 2:
        raise UsageError("--queues 1: devmem needs a queue beside the first; ask for 2 or more")


def run_directory(results: Path, run_id: str | None, default: str) -> Path:
    """Where a run called `run_id`, or else `default`, writes: a name directly below `results`. Raises
    UsageError."""
    name = default if run_id is None else run_id
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(
            f"run id {name!r} cannot name a directory below {results}; use letters, digits, dot, _ and -"
        )
    return results / name


def check_place(run_dir: Path) -> None:
    """A run may be built here and write there. Raises UsageError, FabricError without root."""
    if os.geteuid() != 0:
        raise FabricError("building a network needs root; run `sudo python3 run.py ...`")
    results = run_dir.parent
    try:
        if run_dir.exists():
            raise UsageError(f"{run_dir} exists already; choose another --run-id, or remove it")
        results.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise UsageError(
            f"--results {results} cannot be made ({failure.strerror}); choose another directory"
        ) from None
    if not os.access(results, os.W_OK):
        raise UsageError(f"--results {results} cannot be written to; choose another directory")

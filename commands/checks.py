"""Whether options go together, asked before anything is started.

In: a configuration whose values are each possible. Out: nothing, or one sentence (UsageError, OptionError).
Owns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from commands.usage import UsageError
from nodes.host_config import RX_BUF_LENS, HostOptions
from nodes.kernel_version import VERSIONS
from nodes.nic.nic_model import MODELS, nic_model
from topologies.mininet.cgroup import Room
from workloads.experiment.records import ExperimentConfig, RankPlace
from workloads.machine import RECEIVE_BYTES, device_bytes
from workloads.options import ITERATIONS_MAX
from workloads.registry import workload_of
from workloads.workload import WorkloadError

_COPIES = 4  # of the largest size that a rank holds beside its data memory: arrays of values
# What run.py, Ray, the endpoints and the ranks take before they hold any value: 727 MiB were measured with
# two hosts, 1013 with four.
_MEMORY_BYTES, _MEMORY_BYTES_PER_HOST = 440 << 20, 143 << 20
# A rank beyond the first of its host: 61 MiB were measured where it hears of no other host; else 64 to
# receive into come on top. 25 threads.
_MEMORY_BYTES_PER_RANK = 125 << 20
_PROCESSES, _PROCESSES_PER_HOST = 220, 12  # threads included; mostly Ray's, on a machine with 2 CPUs
_PROCESSES_PER_RANK = 25


def niov_bytes(asked: int | None, options: HostOptions) -> int:
    """Bytes of a net_iov: what was asked for, or the largest that the kernel version and the NIC's driver
    have. Raises UsageError."""
    kernel, nic = options.kernel, options.nic
    largest = MODELS[nic].rx_page_size_max if VERSIONS[kernel].rx_page_size else min(RX_BUF_LENS)  # a page
    size = largest if asked is None else asked
    if size not in RX_BUF_LENS:
        raise UsageError(f"--niov-size {size} is not 4K, 8K, 16K, 32K or 64K; choose one of them")
    if size > largest:
        raise UsageError(
            f"--niov-size {size}: kernel {kernel} with nic {nic} has net_iovs of {largest} bytes only; leave "
            "it out"
        )
    return size


def check_workload(config: ExperimentConfig) -> None:
    """Sizes are possible. Raises UsageError."""
    try:
        workload_of(config).check(config)
    except WorkloadError as reason:
        raise UsageError(str(reason)) from None
    trials = config.repeat * len(config.sizes_bytes) * len(config.paths)
    iterations = trials * len(workload_of(config).iterations(config))
    if iterations > ITERATIONS_MAX:
        raise UsageError(
            f"--repeat, --iters, --warmup, sizes and paths make {iterations} iterations; ask for "
            f"{ITERATIONS_MAX} at most"
        )


def memory_bytes(config: ExperimentConfig, places: Sequence[RankPlace]) -> int:
    """What a run may take of this machine's memory."""
    kind = workload_of(config)
    values = kind.data_bytes(config) + max(config.sizes_bytes) * _COPIES
    needed = _MEMORY_BYTES + config.hosts * (_MEMORY_BYTES_PER_HOST + values)
    needed += max(0, len(places) - config.hosts) * (_MEMORY_BYTES_PER_RANK + values)
    if "devmem" in config.paths:  # what a rank receives into by its first NIC is among these already
        flows = kind.flows(config)
        needed += sum(len(place.nics_for(flows)) - 1 for place in places) * RECEIVE_BYTES
    return needed


def check_room(config: ExperimentConfig, places: Sequence[RankPlace], allowed: Room) -> None:
    """This machine, this process's cgroup and its user's limit have room for it. `places`: of the ranks that
    take part. Raises UsageError."""
    more_ranks, needed = max(0, len(places) - config.hosts), memory_bytes(config, places)
    free = psutil.virtual_memory().available
    if needed > free:
        raise UsageError(
            f"these hosts and sizes need {needed >> 20} MiB and {free >> 20} are free; ask for fewer or "
            "smaller ones"
        )
    if allowed.memory_bytes is not None and needed > allowed.memory_bytes:
        raise UsageError(
            f"these hosts and sizes need {needed >> 20} MiB and the cgroup's limit on memory leaves "
            f"{allowed.memory_bytes >> 20}; ask for fewer or smaller ones, or raise the limit"
        )
    processes = _PROCESSES + _PROCESSES_PER_HOST * config.hosts + _PROCESSES_PER_RANK * more_ranks
    if allowed.processes is not None and processes > allowed.processes:
        raise UsageError(
            f"{config.hosts} hosts and Ray need {processes} processes and threads and {allowed.processes_by} "
            f"leaves {allowed.processes}; ask for fewer hosts, or raise the limit"
        )


def check_paths(config: ExperimentConfig) -> None:
    """The hosts are such that every path can be what it is. Raises UsageError."""
    if config.impair is not None and set(config.paths) == {"kernel"}:
        raise UsageError(
            "--impair makes a bad wire at the endpoints' NICs, which path kernel does not pass; add devmem "
            "or bounce to --path, or leave it out"
        )
    if config.impair is not None and "kernel" in config.paths and not config.clean_kernel_wire:
        raise UsageError(
            "--impair makes a bad wire at the endpoints' NICs, which path kernel does not pass; ask links "
            "for it (--link), leave kernel out of --path, or run it clean with --clean-kernel-wire"
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


def check_ranks(config: ExperimentConfig, places: Sequence[RankPlace]) -> None:
    """Every rank has a queue of its NIC for itself, and its accelerator has room. Raises UsageError."""
    kind = workload_of(config)
    data_bytes, flows = kind.data_bytes(config), kind.flows(config)
    for place in places:
        needed = len(place.on_nic) + 1
        if "devmem" in config.paths and config.rx_queues < needed:
            raise UsageError(
                f"--queues {config.rx_queues}: devmem needs a queue beside the first for each rank of a NIC, "
                f"and {place.slot.nic} has {_counted(needed - 1, 'rank')}; ask for {needed} or more"
            )
        memory, asked = place.slot.memory_bytes, device_bytes(data_bytes, len(place.nics_for(flows)))
        if memory and memory < asked:
            raise UsageError(
                f"accelerator {place.slot.name} of host {place.host} has {memory >> 20} MiB of memory, and a "
                f"rank needs {-(-asked >> 20)} for these sizes; give it more, or ask for smaller ones"
            )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"

"""--workload FILE.py:NAME: a user's function as a workload, one that acts or one that writes a trace.

In: the file and the function's name. Out: a WorkloadType. Owns nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.measure import Measure
from workloads.options import RepeatedOptions, TracedOptions
from workloads.trace.node import CheckedProgram, Trace
from workloads.trace_workload import BYTES, TraceSource, iterations, ranks
from workloads.transports.transport import Transport
from workloads.user.acting import Acting
from workloads.user.code import WORDS, UserCode, user_code
from workloads.user.rank import control_bytes, data_bytes
from workloads.workload import WorkloadError, WorkloadType

_DEFAULT_SIZES = "1M"
_LEAST_RANKS = 2


class ActingOptions(RepeatedOptions, frozen=True):
    """Of a function that acts. `file` is absolute: ranks run in another directory."""

    file: str = ""


class WritingOptions(TracedOptions, frozen=True):
    """Of a function that writes a trace. `file` likewise."""

    file: str = ""


UserOptions = ActingOptions | WritingOptions


def is_users(words: str) -> bool:
    """Whether a workload's name is FILE.py:NAME."""
    return WORDS.fullmatch(words) is not None


def named(words: str) -> tuple[WorkloadType, str]:
    """What FILE.py:NAME is, and the file's absolute name. Raises WorkloadError."""
    match = WORDS.fullmatch(words)
    assert match is not None, f"{words} is not FILE.py:NAME"
    file = str(Path(match[1]).absolute())
    return of(file, match[2]), file


@functools.cache
def of(file: str, name: str) -> WorkloadType:
    """The file is run once in a process. Raises WorkloadError."""
    code = user_code(file, name)
    return _acting(code) if code.kind == "rank" else _writing(code)


def _acting(code: UserCode) -> WorkloadType:
    bound = functools.partial
    return WorkloadType(
        name=code.label,
        description="",
        options=ActingOptions,
        default_sizes=_DEFAULT_SIZES,
        ranks=ranks,
        words=lambda _: BYTES,
        check=_check_acting,
        data_bytes=_data_bytes,
        iterations=iterations,
        flows=lambda _: 1,
        measure=_measure,
        start=bound(_start, code),
        channels=2,
    )


def _check_acting(config: ExperimentConfig) -> None:
    if not min(config.sizes_bytes):
        raise WorkloadError("a user's workload of 0 bytes has no memory; choose a --size above 0")


def _data_bytes(config: ExperimentConfig) -> int:
    nranks = ranks(config)
    return data_bytes(max(config.sizes_bytes), nranks) + control_bytes(nranks)


def _start(code: UserCode, machine: Machine, transport: Transport[Any], size: int) -> Acting:
    return Acting(machine, transport, code, ranks(machine.config), size)


def _measure(config: ExperimentConfig) -> Measure:
    return Measure(
        columns=("size", "type", "path", "time", "compute", "exposed", "algbw", "wrong", "dram", "verdict"),
        size_is_key=True,
        timed="mean",
        rate="busbw",
        bandwidth_factor=1.0,  # who sends how much is known to the function alone
        ranks=ranks(config),
        checked="whole",
    )


def _writing(code: UserCode) -> WorkloadType:
    return TraceSource(
        name=code.label,
        description="",
        options=WritingOptions,
        default_sizes=_DEFAULT_SIZES,
        traces=functools.partial(_traces, code),
    ).workload()


def _traces(code: UserCode, config: ExperimentConfig, size: int) -> Sequence[Trace]:
    traces = []
    for rank in range(nranks := ranks(config)):
        program = CheckedProgram(rank, nranks, size)
        code.written(program)
        traces.append(program.trace())
    return traces

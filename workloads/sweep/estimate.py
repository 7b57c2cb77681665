"""How long a sweep will take: a guess from what each run has to do, made good by the cells that have ended.

In: configurations, what the network would take for an iteration, seconds of cells that have ended. Out:
seconds. Owns the constants of the guess, measured on two cores: a run of a collective or a stream took
between half and twice of it.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from workloads.experiment.records import ExperimentConfig
from workloads.options import pause_s, warmup_time_s
from workloads.registry import workload_of
from workloads.stream import StreamOptions

_START_S, _HOST_S, _RANK_S = 4.0, 0.5, 0.7  # Python, Ray and the report; a host's endpoint; a rank
_TRIAL_S, _ITERATION_S = 0.3, 0.02
_BYTES_PER_S = 100e6  # of a rank's payload, beside the other ranks of a machine


class Guess(NamedTuple):
    """Of a cell."""

    workload: str
    seconds: float


def guess(config: ExperimentConfig, predicted_s: Mapping[int, float] = MappingProxyType({})) -> Guess:
    """From the run's own numbers: hosts, ranks, trials, iterations, sizes, a stream's duration, the time that
    warm-up has. `predicted_s`: of an iteration, by size, what the links and the accelerators alone would
    take. An iteration takes that or what a machine's CPU needs for its bytes, whichever is more."""
    ranks = workload_of(config).ranks(config)
    trials_s = sum(_trial_s(config, ranks * size, predicted_s.get(size, 0.0)) for size in config.sizes_bytes)
    start_s = _START_S + _HOST_S * config.hosts + _RANK_S * ranks
    return Guess(config.workload, start_s + config.repeat * len(config.paths) * trials_s)


def _trial_s(config: ExperimentConfig, moved_bytes: int, predicted_s: float) -> float:
    if isinstance(config.options, StreamOptions):
        iteration_s = _ITERATION_S + config.options.duration_s
    else:
        iteration_s = max(_ITERATION_S, pause_s(config.options)) + max(
            moved_bytes / _BYTES_PER_S, predicted_s
        )
    trial_s, warmup_s = _TRIAL_S, warmup_time_s(config.options)
    for (warmup, _), group in itertools.groupby(workload_of(config).iterations(config)):
        trial_s += max(len(tuple(group)) * iteration_s, warmup_s if warmup else 0.0)
    return trial_s


def estimates_s(guesses: Mapping[str, Guess], ended: Mapping[str, float]) -> dict[str, float]:
    """Of each cell: what it took before, or its guess times what the cells of its workload that have `ended`
    took of theirs, by the median; of a workload of which none has ended, all cells."""
    shares: dict[str, list[float]] = {}
    for cell, seconds in ended.items():
        if cell in guesses:
            shares.setdefault(guesses[cell].workload, []).append(seconds / guesses[cell].seconds)
    every = [share for those in shares.values() for share in those] or [1.0]
    medians = {workload: statistics.median(those) for workload, those in shares.items()}
    default = statistics.median(every)
    return {
        cell: ended.get(cell, each.seconds * medians.get(each.workload, default))
        for cell, each in guesses.items()
    }


def told(seconds: float) -> str:
    """As `50 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

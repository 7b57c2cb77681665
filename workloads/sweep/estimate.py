"""How long a sweep will take: a guess from what each run has to do, made good by the cells that have ended.

In: configurations, seconds of cells that have ended. Out: seconds. Owns the constants of the guess, which
were measured on two cores of a quiet machine; a run there took between half and twice of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from workloads.experiment.records import ExperimentConfig
from workloads.registry import workload_of
from workloads.stream import StreamOptions

_START_S, _HOST_S, _RANK_S = 4.0, 0.5, 0.7  # Python, Ray and the report; a host's endpoint; a rank
_TRIAL_S, _ITERATION_S = 0.3, 0.02
_BYTES_PER_S = 100e6  # of a rank's payload, beside the other ranks of a machine


def guess_s(config: ExperimentConfig) -> float:
    """From the run's own numbers: hosts, ranks, trials, iterations, sizes, a stream's duration."""
    workload = workload_of(config)
    ranks = workload.ranks(config)
    iterations = len(workload.iterations(config))
    iteration_s = _ITERATION_S
    if isinstance(config.options, StreamOptions):
        iteration_s += config.options.duration_s
        moved_bytes = 0
    else:
        moved_bytes = ranks * sum(config.sizes_bytes) // len(config.sizes_bytes)
    trials = config.repeat * len(config.sizes_bytes) * len(config.paths)
    trial_s = _TRIAL_S + iterations * (iteration_s + moved_bytes / _BYTES_PER_S)
    return _START_S + _HOST_S * config.hosts + _RANK_S * ranks + trials * trial_s


def estimates_s(guesses: Mapping[str, float], ended: Mapping[str, float]) -> dict[str, float]:
    """Of each cell: what it took before, or its guess times what the cells that have `ended` took of theirs,
    by the median."""
    shares = [seconds / guesses[cell] for cell, seconds in ended.items() if cell in guesses]
    share = statistics.median(shares) if shares else 1.0
    return {cell: ended.get(cell, guess * share) for cell, guess in guesses.items()}


def told(seconds: float) -> str:
    """As `50 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

"""Which trials an experiment has, and in which order.

In: the configuration. Out: trials; pure. Owns nothing.
"""

from __future__ import annotations

import random

from workloads.experiment.records import ExperimentConfig, Trial


def trials(config: ExperimentConfig) -> list[Trial]:
    """Every path and size in every repetition, in an order shuffled by the seed: sizes within a repetition,
    paths next to each other within a size, so that they are compared under the same conditions."""
    order = random.Random(config.seed)
    return [
        Trial(path, size, repetition)
        for repetition in range(config.repeat)
        for size in order.sample(config.sizes_bytes, len(config.sizes_bytes))
        for path in order.sample(config.paths, len(config.paths))
    ]

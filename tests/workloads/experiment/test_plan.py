"""The order of trials."""

from __future__ import annotations

from collections import Counter

from workloads.collective import CollectiveOptions
from workloads.experiment.plan import trials
from workloads.experiment.records import ExperimentConfig

PATHS = ("devmem", "bounce", "kernel")
CONFIG = ExperimentConfig("star", 4, "all_reduce", (1, 2, 3), PATHS, CollectiveOptions(), repeat=5)


def test_every_path_and_size_runs_once_in_every_repetition() -> None:
    counted = Counter((t.path, t.size_bytes, t.repetition) for t in trials(CONFIG))
    assert len(counted) == 3 * 3 * 5
    assert set(counted.values()) == {1}


def test_paths_of_one_size_run_next_to_each_other_in_an_order_that_changes() -> None:
    plan = trials(CONFIG)
    groups = [plan[at : at + 3] for at in range(0, len(plan), 3)]
    assert all(len({(t.size_bytes, t.repetition) for t in group}) == 1 for group in groups)
    assert len({tuple(t.path for t in group) for group in groups}) > 1


def test_the_same_seed_gives_the_same_order() -> None:
    assert trials(CONFIG) == trials(CONFIG)

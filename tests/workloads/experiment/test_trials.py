"""samples.csv while it is written: whole trials, and a full disk."""

from __future__ import annotations

import csv
import resource
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig, Sample, SamplesError
from workloads.experiment.rows_file import RowsFile
from workloads.experiment.trials import figure
from workloads.options import WorkloadOptions
from workloads.patterns.traffic import MessagesOptions
from workloads.registry import WORKLOADS
from workloads.stream import StreamOptions

ROW = msgspec.convert(
    {
        name: "x" if kind is str else 7
        for name, kind in get_type_hints(Sample).items()
    },
    Sample,
)  # fmt: skip


def test_a_trial_is_in_the_file_when_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    with RowsFile(path, Sample) as file:
        file.append([ROW, ROW])
        with open(path, newline="", encoding="utf-8") as read:
            rows = list(csv.DictReader(read))
    assert len(rows) == 2
    assert list(rows[0]) == list(Sample.__struct_fields__)


def test_a_file_that_cannot_grow_is_named_and_keeps_whole_trials(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RowsFile(path, Sample) as file:
        file.append([ROW])
        whole = path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, hard))
        try:
            with pytest.raises(SamplesError) as failure:
                file.append([ROW, ROW])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(failure.value).startswith(f"{path} cannot be written (File too large); ")
    assert path.read_bytes() == whole


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.symlink_to("/dev/full")
    with pytest.raises(SamplesError, match=r"samples\.csv cannot be written \(No space left on device\)"):
        RowsFile(path, Sample)


def rows(*times: tuple[int, float, int]) -> list[Sample]:
    """Of each (warm-up, seconds, received bytes) a row of a million bytes."""
    return [
        msgspec.structs.replace(
            ROW, warmup=warmup, time_s=time_s, payload_received_bytes=received, size_bytes=10**6
        )
        for warmup, time_s, received in times
    ]


@pytest.mark.parametrize(
    ("workload", "options", "samples", "expected"),
    [
        ("all_reduce", CollectiveOptions(), rows((1, 9.0, 1), (0, 0.001, 1), (0, 0.003, 1)), "0.750 GB/s"),
        ("barrier", CollectiveOptions(), rows((0, 0.001, 1)), "1000.0 us"),
        ("stream", StreamOptions(), rows((0, 1.0, 0), (0, 2.0, 10**9)), "4.000 Gbit/s"),
        ("all_reduce", CollectiveOptions(), rows((1, 9.0, 1)), ""),
    ],
)
def test_the_current_figure_is_that_of_a_trials_measured_rows(
    workload: str, options: WorkloadOptions, samples: list[Sample], expected: str
) -> None:
    config = ExperimentConfig("star", 4, workload, (10**6,), ("kernel",), options)
    assert figure(samples, WORKLOADS[workload].measure(config)) == expected


def test_a_patterns_current_figure_is_of_the_time_until_its_last_rank_ends() -> None:
    config = ExperimentConfig("star", 3, "incast", (10**6,), ("kernel",), MessagesOptions(messages=1))
    long, short = rows((0, 0.004, 2 * 10**6), (0, 0.0, 0))
    ranks = [
        msgspec.structs.replace(long, start_s=5.0, end_s=5.004),
        msgspec.structs.replace(short, start_s=5.0, end_s=5.001),
    ]
    assert figure(ranks, WORKLOADS["incast"].measure(config)) == "0.500 GB/s"

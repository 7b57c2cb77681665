"""samples.csv while it is written: whole trials, and a full disk."""

from __future__ import annotations

import csv
import resource
from pathlib import Path

import msgspec
import pytest

from workloads.experiment.records import Sample, SamplesError
from workloads.experiment.rows_file import RowsFile

ROW = msgspec.convert(
    {
        name: "x" if kind == "str" else 7
        for name, kind in Sample.__annotations__.items()
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

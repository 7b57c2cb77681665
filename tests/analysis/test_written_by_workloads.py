"""What analysis reads is what workloads write: columns of samples.csv, fields of manifest.json."""

from __future__ import annotations

import types
import typing
from pathlib import Path

import msgspec
import pytest

from analysis import load, samples
from analysis import manifest as read
from analysis.measure import Measure
from analysis.printed import PRINTED
from workloads import measure as written_measure
from workloads.collective import CollectiveOptions
from workloads.experiment import manifest_records
from workloads.experiment.manifest import ManifestFile
from workloads.experiment.records import ExperimentConfig, Sample
from workloads.options import WorkloadOptions
from workloads.registry import WORKLOADS
from workloads.replay import ReplayOptions
from workloads.schedules.algorithms import ALGORITHMS
from workloads.stream import StreamOptions
from workloads.trace import file
from workloads.trace.node import Program

OPTIONS: dict[str, WorkloadOptions] = {
    **{name: each.options() for name, each in WORKLOADS.items()},
    **{name: CollectiveOptions(iterations=5) for name in ALGORITHMS},
    "stream": StreamOptions(duration_s=1.5, bidir=True),
}


def _fields(record: type[msgspec.Struct]) -> dict[str, object]:
    hints = typing.get_type_hints(record)
    return {name: hints[name] for name in record.__struct_fields__}


def test_the_columns_that_are_read_are_those_of_a_sample() -> None:
    assert len(samples.COLUMNS) == len(set(samples.COLUMNS))
    assert set(samples.COLUMNS) == set(Sample.__struct_fields__)


def test_columns_are_read_as_the_types_they_are_written_as() -> None:
    for name, kind in _fields(Sample).items():
        assert (kind is str) == (name in samples.TEXT_COLUMNS), name
        if name in samples.IDENTITY_COLUMNS:
            assert kind is int, name
        if isinstance(kind, types.UnionType):
            assert name in samples.NULLABLE_COLUMNS, f"{name} may be empty"


def test_the_manifests_fields_are_those_that_are_written() -> None:
    assert read.SCHEMA_VERSION == manifest_records.SCHEMA_VERSION
    assert set(read.Manifest.__struct_fields__) == set(manifest_records.Manifest.__struct_fields__)
    for name in ("Git", "PathNote", "LinkRecord"):
        assert _fields(getattr(read, name)) == _fields(getattr(manifest_records, name))
    written = _fields(ExperimentConfig)
    for name, kind in _fields(read.Config).items():
        assert kind == typing.Optional[written[name]], f"{name} was not written by older versions"  # noqa: UP045


def test_a_measures_fields_and_words_are_those_that_are_written() -> None:
    assert _fields(Measure) == _fields(written_measure.Measure)
    assert Measure.__struct_defaults__ == written_measure.Measure.__struct_defaults__
    assert set(typing.get_args(written_measure.Column)) == set(PRINTED)


def _options(workload: str, directory: Path) -> WorkloadOptions:
    if workload != "replay":
        return OPTIONS.get(workload) or WORKLOADS[workload].options()
    file.write(directory, [Program(rank, 4).trace() for rank in range(4)])
    return ReplayOptions(trace_dir=str(directory))


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_written_manifest_is_read_as_it_was_meant(workload: str, tmp_path: Path) -> None:
    own = _options(workload, tmp_path / "trace")
    config = ExperimentConfig(
        "star", 4, workload, (1024,), ("kernel", "devmem"), own, kernel="6.12",
        impair="loss=0.1", host_mem_bw_bytes_per_s=2e9,
    )  # fmt: skip
    ManifestFile(tmp_path / "run", ["run.py", "--hosts", "4"], config).finish("failed", "host h2 died")
    run = load.load(tmp_path / "run")
    found = run.manifest
    assert (found.schema_version, found.status, found.error) == (3, "failed", "host h2 died")
    written = msgspec.json.decode((tmp_path / "run" / "manifest.json").read_bytes())
    assert msgspec.json.decode(msgspec.json.encode(found)) == written, "every field, as it was written"
    declared = WORKLOADS[workload].measure(config)
    assert msgspec.to_builtins(found.measure) == msgspec.to_builtins(declared)
    assert run.config == read.Config("star", 4, workload, ("kernel", "devmem"), 2e9, clock="machine")
    assert found.config == msgspec.to_builtins(config) | {
        "sizes_bytes": [1024], "paths": ["kernel", "devmem"], "fault": [],
        "hosts_of_ranks": [], "traffic": [],
    }  # fmt: skip
    assert {note.path: note.mark for note in found.notes} == {"devmem": "RX only", "kernel": "clean wire"}

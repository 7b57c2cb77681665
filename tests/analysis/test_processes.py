"""CPU seconds, context switches and the machine's own memory, for each GB of payload."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from analysis.load import load
from analysis.memory_counters import MemoryUsage
from analysis.plots import Figures
from analysis.processes import csv_text, measured_dram, process_rows
from analysis.report import write_report
from analysis.summary import summarise
from tests.analysis.synthetic import MIB, Made
from workloads.experiment import memory_usage

ROW = "devmem,16777216,0,1.5,1000,64000,40000,24000"


def made(**more: object) -> Made:
    return Made(sizes=(16 * MIB,), nranks=4, manifest=dict(more))


def test_each_rank_and_each_endpoint_has_a_row_over_its_own_payload(tmp_path: Path) -> None:
    rows = process_rows(load(made().write(tmp_path / "r")))
    names = [f"h{n}:rank{n - 1}" for n in range(1, 5)] + [f"h{n}:endpoint" for n in range(1, 5)]
    assert [row.process for row in rows if row.path == "devmem"] == names
    iterations = 3 * 2
    payload = 2 * (2 * 3 * 16 * MIB // 4)  # a rank's, each iteration
    rank, endpoint = rows[0], rows[4]
    assert rank.payload_bytes == endpoint.payload_bytes == iterations * payload
    assert rank.voluntary_switches_per_GB == pytest.approx(30 / (payload / 1e9))
    assert rank.involuntary_switches_per_GB == pytest.approx(3 / (payload / 1e9))
    assert endpoint.voluntary_switches_per_GB == pytest.approx(50 / (payload / 1e9))
    assert endpoint.cpu_s_per_GB == pytest.approx(3.5 * (rank.cpu_s_per_GB or 0.0))


def test_summary_has_the_switches_of_all_ranks_and_of_all_endpoints(tmp_path: Path) -> None:
    devmem, _, kernel = summarise(load(made().write(tmp_path / "r")))
    payload = 4 * 2 * (2 * 3 * 16 * MIB // 4)
    assert devmem.app_voluntary_switches_per_GB == pytest.approx(4 * 30 / (payload / 1e9))
    assert devmem.endpoint_involuntary_switches_per_GB == pytest.approx(4 * 5 / (payload / 1e9))
    assert kernel.endpoint_voluntary_switches_per_GB == 0


def test_a_run_that_did_not_count_switches_leaves_them_empty(tmp_path: Path) -> None:
    asked = made()
    rows = [row | {"app_voluntary_switches": None} for row in asked.rows()]
    run = load(asked.write(tmp_path / "r", rows))
    assert summarise(run)[0].app_voluntary_switches_per_GB is None
    first = process_rows(run)[0]
    assert (first.voluntary_switches_per_GB, first.involuntary_switches_per_GB is None) == (None, False)
    written = list(csv.DictReader(io.StringIO(csv_text(process_rows(run)))))
    assert written[0]["voluntary_switches_per_GB"] == ""


def test_the_columns_that_are_read_are_those_that_are_written() -> None:
    assert MemoryUsage.__struct_fields__ == memory_usage.MemoryUsage.__struct_fields__


def test_the_machines_own_memory_is_divided_by_its_trials_payload(tmp_path: Path) -> None:
    directory = made(memory_counters="resctrl").write(tmp_path / "r")
    header = ",".join(MemoryUsage.__struct_fields__)
    again = ROW.replace(",0,1.5,1000,64000", ",1,1.5,3000,64000")
    (directory / "memory_counters.csv").write_text(f"{header}\n{ROW}\n{again}\n")
    run = load(directory)
    assert measured_dram(run.memory_usage, "devmem", {16 * MIB}) == 128000 / 4000
    assert measured_dram(run.memory_usage, "devmem", None) == 32
    assert measured_dram(run.memory_usage, "devmem", {1}) is None
    devmem, bounce, _ = summarise(run)
    assert (devmem.measured_dram_bytes_per_payload_byte, bounce.measured_dram_bytes_per_payload_byte) == (
        32,
        None,
    )
    page = write_report(run, summarise(run), Figures()).read_text()
    assert (
        "This machine&#39;s own memory, by resctrl, moved for each payload byte: devmem 32.00 bytes" in page
    )


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"memory_counters_reason": "perf knows none; no resctrl"}, "perf knows none; no resctrl."),
        ({}, "this run recorded none."),
    ],
)
def test_the_report_says_why_the_machines_memory_was_not_measured(
    tmp_path: Path, manifest: dict[str, object], said: str
) -> None:
    run = load(made(**manifest).write(tmp_path / "r"))
    page = write_report(run, summarise(run), Figures()).read_text()
    assert f"This machine&#39;s own memory traffic was not measured: {said}" in page
    assert '<td class="text">h1:rank0</td>' in page

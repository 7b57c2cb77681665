"""Host memory over time: from ledger.csv to rates, a figure, and what a damaged file says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analysis.analyse import analyse
from analysis.ledger import LedgerRow, csv_text, host_memory_rows, of_busiest_host
from analysis.load import load
from analysis.memory_model import MemoryModel
from analysis.results_error import ResultsError
from tests.analysis.synthetic import MIB, Made
from workloads.experiment import ledger_series


def row(begin_s: float, end_s: float, host: str = "h1", **counts: float) -> LedgerRow:
    kinds = LedgerRow.__struct_fields__
    zero = dict.fromkeys(kinds[7:], 0)
    key = {"path": "bounce", "size_bytes": 16 * MIB, "repetition": 0, "host": host}
    times = {"begin_s": begin_s, "end_s": end_s, "time_s": 1000 + begin_s}
    return msgspec.convert(key | times | zero | counts, LedgerRow)


BOUNCED: dict[str, Any] = {
    "nic_wire_to_host_bytes": 10**6, "cpu_host_to_host_bytes": 10**6, "acc_host_to_device_bytes": 10**6,
}  # fmt: skip


def write(directory: Path, rows: list[LedgerRow]) -> Path:
    with (directory / "ledger.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LedgerRow.__struct_fields__)
        writer.writerows(map(msgspec.structs.astuple, rows))
    return directory


def test_the_columns_that_are_read_are_those_that_are_written() -> None:
    assert LedgerRow.__struct_fields__ == ledger_series.LedgerRow.__struct_fields__


def test_an_interval_has_rates_and_bytes_per_payload_byte() -> None:
    (found,) = host_memory_rows([row(0.0, 0.1, **BOUNCED)])
    assert found.dram_read_GB_per_s == pytest.approx(0.02)
    assert found.dram_write_GB_per_s == pytest.approx(0.02)
    assert (found.dram_GB_per_s, found.network_payload_GB_per_s) == pytest.approx((0.04, 0.01))
    assert found.device_write_GB_per_s == pytest.approx(0.01)
    assert (found.dram_bytes_per_payload_byte, found.pcie_root_bytes_per_payload_byte) == (4.0, 2.0)
    assert found.pcie_switch_bytes_per_payload_byte == 2.0


def test_the_models_parameters_apply_after_the_fact() -> None:
    (found,) = host_memory_rows([row(0.0, 0.1, **BOUNCED)], MemoryModel(rfo=True, ddio=0.5))
    assert found.dram_bytes_per_payload_byte == pytest.approx(4 + 1 - 2 * 0.5)


def test_an_interval_without_payload_has_rates_alone_and_an_empty_one_no_row() -> None:
    rows = [row(0.0, 0.1, acc_core_to_device_bytes=5), row(0.1, 0.1)]
    (found,) = csv.DictReader(io.StringIO(csv_text(rows)))
    assert found["dram_bytes_per_payload_byte"] == ""
    assert float(found["device_write_GB_per_s"]) == pytest.approx(5e-8)


def test_the_busiest_host_is_the_one_whose_memory_moves_most() -> None:
    rows = [row(0, 1, "h1", nic_wire_to_device_bytes=10**9), row(0, 1, "h2", **BOUNCED)]
    assert [each.host for each in of_busiest_host(rows)] == ["h2"]
    assert of_busiest_host([]) == []


def test_a_run_writes_host_memory_csv_and_draws_it_over_time(tmp_path: Path) -> None:
    directory = Made(sizes=(16 * MIB,)).write(tmp_path / "r")
    write(directory, [row(n / 10, (n + 1) / 10, **BOUNCED) for n in range(4)])
    analysis = analyse(directory)
    assert "host_dram_time.png" in [path.name for path in analysis.figure_paths]
    written = list(csv.DictReader((directory / "host_memory.csv").open()))
    assert [float(each["dram_bytes_per_payload_byte"]) for each in written] == [4.0] * 4
    page = (directory / "report.html").read_text()
    assert "Modelled: what the ledger counted in each interval" in page


def test_trials_that_are_too_short_have_no_course_in_time(tmp_path: Path) -> None:
    directory = Made(sizes=(16 * MIB,)).write(tmp_path / "r")
    write(directory, [row(n / 10, (n + 1) / 10, **BOUNCED) for n in range(2)])
    assert "host_dram_time.png" not in [path.name for path in analyse(directory).figure_paths]


def test_a_ledger_of_an_earlier_version_has_no_page_pools(tmp_path: Path) -> None:
    directory = Made(sizes=(16 * MIB,)).write(tmp_path / "r")
    rows = [row(n / 10, (n + 1) / 10, rx_pool_peak_share=0.5, **BOUNCED) for n in range(4)]
    write(directory, rows)
    assert "pools.png" in [path.name for path in analyse(directory).figure_paths]
    lines = (directory / "ledger.csv").read_text().splitlines()
    assert lines[0].endswith(",rx_pool_peak_share")
    (directory / "ledger.csv").write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines))
    assert {each.rx_pool_peak_share for each in load(directory).ledger} == {None}
    assert "pools.png" not in [path.name for path in analyse(directory).figure_paths]
    (directory / "ledger.csv").write_text("\n".join([lines[0], lines[1].replace(",0.5", ",2.5"), ""]))
    with pytest.raises(ResultsError, match=r"ledger\.csv line 2 breaks its schema"):
        load(directory)


def test_a_ledger_that_is_gone_or_wrong_is_told(tmp_path: Path) -> None:
    directory = Made(sizes=(MIB,)).write(tmp_path / "r")
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest | {"files": {"ledger.csv": "0" * 64}}))
    assert load(directory).damage == ("ledger.csv is missing, which the run wrote",)
    write(directory, [row(0.0, 0.1)])
    assert load(directory).damage == (
        "ledger.csv is not the file that the run wrote: its SHA-256 is not the manifest's",
    )
    text = (directory / "ledger.csv").read_text()
    (directory / "ledger.csv").write_text(text.replace(",0.1,", ",-0.1,"))
    with pytest.raises(ResultsError, match=r"ledger\.csv line 2 breaks its schema"):
        load(directory)


def test_the_model_is_told_wherever_it_changes_a_number(tmp_path: Path) -> None:
    directory = Made(sizes=(16 * MIB,)).write(tmp_path / "r")
    plain, assumed = analyse(directory), analyse(directory, memory_model=MemoryModel(rfo=True, ddio=0.5))
    said = "50 % of NICs' writes in the cache (DDIO), read-for-ownership"
    assert f"# DRAM is assumed with {said}\n" in assumed.table_text
    assert "assumed" not in plain.table_text
    assert said.replace("'", "&#39;") in (directory / "report.html").read_text()
    assert {(row.rfo, row.ddio_share) for row in assumed.rows} == {(True, 0.5)}
    assert {(row.rfo, row.ddio_share) for row in plain.rows} == {(False, 0.0)}


def test_ceilings_stand_in_the_tables_footer(tmp_path: Path) -> None:
    config: dict[str, object] = {"host_mem_bw_bytes_per_s": 2e9, "pcie_bw_bytes_per_s": 5e8}
    directory = Made(sizes=(16 * MIB,), config=config).write(tmp_path / "r")
    table = analyse(directory).table_text
    assert "# Ceilings of a host   : (GB/s) host memory 2, PCIe switch 0.5 each way\n" in table

"""nics.csv: what each NIC moved, its ranks together, beside the closed form; runs without NICs have none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.analyse import analyse
from analysis.host_memory import HEADER_BYTES
from analysis.load import load
from analysis.nics import NicRow, nic_rows
from tests.analysis.synthetic import MIB, Cell, Made

NICS = ("h1-eth0", "h1-eth1", "h2-eth0", "h2-eth1")
RANKS = [
    {"rank": rank, "host": f"h{1 + rank // 4}", "accelerator": f"a{rank % 4}", "nic": NICS[rank // 2]}
    for rank in range(8)
]


def made(local: int = 0) -> tuple[Made, list[dict[str, Cell]]]:
    """Eight ranks, two a NIC, on two hosts; `local` payload bytes of each stayed in the host."""
    run = Made(nranks=8, sizes=(MIB,), manifest={"ranks": RANKS})
    rows = run.rows()
    for row in rows:
        rank = int(str(row["rank"]))
        row |= {"host": f"h{1 + rank // 4}", "nic": NICS[rank // 2], "payload_local_bytes": local}
        if row["path"] != "devmem":
            row["payload_staged_bytes"] = int(str(row["payload_staged_bytes"])) - local
    return run, rows


def rows_of(tmp_path: Path, local: int = 0) -> dict[tuple[str, str], NicRow]:
    run, rows = made(local)
    return {(row.path, row.nic): row for row in nic_rows(load(run.write(tmp_path / "r", rows)))}


def test_a_nic_has_the_sums_of_its_ranks_an_iteration(tmp_path: Path) -> None:
    found = rows_of(tmp_path)
    assert list(found)[:5] == [*(("devmem", nic) for nic in NICS), ("bounce", "h1-eth0")]
    row = found["devmem", "h2-eth0"]
    share = 2 * 7 * MIB // 8
    assert (row.host, row.ranks, row.size_bytes) == ("h2", "4 5", MIB)
    assert row.network_payload_bytes == 2 * 2 * share  # of two ranks, both ways
    assert row.pcie_switch_bytes == 2 * 2 * share


def test_the_closed_form_is_what_the_ledger_of_each_path_says(tmp_path: Path) -> None:
    found = rows_of(tmp_path)
    payload = 2 * 2 * (2 * 7 * MIB // 8)
    for nic in NICS:
        for path, staged in (("devmem", 0), ("bounce", payload)):
            row = found[path, nic]
            assert row.expected_root_bytes == row.pcie_root_bytes
            headers = (row.expected_root_bytes or 0) - 2 * staged
            assert headers > 0
            assert headers % HEADER_BYTES == 0
            assert row.expected_switch_bytes == payload + staged + headers
        assert found["kernel", nic].expected_root_bytes is None  # Linux tells no super-packets


def test_what_goes_by_a_nic_of_another_switch_crosses_two_and_the_root(tmp_path: Path) -> None:
    run, rows = made()
    for row in rows:
        row["payload_far_bytes"] = 1000 if row["path"] == "devmem" else 0
    none = rows_of(tmp_path / "none")
    for far in nic_rows(load(run.write(tmp_path / "far", rows))):
        near, more = none[far.path, far.nic], 2 * 1000 if far.path == "devmem" else 0
        if far.path != "kernel":
            assert far.expected_switch_bytes == (near.expected_switch_bytes or 0) + more
            assert far.expected_root_bytes == (near.expected_root_bytes or 0) + more


def test_what_stays_in_a_host_is_no_payload_of_the_network(tmp_path: Path) -> None:
    some, none = rows_of(tmp_path / "some", 1000), rows_of(tmp_path / "none")
    for path, crossings in (("devmem", 1), ("bounce", 2)):
        key = path, "h1-eth1"
        less = (none[key].network_payload_bytes or 0) - (some[key].network_payload_bytes or 0)
        assert less == 2 * 1000
        less = (none[key].expected_switch_bytes or 0) - (some[key].expected_switch_bytes or 0)
        assert less == crossings * 2 * 1000


def test_the_report_shows_nics_where_hosts_have_several_ranks(tmp_path: Path) -> None:
    run, rows = made()
    analyse(run.write(tmp_path / "many", rows))
    page = (tmp_path / "many" / "report.html").read_text()
    assert "PCIe, NIC by NIC" in page
    assert "# Busiest PCIe switch  : (MB an iteration) devmem 7.340, root 0.0" in page
    assert page.count('<td class="text wrap">6 7</td>') == 3
    assert len((tmp_path / "many" / "nics.csv").read_text().splitlines()) == 1 + 3 * 4
    analyse(Made().write(tmp_path / "one"))
    page = (tmp_path / "one" / "report.html").read_text()
    assert "PCIe, NIC by NIC" not in page
    assert "Busiest PCIe switch" not in page


@pytest.mark.parametrize("column", ["nic", "payload_local_bytes", "payload_far_bytes", "fabric_bytes"])
def test_a_run_of_an_earlier_version_is_read_without_what_it_lacks(tmp_path: Path, column: str) -> None:
    directory = Made().write(tmp_path / "r")
    samples = directory / "samples.csv"
    pd.read_csv(samples).drop(columns=column).to_csv(samples, index=False)
    analyse(directory)
    assert (nic_rows(load(directory)) == ()) == (column == "nic")


def test_the_busiest_host_is_a_host_and_not_a_rank(tmp_path: Path) -> None:
    run, rows = made()
    directory = run.write(tmp_path / "r", rows)
    (row,) = (each for each in analyse(directory).rows if each.path == "devmem")
    assert row.busiest_host_payload_bytes == 4 * 2 * (2 * 7 * MIB // 8)

"""The memory model's arithmetic, as exact numbers."""

from pathlib import Path

import pytest

from analysis.host_memory import expected_headers, expected_staged, host_memory
from analysis.load import load
from analysis.memory_model import MemoryModel
from tests.analysis.synthetic import MIB, Made

MOVED = 2 * (2 * 3 * 16 * MIB // 4)  # sent and received by one of four ranks
PACKETS = MOVED // 65536


def test_bounce_moves_four_bytes_a_payload_byte_and_headers(tmp_path: Path) -> None:
    made = Made(paths=("bounce",), sizes=(16 * MIB,))
    found = host_memory(load(made.write(tmp_path / "r")).measured)
    headers = 2 * 66 * PACKETS / MOVED
    assert found.dram == pytest.approx(4 + headers, rel=1e-12)
    assert found.dram_read == found.dram_write == pytest.approx(2 + headers / 2, rel=1e-12)
    assert found.header == pytest.approx(headers, rel=1e-12)
    assert found.derived_share == 0
    assert found.pcie_root == pytest.approx(2 + headers / 2, rel=1e-12)
    assert found.deviation_percent == pytest.approx(0, abs=1e-9)


def test_devmem_moves_headers_only(tmp_path: Path) -> None:
    made = Made(paths=("devmem",), sizes=(16 * MIB,))
    found = host_memory(load(made.write(tmp_path / "r")).measured)
    assert found.dram == found.header == pytest.approx(132 / 65536, rel=1e-12)
    assert found.expected_dram == pytest.approx(132 / 65536, rel=1e-12)
    assert found.header_uncoalesced == pytest.approx(132 / 1448, rel=1e-4)
    assert found.header_per_wire_packet == 132


def test_kernel_is_as_bounce_but_all_save_the_applications_copy_is_derived(tmp_path: Path) -> None:
    made = Made(paths=("kernel",), sizes=(16 * MIB,))
    found = host_memory(load(made.write(tmp_path / "r")).measured)
    headers = 2 * 66 * PACKETS / MOVED
    assert found.dram == found.expected_dram == pytest.approx(4 + headers, rel=1e-12)
    assert found.derived_share == pytest.approx((3 + headers) / (4 + headers), rel=1e-12)
    assert found.header_per_wire_packet == 132


def test_what_a_path_says_it_staged_decides_its_closed_form_and_not_its_name(tmp_path: Path) -> None:
    made = Made(paths=("devmem",), sizes=(16 * MIB,))
    rows = made.rows()
    for row in rows:  # as where the kernel has no devmem TX: what is sent is staged
        sent, read, write = (
            row[name] for name in ("payload_sent_bytes", "host_dram_read_bytes", "host_dram_write_bytes")
        )
        assert isinstance(sent, int)
        assert isinstance(read, int)
        assert isinstance(write, int)
        row |= {"payload_staged_bytes": sent, "host_dram_read_bytes": read + 2 * sent}
        row |= {"host_dram_write_bytes": write + 2 * sent}
    found = host_memory(load(made.write(tmp_path / "r", rows)).measured)
    assert found.expected_dram == pytest.approx(2 + 132 / 65536, rel=1e-12)
    assert found.deviation_percent == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("path", "unknown"), [("kernel", "header_host_dram_bytes"), ("devmem", "rx_packets")]
)
def test_headers_that_were_not_counted_leave_the_closed_form_unknown(
    tmp_path: Path, path: str, unknown: str
) -> None:
    made = Made(paths=(path,), sizes=(16 * MIB,))
    gone = {unknown: None, "header_host_dram_bytes": None}
    rows = [row | gone for row in made.rows()]
    assert host_memory(load(made.write(tmp_path / "r", rows)).measured).expected_dram is None


def test_deviation_from_the_closed_form_is_in_percent(tmp_path: Path) -> None:
    made = Made(paths=("kernel",), sizes=(16 * MIB,))
    rows = made.rows()
    for row in rows:
        read = row["host_dram_read_bytes"]
        assert isinstance(read, int)
        row["host_dram_read_bytes"] = read + (4 + 132 / 65536) / 20 * MOVED
    found = host_memory(load(made.write(tmp_path / "r", rows)).measured)
    assert found.deviation_percent == pytest.approx(5.0)


def test_one_unrecorded_cell_leaves_the_ratio_unknown(tmp_path: Path) -> None:
    made = Made(paths=("bounce",), sizes=(16 * MIB,))
    rows = made.rows()
    rows[-1]["host_dram_read_bytes"] = None
    found = host_memory(load(made.write(tmp_path / "r", rows)).measured)
    assert found.dram is None
    assert found.dram_write is not None
    assert found.deviation_percent is None


@pytest.mark.parametrize(
    ("staged", "payload", "expected"),
    [(0, 660, 0.0), (660, 660, 4.0), (165, 660, 1.0), (None, 660, None), (10, 0, None)],
)
def test_a_staged_byte_is_accessed_four_times(
    staged: float | None, payload: float | None, expected: float | None
) -> None:
    assert expected_staged(staged, payload) == expected


def test_published_header_share_at_an_mss_of_8192() -> None:
    share = expected_headers(1, 8192)
    assert share is not None
    assert round(100 * share, 1) == 1.6


MODELS = [MemoryModel(rfo, ddio) for rfo in (False, True) for ddio in (0.0, 0.3, 1.0)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.words)
@pytest.mark.parametrize("path", ["devmem", "bounce", "kernel"])
def test_a_cache_changes_the_ledgers_count_and_the_closed_form_alike(
    tmp_path: Path, path: str, model: MemoryModel
) -> None:
    made = Made(paths=(path,), sizes=(16 * MIB,))
    found = host_memory(load(made.write(tmp_path / "r")).measured, model)
    sent = PACKETS - PACKETS // 2
    staged = 0 if path == "devmem" else 4 + model.rfo - model.ddio  # half of it is received
    headers = 66 * ((2 + model.rfo) * sent + (2 - 2 * model.ddio) * (PACKETS // 2)) / MOVED
    assert found.dram == pytest.approx(staged + headers, rel=1e-12)
    assert found.expected_dram == pytest.approx(staged + headers, rel=1e-12)
    assert found.header == pytest.approx(132 * PACKETS / MOVED, rel=1e-12), "as counted"
    if path == "kernel":
        assert found.derived_share == pytest.approx((staged + headers - 1) / (staged + headers))


def test_a_run_that_did_not_count_who_wrote_answers_for_no_cache_alone(tmp_path: Path) -> None:
    made = Made(paths=("bounce",), sizes=(16 * MIB,))
    unknown = ("nic_host_write_bytes", "cpu_host_write_bytes", "payload_staged_received_bytes")
    rows = [row | dict.fromkeys(unknown) for row in made.rows()]
    measured = load(made.write(tmp_path / "r", rows)).measured
    assert host_memory(measured).deviation_percent == pytest.approx(0, abs=1e-9)
    found = host_memory(measured, MemoryModel(rfo=True))
    assert (found.dram, found.expected_dram) == (None, None)

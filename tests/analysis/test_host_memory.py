"""The memory model's arithmetic, as exact numbers."""

from pathlib import Path

import pytest

from analysis.host_memory import expected_dram, expected_headers, host_memory
from analysis.load import load
from tests.analysis.synthetic import MIB, Made

MOVED = 2 * (2 * 3 * 16 * MIB // 4)  # sent and received by one of four ranks
PACKETS = MOVED // 65536


def test_bounce_moves_four_bytes_a_payload_byte_and_headers(tmp_path: Path) -> None:
    made = Made(paths=("bounce",), sizes=(16 * MIB,))
    found = host_memory(load(made.write(tmp_path / "r")).measured, "bounce")
    headers = 2 * 66 * PACKETS / MOVED
    assert found.dram == pytest.approx(4 + headers, rel=1e-12)
    assert found.dram_read == found.dram_write == pytest.approx(2 + headers / 2, rel=1e-12)
    assert found.header == pytest.approx(headers, rel=1e-12)
    assert found.derived_share == 0
    assert found.pcie_root == pytest.approx(2 + headers / 2, rel=1e-12)
    assert found.deviation_percent == pytest.approx(0, abs=1e-9)


def test_devmem_moves_headers_only(tmp_path: Path) -> None:
    made = Made(paths=("devmem",), sizes=(16 * MIB,))
    found = host_memory(load(made.write(tmp_path / "r")).measured, "devmem")
    assert found.dram == found.header == pytest.approx(132 / 65536, rel=1e-12)
    assert found.expected_dram == pytest.approx(132 / 65536, rel=1e-12)
    assert found.header_uncoalesced == pytest.approx(132 / 1448, rel=1e-4)
    assert found.header_per_wire_packet == 132


def test_kernel_is_as_bounce_but_all_save_the_applications_copy_is_derived(tmp_path: Path) -> None:
    made = Made(paths=("kernel",), sizes=(16 * MIB,))
    found = host_memory(load(made.write(tmp_path / "r")).measured, "kernel")
    headers = 2 * 66 * PACKETS / MOVED
    assert found.dram == found.expected_dram == pytest.approx(4 + headers, rel=1e-12)
    assert found.derived_share == pytest.approx((3 + headers) / (4 + headers), rel=1e-12)
    assert found.header_per_wire_packet == 132


def test_kernel_without_headers_is_four(tmp_path: Path) -> None:
    made = Made(paths=("kernel",), sizes=(16 * MIB,))
    rows = [row | {"header_host_dram_bytes": None} for row in made.rows()]
    assert host_memory(load(made.write(tmp_path / "r", rows)).measured, "kernel").expected_dram == 4.0


def test_deviation_from_the_closed_form_is_in_percent(tmp_path: Path) -> None:
    made = Made(paths=("kernel",), sizes=(16 * MIB,))
    rows = made.rows()
    for row in rows:
        read = row["host_dram_read_bytes"]
        assert isinstance(read, int)
        row["host_dram_read_bytes"] = read + (4 + 132 / 65536) / 20 * MOVED
    found = host_memory(load(made.write(tmp_path / "r", rows)).measured, "kernel")
    assert found.deviation_percent == pytest.approx(5.0)


def test_one_unrecorded_cell_leaves_the_ratio_unknown(tmp_path: Path) -> None:
    made = Made(paths=("bounce",), sizes=(16 * MIB,))
    rows = made.rows()
    rows[-1]["host_dram_read_bytes"] = None
    found = host_memory(load(made.write(tmp_path / "r", rows)).measured, "bounce")
    assert found.dram is None
    assert found.dram_write is not None
    assert found.deviation_percent is None


@pytest.mark.parametrize(
    ("path", "packets", "payload", "expected"),
    [
        ("devmem", 10, 660, 2.0),
        ("bounce", 10, 660, 6.0),
        ("kernel", None, None, 4.0),
        ("devmem", None, 660, None),
        ("bounce", 10, 0, None),
        ("another", 10, 660, None),
    ],
)
def test_closed_forms(
    path: str, packets: float | None, payload: float | None, expected: float | None
) -> None:
    assert expected_dram(path, packets, payload) == expected


def test_published_header_share_at_an_mss_of_8192() -> None:
    share = expected_headers(1, 8192)
    assert share is not None
    assert round(100 * share, 1) == 1.6

"""The quick reader of samples.csv reads what the careful one reads, and leaves to it whatever is odd."""

from pathlib import Path

import pandas as pd
import pytest

from analysis import columns
from analysis.columns import read_columns
from analysis.load import load
from analysis.samples import LATER_COLUMNS, _read_carefully, _read_quickly
from tests.analysis.synthetic import MIB, Made

PATH = Path("samples.csv")


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    """Of 1080 rows, with lines that end as a run's do."""
    made = Made(sizes=(MIB, 4 * MIB), repetitions=15, iterations=2)
    return (made.write(tmp_path / "r") / "samples.csv").read_bytes()


def test_both_readers_read_the_same(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_PIECE_BYTES", len(data) // 3)
    assert len(columns._pieces(data, 0)) == 3
    quick = _read_quickly(data, PATH)
    assert quick is not None
    pd.testing.assert_frame_equal(quick.rows, _read_carefully(data.replace(b"\r\n", b"\n"), PATH))


def test_both_readers_give_columns_that_came_later_the_same_values(data: bytes) -> None:
    text = data.decode().replace("\r\n", "\n")
    names = text.partition("\n")[0].split(",")
    kept = [at for at, name in enumerate(names) if name not in LATER_COLUMNS]
    earlier = "".join(",".join(line.split(",")[at] for at in kept) + "\n" for line in text.splitlines())
    quick = _read_quickly(earlier.encode(), PATH)
    assert quick is not None
    pd.testing.assert_frame_equal(quick.rows, _read_carefully(earlier.encode(), PATH))


@pytest.mark.parametrize("cut", [2, 3, 40, 150])
def test_a_last_line_cut_short_is_left_out_quickly(data: bytes, cut: int) -> None:
    quick = _read_quickly(data[:-cut], PATH)
    assert quick is not None
    lines = data.count(b"\n")
    assert len(quick.rows) == lines - 2
    assert quick.cut == f"samples.csv ends in the middle of line {lines}, which is left out"


@pytest.mark.parametrize(
    "row",
    [
        "a,1,2.0,3.0,4", "a,1,2.0", "a,1.5,2.0,3.0", "a,1,,3.0", "a,1,nan,3.0", "a,1,x,3.0", "a,True,2.0,3.0",
        "a,1,2.0,false", "a,,2.0,3.0", "a,99999999999999999999,2.0,3.0",
    ],
)  # fmt: skip
def test_a_row_that_no_run_writes_is_left_to_the_careful_reader(row: str) -> None:
    types = columns.Types(("path",), ("rank",), ("time_s",), ("rx",))
    whole = "path,rank,time_s,rx\na,1,2.0,\na,2,0.5,7\n"
    assert read_columns(whole.encode(), types) is not None
    assert read_columns(f"{whole}{row}\n".encode(), types) is None


def test_a_cell_too_many_and_one_too_few_are_no_row_each() -> None:
    types = columns.Types(("path",), ("rank",), ("time_s",), ("rx",))
    assert read_columns(b"path,rank,time_s,rx\na,1,2.0,3,4\na,1,2.0\n", types) is None
    assert read_columns(b"path,rank,time_s,rx\na,1,2.0\na,1,2.0,3,4\n", types) is None


def test_a_value_out_of_its_range_is_named_with_its_line(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,))
    rows = made.rows()
    rows[4]["pcie_root_bytes"] = 1e300
    with pytest.raises(Exception, match="line 6 has '1e\\+300' in column pcie_root_bytes"):
        load(made.write(tmp_path / "r", rows))

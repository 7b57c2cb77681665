"""The summaries of many runs as one table."""

import csv
from io import StringIO
from pathlib import Path

from analysis.sweep import CellRun, joined


def run(directory: Path, name: str, summary: str, **options: str) -> CellRun:
    (directory / name).mkdir()
    (directory / name / "summary.csv").write_text(summary)
    return CellRun(
        name, "m1", {key.replace("_", "-"): text for key, text in options.items()}, directory / name
    )


def test_rows_stand_behind_their_cell_and_what_differs(tmp_path: Path) -> None:
    one = run(tmp_path, "c1", 'path,verdict\ndevmem,"a, b"\nkernel,c\n', path="devmem,kernel", gso_max="64K")
    two = run(tmp_path, "c2", "path,busbw\nbounce,0.5\n", path="bounce", gso_max="")
    none = CellRun("c3", "m2", {}, tmp_path / "gone")
    text = joined([one, none, two])
    assert text.splitlines()[0] == "cell,machine,grid_path,grid_gso_max,path,verdict,busbw"
    assert [list(row.values()) for row in csv.DictReader(StringIO(text))] == [
        ["c1", "m1", "devmem,kernel", "64K", "devmem", "a, b", ""],
        ["c1", "m1", "devmem,kernel", "64K", "kernel", "c", ""],
        ["c2", "m1", "bounce", "", "bounce", "", "0.5"],
    ]


def test_no_results_are_an_empty_table() -> None:
    assert joined([]).strip() == ""

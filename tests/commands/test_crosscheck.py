"""The command crosscheck: its file of cells, halves that fail, what it prints and writes."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

import run
from commands import crosscheck
from commands.crosscheck import CELLS
from commands.crosscheck_file import load
from commands.usage import UsageError
from tests.docs.pages import block

GUIDE = block("docs/simulation.md", "python3 run.py crosscheck --list")
GOOD = """
cells:
  - name: small
    run: --topology pair --size 4K --path devmem --repeat 1 --iters 1 --warmup 0 --place out --link 1Gbit,1ms
"""


def said(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["run.py", "crosscheck", *words])
    return run.main()


def written(place: Path, text: str) -> Path:
    (place / "cells.yaml").write_text(text)
    return place / "cells.yaml"


def test_the_cells_of_the_default_file_can_be_run_with_both_clocks() -> None:
    cells = load(CELLS)
    assert len({cell.run for cell in cells}) == len(cells)
    for word in ("pair", "star", "dumbbell", "100Mbit", "1Gbit", "1ms", "10ms"):
        assert any(word in cell.run for cell in cells), word


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("cells:", "cell:", "1:|2:.*has no 'cell'; choose from cells"),
        ("name: small", "name: Small!", r"3: name 'Small!' is not up to 40"),
        ("--size", "--clock simulated --size", "cell small says --clock, and both clocks are run; leave"),
        ("--path devmem", "--path kernel", "cell small: --clock simulated .*--path kernel does not go with"),
        ("--repeat 1", "--repeat 0", "cell small: --clock machine .*repeat"),
        ("--size 4K", "--size '4K", "cell small: .*quotation"),
    ],
)
def test_a_wrong_cell_is_told_with_its_line(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=sentence):
        load(written(tmp_path, GOOD.replace(old, new, 1)))


def test_a_name_stands_for_one_cell(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cells\.yaml:5: cell small is here a second time"):
        load(written(tmp_path, GOOD + GOOD.removeprefix("\ncells:\n")))


@pytest.mark.parametrize("text", ["", "cells: []"])
def test_a_file_without_cells_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no cells"):
        load(written(tmp_path, text))


def test_the_list_names_every_cell_and_runs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = GUIDE.splitlines()
    assert second == "python3 run.py crosscheck", "its halves run in tests/system/test_crosscheck.py"
    assert said([*first.split()[3:], f"--results={tmp_path}"], monkeypatch) == 0
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [cell.name for cell in load(CELLS)]
    assert list(tmp_path.iterdir()) == []
    assert said(["--only=large", f"--results={tmp_path}"], monkeypatch) == 2
    assert "there is no cell 'large' in crosscheck.yaml; choose from pair" in capsys.readouterr().err


def test_both_halves_are_run_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two simulated halves; one that fails costs its own cell, and the status."""
    monkeypatch.setattr(crosscheck, "CLOCKS", ("simulated", "simulated"))
    monkeypatch.setattr(crosscheck, "check_privileges", lambda: None)
    failing = GOOD.removeprefix("\ncells:\n").replace("small", "failing").replace("4K", "4K --op nothing")
    monkeypatch.setattr("commands.crosscheck_file._problems", lambda *_: ())
    file = written(tmp_path, GOOD + failing)
    assert said([f"--cells={file}", f"--results={tmp_path / 'out'}"], monkeypatch) == 1
    printed = capsys.readouterr().out.splitlines()
    (place,) = (tmp_path / "out").iterdir()
    assert printed[1].split()[0] == "small"
    assert printed[1].endswith("+0.0     0       0       not comparable (simulated)")
    assert printed[2].startswith("# failing: with --clock simulated it failed: ")
    assert printed[3:] == [
        "# 0 agrees, 0 differs, 1 not comparable; 1 cells failed; tolerance 5 %",
        f"# Rows: {place / 'crosscheck.csv'}",
    ]
    with open(place / "crosscheck.csv", newline="") as rows:
        assert [row["cell"] for row in csv.DictReader(rows)] == ["small"]
    manifest = json.loads((place / "crosscheck.json").read_text())
    assert [bool(cell["reason"]) for cell in manifest["cells"]] == [False, True]
    assert manifest["command"].startswith("run.py crosscheck --cells=")
    assert (place / manifest["cells"][0]["runs"][0] / "report.html").is_file()
    assert said([f"--cells={file}", "--only=small", f"--results={tmp_path / 'again'}"], monkeypatch) == 0

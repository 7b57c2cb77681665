"""run.py compare: what it takes, what it refuses, and how it ends."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import run
from tests.analysis.synthetic import MIB, Made
from tests.analysis.test_comparison import MADE, noisy
from workloads.sweep.ledger import Entry, Ledger


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and a later one whose devmem is a fifth slower."""
    later = MADE.write(tmp_path / "b", noisy(MADE, 2, 1.25))
    return MADE.write(tmp_path / "a", noisy(MADE, 1)), later


def compare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["run.py", "compare", *map(str, words)])
    status = run.main()
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize(("threshold", "status"), [(None, 0), ("5%", 4), ("0.05", 4), ("30%", 0)])
def test_a_regression_beyond_the_threshold_is_a_status_of_its_own(
    pair: tuple[Path, Path], threshold: str | None, status: int,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [] if threshold is None else ["--threshold", threshold]
    found, out, err = compare(monkeypatch, capsys, *pair, *words)
    assert (found, out.count("slower\n")) == (status, 2)
    assert err == ("run.py: Of 4 rows, B is faster in 0 and slower in 2, 2 of them by more than 5 %.\n"
                   if status else "")  # fmt: skip


def test_the_better_way_round_is_no_regression(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(monkeypatch, capsys, *reversed(pair), "--threshold", "5%")[0] == 0


def test_json_has_the_rows_and_the_verdict(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = compare(monkeypatch, capsys, *pair, "--json", "--threshold", "5%")
    found = json.loads(out)
    assert (status, found["regressions"], found["threshold"], found["unlike"]) == (4, 2, 0.05, [])
    assert [row["outcome"] for row in found["rows"]] == ["slower", "alike", "slower", "alike"]


def test_markdown_is_for_a_pull_request(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = compare(monkeypatch, capsys, *pair, "--markdown")
    assert (status, out.startswith("**Of 4 rows")) == (0, True)


@pytest.mark.parametrize("change", [{"environment": {"cpu_model": "B"}}, {"config": {"mtu": 9000}}])
def test_unlike_runs_are_refused_by_what_differs_unless_forced(
    pair: tuple[Path, Path], change: dict[str, dict[str, object]],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = pair[1] / "manifest.json"
    manifest = json.loads(path.read_text())
    for part, values in change.items():
        manifest[part] |= values
    path.write_text(json.dumps(manifest))
    named = "mtu (1500 and 9000)" if "config" in change else "cpu_model (A CPU and B)"
    status, out, err = compare(monkeypatch, capsys, *pair)
    assert (status, out) == (2, "")
    assert f"are unlike in {named}; compare runs of one machine and one command line, or give --force" in err
    status, out, _ = compare(monkeypatch, capsys, *pair, "--force")
    assert status == 0
    assert f"# FORCED: A and B are unlike in {named}" in out


def test_a_gate_that_no_row_could_fail_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = Made(sizes=(MIB,), repetitions=3)
    a, b = few.write(tmp_path / "a"), few.write(tmp_path / "b")
    assert compare(monkeypatch, capsys, a, b)[0] == 0
    status, out, err = compare(monkeypatch, capsys, a, b, "--threshold", "5%")
    assert (status, out) == (2, "")
    assert "3 and 3 repetitions of 1048576 B on devmem in place tell no difference from chance" in err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["{a}", "{gone}"], 1, "manifest.json is missing"),
        (["{a}", "{b}", "--threshold", "5"], 2, "--threshold 5 is no share; write for example 5% or 0.05"),
        (["{a}", "{b}", "--json", "--markdown"], 2, "leave one out"),
        (["{a}"], 2, "B"),
    ],
)
def test_a_bad_command_line_is_one_sentence(
    pair: tuple[Path, Path], words: list[str], status: int, sentence: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = [word.format(a=pair[0], b=pair[1], gone=pair[0].parent / "gone") for word in words]
    found, out, err = compare(monkeypatch, capsys, *given)
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert sentence in err


def sweep(directory: Path, cells: dict[str, tuple[Path, str]]) -> Path:
    """A sweep's directory of runs that were made already: options and directory by cell."""
    with Ledger(directory) as ledger:
        for cell, (made, words) in cells.items():
            shutil.copytree(made, ledger.cells / f"{cell}-1")
            ledger.append(
                Entry(
                    cell=cell, options=("--topology=pair", words), status="complete", run=f"{cell}-1",
                    seconds=1.0, machine="m", finished_at="2026-01-01T00:00:00Z",
                )
            )  # fmt: skip
    return directory


def test_two_sweeps_are_compared_cell_by_cell(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    a, b = pair
    ours = sweep(tmp_path / "one", {"c1": (a, "--mtu=1500"), "c2": (a, "--mtu=9000"), "c3": (a, "--mtu=100")})
    theirs = sweep(tmp_path / "two", {"c2": (b, "--mtu=9000"), "c1": (a, "--mtu=1500")})
    status, out, _ = compare(monkeypatch, capsys, ours, theirs, "--threshold", "5%")
    rows = [line.split() for line in out.splitlines() if not line.startswith("#")]
    assert (status, rows[0][0], len(rows)) == (4, "cell", 9)
    assert [row[0] for row in rows[1:] if row[-1] == "slower"] == ["--mtu=9000", "--mtu=9000"]
    assert "# left out: cell --topology=pair --mtu=100 is complete in the first alone" in out
    status, _, err = compare(monkeypatch, capsys, ours, a)
    assert (status, f"{ours} is a sweep and {a} is none" in err) == (2, True)


def test_sweeps_without_a_cell_in_common_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    ours = sweep(tmp_path / "one", {"c1": (pair[0], "--mtu=1500")})
    theirs = sweep(tmp_path / "two", {"c2": (pair[0], "--mtu=9000")})
    status, _, err = compare(monkeypatch, capsys, ours, theirs)
    assert (status, "have no complete cell with the same options in common" in err) == (1, True)

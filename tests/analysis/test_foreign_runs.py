"""`-m analysis` on a directory that an enemy made: every run is drawn, or refused by one sentence."""

import copy
import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

from analysis.analyse import analyse
from analysis.load import load
from analysis.results_error import ResultsError
from tests.analysis.synthetic import MIB, Cell, Made, write_ledger, write_links

pytestmark = pytest.mark.timeout(600)  # figures take long on a busy machine

SMALL = Made(sizes=(MIB,), paths=("devmem", "bounce"), nranks=2, repetitions=2, iterations=1)
WORDS = [
    "=1+1", "$\\frac{", "$x$", "\\$", "_x", "<script>", "{{1}}", "%s", "../..", "\x00", "\x1b[31m", "\u202e",
    "\ud7ff", "9" * 5000, "1e999", "-1e999", "NaN", "-0", "1e-320", "", " ", "1", "\"", "'", "é", "True",
]  # fmt: skip
VALUES: list[Any] = [
    *WORDS, None, True, 0, -1, 1 << 62, 10**30, 1e308, 5e-324, -1e308, [], {}, [[]], {"a": {"b": 1}},
    [1] * 1000, "x" * 10_000,
]  # fmt: skip


def _places(document: Any) -> list[tuple[Any, Any]]:
    found = []
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found.append((document, key))
        if isinstance(value, dict | list):
            found += _places(value)
    return found


def _changed_manifest(path: Path, chance: random.Random) -> None:
    document = json.loads(path.read_text())
    for _ in range(chance.randint(1, 3)):
        inside, key = chance.choice(_places(document))
        inside[key] = copy.deepcopy(chance.choice(VALUES))  # which the next one may change
    path.write_bytes(msgspec.json.encode(document))


def _changed_cells(path: Path, chance: random.Random) -> None:
    lines = [line.split(",") for line in path.read_text().splitlines()]
    for _ in range(chance.randint(1, 4)):
        line = chance.choice(lines)
        line[chance.randrange(len(line))] = chance.choice(WORDS)
    path.write_text("\n".join(map(",".join, lines)) + "\n")


def _changed_column(path: Path, chance: random.Random) -> None:
    """The same everywhere, so that sums and ratios meet it."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    column = chance.randrange(len(lines[0]))
    value = chance.choice([*WORDS, "0", "9007199254740992", "1e-9", "0.1", "1e9"])
    for line in lines[1:]:
        line[column] = value
    path.write_text("\n".join(map(",".join, lines)) + "\n")


def _changed_bytes(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])


def test_any_change_is_drawn_or_refused_by_one_sentence(tmp_path: Path) -> None:
    seed = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"FUZZ_SEED={seed}")
    chance = random.Random(seed)
    changes: list[tuple[str, Callable[[Path, random.Random], None]]] = [
        ("manifest.json", _changed_manifest), ("manifest.json", _changed_bytes),
        ("samples.csv", _changed_cells), ("samples.csv", _changed_column), ("samples.csv", _changed_bytes),
        ("link_usage.csv", _changed_cells), ("link_usage.csv", _changed_column),
        ("ledger.csv", _changed_cells), ("ledger.csv", _changed_column),
        ("drawing.json", _changed_manifest), ("drawing.json", _changed_bytes),
    ]  # fmt: skip
    refusals = []
    for number in range(int(os.environ.get("FUZZ_RUNS", "24"))):
        directory = SMALL.write(tmp_path / str(number))
        write_links(directory)
        write_ledger(directory)
        name, change = chance.choice(changes)
        change(directory / name, chance)
        try:
            analysis = analyse(directory)
        except ResultsError as refusal:
            refusals.append((str(directory), str(refusal)))
            continue
        assert "was not drawn" not in analysis.table_text, f"run {number}"
        assert analysis.table_text.replace("\n", "").isprintable(), f"run {number}"
        assert "<script" not in analysis.report_path.read_text(), f"run {number}"
    for place, sentence in refusals:
        assert place in sentence
        assert sentence.isprintable(), repr(sentence)


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ({"files": {"/etc/shadow": "0"}}, "names a file '/etc/shadow', which is not inside the directory"),
        ({"files": {"../r/samples.csv": "0"}}, "which is not inside the directory"),
        ({"environment": json.loads("[" * 30 + "]" * 30)}, "is nested more than 16 deep"),
        ({"notes": [{"path": "a b", "mark": "", "text": ""}]}, "has a path 'a b', which is not a word"),
        ({"measure": {"bandwidth_factor": 1e300}}, "breaks its schema"),
    ],
)
def test_a_manifest_that_no_run_writes_is_refused(
    tmp_path: Path, manifest: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ResultsError, match=sentence):
        load(Made(manifest=manifest).write(tmp_path / "r"))


def test_nesting_beyond_the_parsers_depth_is_refused(run_dir: Path) -> None:
    (run_dir / "manifest.json").write_text('{"a":' * 100_000)
    with pytest.raises(ResultsError, match="is not JSON"):
        load(run_dir)


def test_bytes_that_are_not_utf_8_are_refused(run_dir: Path) -> None:
    samples = run_dir / "samples.csv"
    samples.write_bytes(samples.read_bytes().replace(b"devmem", b"dev\xff\xfe", 1))
    with pytest.raises(ResultsError, match="is not a table"):
        load(run_dir)


def test_mathematics_in_a_name_is_drawn_as_it_is_written(tmp_path: Path) -> None:
    name = "$\\frac{x$"
    note = {"path": name, "mark": name, "text": "x"}
    made = Made(sizes=(MIB,), paths=("devmem",), manifest={"notes": [note]})
    words: dict[str, Cell] = {"path": name, "workload": name}
    analysis = analyse(made.write(tmp_path / "r", [row | words for row in made.rows()]))
    assert len(analysis.figure_paths) == 4


def test_a_terminal_gets_no_control_characters(tmp_path: Path) -> None:
    error = "line\nline \x1b[2J\u202e"
    text = analyse(Made(manifest={"status": "failed", "error": error}).write(tmp_path / "r")).table_text
    assert "# THIS RUN IS FAILED: line line \\x1b[2J\\u202e\n" in text


def test_files_that_are_devices_are_told_and_not_opened(tmp_path: Path) -> None:
    files = dict.fromkeys(("h1.log", "h2.log"), "0")
    directory = Made(manifest={"files": files}).write(tmp_path / "r")
    os.mkfifo(directory / "h1.log")
    (directory / "h2.log").symlink_to("/dev/zero")

    def hangs(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(60)
    try:
        page = analyse(directory).report_path.read_text()
    finally:
        signal.alarm(0)
    assert page.count("not read: no regular file, or too large") == 2


def test_results_that_are_links_are_replaced_and_figures_are_left_out(run_dir: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    for name in ("summary.csv", "report.html", "report.md"):
        (precious / name).write_text("as it was")
        (run_dir / name).symlink_to(precious / name)
    (run_dir / "figures").symlink_to(precious)
    analysis = analyse(run_dir)
    assert analysis.figure_paths == ()
    assert analysis.table_text.count("figures is a link, where a directory belongs") == 5
    assert {path.read_text() for path in precious.iterdir()} == {"as it was"}
    assert analysis.report_path.read_text().startswith("<!DOCTYPE html>")


def test_rows_that_would_fill_memory_or_hours_are_refused(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem",), nranks=2, repetitions=1, iterations=1)
    ranks = [row for row in made.rows() if row["iteration"] == 1]
    many_sizes = [row | {"size_bytes": 8 * number} for number in range(1, 10_002) for row in ranks]
    places = [(number, 1) for number in range(1, 800)] + [(0, number) for number in range(1, 800)]
    uneven = [row | {"repetition": each, "iteration": at} for each, at in places for row in ranks]
    for number, rows in enumerate((many_sizes, uneven)):
        with pytest.raises(ResultsError, match="has more than 10000 paths and sizes, or more than 500000"):
            load(made.write(tmp_path / str(number), rows))

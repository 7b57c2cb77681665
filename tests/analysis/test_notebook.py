"""What a notebook says: runs that are loaded, started and repeated, and their reports."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis import notebook
from analysis.frames import Frames, frames, options
from analysis.notebook import ExperimentFailed, experiment, load, repeat, report
from analysis.results_error import ResultsError
from tests.analysis.synthetic import FAULTS, MIB, Made, write_links

PROJECT = Path(__file__).parents[2]
MADE = Made(sizes=(MIB,), manifest={"argv": ["run.py", "--size", "1M", "--run-id", "r", "--results=x"]})
# Stands for run.py: it draws its progress as rich does, prints as run.py does, and says how it was called.
RUN = """
import json, os, sys, time
words = sys.argv[1:]
for done in range(3):
    sys.stderr.write(f"\\r\\x1b[2Kall_reduce {done}/2")
    sys.stderr.flush()
    time.sleep(0.6)
sys.stderr.write("\\n")
if not sys.stderr.isatty() or "--json" not in words:
    sys.exit("run.py: no terminal, or no --json")
open(os.path.join(os.path.dirname(__file__), "words"), "w").write(" ".join(words))
if "fail" in words:
    print("half a table")
    sys.stderr.write("a warning\\nrun.py: h2 has died; start a new run\\n")
    sys.exit(2)
if "die" in words:
    os.abort()
if "wait" in words:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        open(os.path.join(os.path.dirname(__file__), "in order"), "w").close()
        sys.exit(130)
print(json.dumps({"report": os.path.join(os.path.dirname(__file__), "r", "report.html"), "rows": []}))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose run.py is the one above, which measures `r`."""
    MADE.write(tmp_path / "r")
    (tmp_path / "run.py").write_text(RUN)
    monkeypatch.setattr(notebook, "ROOT", tmp_path)
    return tmp_path


def words(place: Path) -> list[str]:
    return (place / "words").read_text().split()


def test_an_experiment_returns_its_run_and_shows_how_far_it_is(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = experiment("--size 1M --path 'devmem,bounce'")
    assert words(place) == ["--size", "1M", "--path", "devmem,bounce", "--json"]
    assert run.name == "r"
    assert len(run.summary) == 3
    shown = capsys.readouterr().out
    assert "\rall_reduce 0/2" in shown
    assert shown.endswith("all_reduce 2/2\n")
    experiment("--size", "2M", "--json", "--run-id", "mine")
    assert words(place) == ["--size", "2M", "--json"]


def test_a_run_is_repeated_by_its_own_command_line(place: Path) -> None:
    run = repeat(frames(place / "r"))
    assert words(place) == ["--size", "1M", "--json"]
    assert run.command == "python3 run.py --size 1M"


@pytest.mark.usefixtures("place")
def test_a_run_that_fails_raises_the_sentence_that_it_printed() -> None:
    with pytest.raises(ExperimentFailed, match=r"^h2 has died; start a new run$") as failed:
        experiment("fail")
    assert failed.value.status == 2
    with pytest.raises(ExperimentFailed, match=r"^run\.py ended with status -6, saying all_reduce 2/2"):
        experiment("die")


INTERRUPTED = """
import os, sys
from pathlib import Path
from analysis import notebook
notebook.ROOT = Path(sys.argv[1])
before = len(os.listdir("/proc/self/fd"))
try:
    notebook.experiment("wait")
except KeyboardInterrupt:
    print("interrupted,", len(os.listdir("/proc/self/fd")) - before, "files left open")
"""


def test_an_interrupt_ends_the_run_in_order(place: Path) -> None:
    """In a process of its own: what interrupts a test's main thread a moment too late ends all tests."""
    argv = [sys.executable, "-c", INTERRUPTED, str(place)]
    with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as kernel:
        while not (place / "words").exists() and kernel.poll() is None:
            time.sleep(0.02)
        time.sleep(0.3)
        kernel.send_signal(signal.SIGINT)
        out, _ = kernel.communicate(timeout=60)
    assert out.endswith("interrupted, 0 files left open\n")
    assert (place / "in order").exists()


def test_a_run_is_loaded_by_its_directory_or_its_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "RESULTS", place)
    assert load(place / "r").name == load("r").name == "r"
    with pytest.raises(ResultsError, match=r"there is none|is missing|none"):
        load("no such run")


def test_a_report_is_shown_and_nothing_is_written(place: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    run = frames(place / "r")
    shown = report(run, height=321)._repr_html_()
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert shown.startswith('<iframe title="Report of run r"')
    assert "height: 321px" in shown
    assert "allow-scripts" not in shown
    assert "&lt;h1&gt;all_reduce on star" in shown
    assert "figures/host_dram.png" in shown


def test_words_that_say_where_results_go_are_left_out() -> None:
    line = "/some/run.py --run-id a --size 1M --results b --json --run-id=c --path devmem --results"
    given = shlex.split(line)
    assert options(given) == ["--size", "1M", "--path", "devmem"]
    assert options([]) == []


FRAMES = ("samples", "measured", "summary", "usage", "links", "link_usage", "nics", "tcp_info", "operations",
          "faults")  # fmt: skip


def test_every_frame_has_its_columns_also_without_its_file(place: Path) -> None:
    run = frames(place / "r")
    for name in FRAMES:
        assert "path" in getattr(run, name).columns or name == "faults"
        assert getattr(Frames, name).__doc__
    assert len(run.samples) > len(run.measured) > 0
    assert len(run.nics) == 12
    assert all(getattr(run, name).empty for name in ("usage", "links", "tcp_info", "operations", "faults"))
    assert run._repr_html_().startswith("<pre")
    assert repr(run).startswith("# all_reduce on star, 4 hosts")


def test_frames_have_what_the_files_have(tmp_path: Path) -> None:
    path = Made(sizes=(MIB,), manifest={"faults": FAULTS}).write(tmp_path / "r")
    write_links(path)
    (path / "operations.csv").write_text(
        "path,size_bytes,repetition,iteration,rank,node,name,kind,bytes,begin_s,end_s\n"
        'devmem,8,0,1,0,3,"any, name",compute,0,0.5,0.75\n'
    )
    run = frames(path)
    assert list(run.links["sender"]) == ["h1-eth0", "h2-eth0"] * 2
    assert run.links["share"].notna().all()
    assert list(run.link_usage["sent_bytes"]) == [MIB] * 4
    assert list(run.faults["action"]) == ["down", "up"]
    (operation,) = run.operations.to_dict("records")
    assert (operation["kind"], operation["end_s"]) == ("compute", 0.75)


def test_the_table_is_no_output_of_its_own_in_a_notebook(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """rich takes a process with IPython's shell for a place to display in."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    table = frames(place / "r").table
    assert capsys.readouterr().out == ""
    assert table.count("devmem") > 1



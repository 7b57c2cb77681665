"""What a run comes to: which path is faster, and what report.md says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.headline import answer, headline, numbers, story
from analysis.load import Run, load
from analysis.plots import Figures
from analysis.report import write_report
from analysis.report_markdown import plain, table
from analysis.summary import SummaryRow, summarise
from tests.analysis.synthetic import MIB, Made

PATHS = (("devmem", "bounce", "kernel"), ("devmem", "bounce"))


def made(directory: Path, **more: object) -> tuple[Run, tuple[SummaryRow, ...]]:
    run = load(Made(**{"sizes": (MIB,)} | more).write(directory / "r"))  # type: ignore[arg-type]
    return run, summarise(run)


@pytest.mark.parametrize(
    ("devmem", "jitter", "said"),
    [
        (1.25, 0.0, "devmem is faster than bounce at 1 MiB: 1.25 times (1.25 to 1.25)."),
        (0.8, 0.0, "bounce is faster than devmem at 1 MiB: 1.25 times (1.25 to 1.25)."),
        (1.0, 0.0, "devmem and bounce are not told apart at 1 MiB: 1.00 to 1.00 times as fast."),
    ],
)
def test_the_answer_is_which_path_is_faster(
    devmem: float, jitter: float, said: str, tmp_path: Path
) -> None:
    speeds = {"devmem": devmem, "bounce": 1.0, "kernel": 2.0}
    assert answer(*made(tmp_path, gigabyte_per_s=speeds, jitter=jitter)) == said


def test_one_size_does_not_speak_for_the_others(tmp_path: Path) -> None:
    run, (small, *others) = made(tmp_path / "two", sizes=(MIB, 4 * MIB), paths=("devmem", "bounce"))
    assert (small.path, small.size_bytes) == ("devmem", MIB)
    slower = replace(small, busbw_ratio_to_bounce=0.93)
    assert answer(run, [slower, *others]).startswith("devmem is faster than bounce at 4 MiB: ")
    assert "At the other sizes the ratio is 0.93." in headline(run, [slower, *others])
    assert "other sizes" not in " ".join(headline(*made(tmp_path / "one")))


@pytest.mark.parametrize(
    ("verdict", "said"), [("cpu-limited", "another ratio"), ("simulated", "Seconds are"), ("faithful", "")]
)
def test_the_headline_says_whether_its_ratio_is_the_networks(verdict: str, said: str, tmp_path: Path) -> None:
    run, summary = made(tmp_path)
    text = " ".join(headline(run, [replace(row, verdict=verdict) for row in summary]))
    assert said in text
    assert ("verdict" in text, "Seconds are" in text) == (verdict == "cpu-limited", verdict == "simulated")


def test_a_path_that_did_not_run_has_no_column_of_ratios(tmp_path: Path) -> None:
    heads = [table(*made(tmp_path / str(n), paths=paths))[0] for n, paths in enumerate(PATHS)]
    assert [("to bounce" in head, "to kernel" in head) for head in heads] == [(True, True), (True, False)]


def test_a_single_value_and_a_single_path_are_no_answer(tmp_path: Path) -> None:
    assert answer(*made(tmp_path / "one", repetitions=1, iterations=1)).endswith("by a single value each.")
    assert answer(*made(tmp_path / "alone", paths=("devmem", "kernel"))) == ""


def test_the_numbers_are_the_verdict_and_each_paths(tmp_path: Path) -> None:
    found = [(each.name, each.value, each.detail) for each in numbers(*made(tmp_path))]
    assert found == [
        ("Verdict", "unknown", "3 of 3 rows"),
        ("devmem", "1.875 GB/s", "0.0020 B of host DRAM per payload byte (modelled)"),
        ("bounce", "1.500 GB/s", "4.0020 B of host DRAM per payload byte (modelled)"),
        ("kernel", "3.000 GB/s", "4.0020 B of host DRAM per payload byte (modelled)"),
    ]


def test_the_story_names_what_changes_the_network_and_the_clock(tmp_path: Path) -> None:
    config = {"link": "200Mbit,1ms", "impair": None, "traffic": ["a", "b"], "clock": "simulated"}
    config["machine"] = "a3-high"
    said = story(*made(tmp_path, sizes=(MIB, 4 * MIB), config=config))
    assert said.startswith(
        "Workload all_reduce of 1 MiB to 4 MiB ran on topology star with 4 hosts and 4 ranks, over devmem, "
        "bounce and kernel. Each path and size has 3 repetitions with 6 timed iterations in all"
    )
    assert "Asked for: links of 200Mbit,1ms, background traffic a, b, MTU 1500. The clock is sim" in said
    assert "The clock is simulated, the machine model is a3-high." in said
    assert said.endswith("Simulated on A CPU, Linux 6.18.0, 2 CPUs.")


def test_report_md_has_the_answer_then_the_table_then_how_to_repeat_it(tmp_path: Path) -> None:
    run, summary = made(tmp_path)
    write_report(run, summary, Figures())
    text = (tmp_path / "r/report.md").read_text()
    order = ["**devmem is faster than bounce", "Verdict: **unknown**", "| size (B) | path |", "python3 run"]
    assert [text.index(each) for each in order] == sorted(text.index(each) for each in order)
    rows = table(run, summary)
    assert rows[2].startswith(f"| {MIB} | **devmem** | 838.9 | 1.875 | ")
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert "4.0020\\*" in text


def test_nothing_in_report_md_is_markup_of_the_runs(tmp_path: Path) -> None:
    assert plain("a|b <img> *c* `d` [e](f)") == "a\\|b \\<img\\> \\*c\\* \\`d\\` \\[e\\](f)"
    manifest = {"status": "failed", "error": "<b>|`x`"}
    run, summary = made(tmp_path, manifest=manifest)
    write_report(run, summary, Figures())
    assert "**This run is failed:** \\<b\\>\\|\\`x\\`\n" in (tmp_path / "r/report.md").read_text()

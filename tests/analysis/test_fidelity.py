"""The verdict on a number: each word has a case, and what is uncertain speaks against the number."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from analysis import fidelity, samples
from analysis.analyse import analyse
from analysis.fidelity import (
    CPU_LIMITED,
    FAITHFUL,
    MIXED,
    SIMULATED,
    STOLEN,
    UNCALIBRATED,
    UNKNOWN,
    VERDICTS,
    Conditions,
    Verdict,
    of_trial,
    worst,
)
from analysis.load import load
from analysis.manifest import LinkRecord
from analysis.results_error import ResultsError
from analysis.summary import summarise
from analysis.table import table_text
from analysis.usage import Usage
from tests.analysis.synthetic import MIB, Made
from tests.docs import pages
from topologies import calibration
from workloads.experiment import usage as written

RATE_BPS, SECONDS = 100_000_000, 10.0
FULL = RATE_BPS * SECONDS / 8  # bytes


def row(kind: str, name: str, **figures: float) -> Usage:
    fields: dict[str, object] = dict.fromkeys(Usage.__struct_fields__)
    identity = {"path": "devmem", "size_bytes": MIB, "repetition": 0, "kind": kind, "name": name}
    timed = {"timed_s": SECONDS, "iterations": 1, "readings": 50, "observed_s": SECONDS}
    return msgspec.convert(fields | identity | timed | figures, Usage, strict=False)


def process(busy: float, wait: float = 0.0, name: str = "h1:endpoint") -> Usage:
    return row("process", name, busy_s=busy * SECONDS, wait_s=wait * SECONDS)


def core(busy: float, steal: float = 0.0, name: str = "cpu0") -> Usage:
    return row("core", name, busy_s=busy * SECONDS, steal_s=steal * SECONDS)


def link(used: float, name: str = "h1-eth0", burst: int = 0) -> Usage:
    """Frames of a wire packet each, so that no header is missing."""
    sent = round(used * FULL)
    return row(
        "link", name, bytes=sent, packets=sent // 1514 + 1, rate_bps=RATE_BPS, burst_bytes=burst, mtu=1500
    )


QUIET = (process(0.02), core(0.3), core(0.2, name="cpu1"))
UNSHAPED = [process(0.01), core(0.01)]
OFF = Conditions(uncalibrated="h1-eth0 to h2-eth0 was not as asked before the run")
CASES = {
    "a link that is used, whatever the CPU does": ([link(0.95), process(0.5, 0.4), core(1.0)], FAITHFUL),
    "a link that waits, and a CPU that has nothing to do with it": ([link(0.2), *QUIET], FAITHFUL),
    "a part of both": ([link(0.6), process(0.3), core(0.5)], MIXED),
    "a process that fills a core": ([link(0.6), process(0.95), core(0.5)], CPU_LIMITED),
    "a process that waits for a core": ([link(0.6), process(0.05, 0.9), core(0.5)], CPU_LIMITED),
    "a core that is full": ([link(0.6), process(0.05), core(0.95)], CPU_LIMITED),
    "no link with a rate, though the CPU idles": (UNSHAPED, CPU_LIMITED),
    "nothing recorded": ([], UNKNOWN),
    "a link, and nothing recorded of the CPU": ([link(0.5)], UNKNOWN),
    "no time": ([msgspec.structs.replace(each, timed_s=0.0) for each in (link(1.0), *QUIET)], UNKNOWN),
    "stolen time, though the link is used": ([link(0.95), core(0.1, 0.05), process(0.1)], STOLEN),
}


@pytest.mark.parametrize("case", CASES)
def test_each_verdict_has_its_case(case: str) -> None:
    used, word = CASES[case]
    assert of_trial(used).word == word


@pytest.mark.parametrize(
    ("used", "word"),
    [([link(0.99), process(0.5), core(0.7)], MIXED), ([link(0.99), *QUIET], FAITHFUL),
     ([link(0.99), process(0.95, name="h1:traffic"), core(0.5)], CPU_LIMITED)],
)  # fmt: skip
def test_a_link_that_background_traffic_may_have_used_proves_nothing(used: list[Usage], word: str) -> None:
    verdict = of_trial(used, Conditions(background=True))
    assert verdict.word == word
    assert verdict.reason.startswith("links carried background traffic, too, ")
    assert of_trial(used).word == FAITHFUL


def test_every_verdict_is_given_in_some_case() -> None:
    found = {word for _, word in CASES.values()} | {of_trial([link(0.95), *QUIET], OFF).word}
    simulated = of_trial([], Conditions(OFF.uncalibrated, steal=0.5, simulated=True)).word
    assert found | {simulated} == {*VERDICTS}


def test_stolen_time_that_ranks_counted_goes_before_a_link_that_is_off() -> None:
    both = replace(OFF, steal=0.021)
    assert of_trial([link(0.95), *QUIET], replace(both, steal=0.019)).word == UNCALIBRATED
    assert of_trial([link(0.95), *QUIET], both) == Verdict(
        STOLEN, "2.1 % of the CPU time was stolen by other machines"
    )


def test_the_reason_names_the_link_and_who_took_the_cpu() -> None:
    links = [link(0.1, "h2-eth0"), link(0.6)]
    used = [*links, process(0.2), process(0.25, 0.05, "h2:rank"), core(0.5)]
    assert of_trial(used).reason == "h1-eth0 was used 60 %, h2:rank ran or waited for a CPU 30 % of the time"
    assert of_trial([*links, *QUIET, core(0.9, name="cpu7")]).reason.endswith(
        "and cpu7 was busy all the time"
    )


def test_what_a_token_bucket_lets_pass_at_once_is_no_use_of_the_link() -> None:
    """A message that fits the burst takes no time on the link: all of its time is the CPU's."""
    burst = round(FULL)
    assert of_trial([link(1.0, burst=burst), process(0.95), core(0.5)]).word == CPU_LIMITED
    assert of_trial([link(5.0, burst=burst), process(0.95), core(0.5)]).word == FAITHFUL
    often = msgspec.structs.replace(link(5.0, burst=burst), iterations=5)
    assert of_trial([often, process(0.95), core(0.5)]).word == CPU_LIMITED


def test_the_headers_that_a_super_packet_hides_are_counted_at_least() -> None:
    """45 wire packets of 1514 bytes in a super-packet of 65226: a full link has 96 % of its rate in bytes."""
    packets = round(FULL) // (45 * 1514)
    full = row(
        "link", "a", bytes=packets * 65226, packets=packets, rate_bps=RATE_BPS, burst_bytes=0, mtu=1500
    )
    assert fidelity.link_use(full) == pytest.approx(1, abs=1e-3)
    assert full.bytes is not None
    assert full.bytes / FULL < 0.96


def test_a_trial_too_short_for_readings_is_not_called_faithful() -> None:
    short = [msgspec.structs.replace(each, readings=1) for each in (link(0.2), *QUIET)]
    assert of_trial(short).word == UNKNOWN
    assert of_trial([msgspec.structs.replace(link(0.95), readings=0), *QUIET]).word == FAITHFUL


def test_the_worst_of_several_counts_and_none_is_unknown() -> None:
    found = [Verdict(word, word) for word in VERDICTS]
    assert worst(found) == Verdict(STOLEN, STOLEN)
    assert worst(found[:3]).word == MIXED
    assert worst([]).word == UNKNOWN


@pytest.mark.parametrize(
    "figures",
    [
        (100, 95.1, 0.0, 0.0), (100, 94.9, 0.0, 0.0), (100, 105.1, 0.0, 0.0), (0, 0.0, 0.0, 0.00019),
        (0, 0.0, 0.0, 0.00021), (0, 0.0, 0.1, 0.1049), (0, 0.0, 0.1, 0.1051), (100, 0.0, 0.0, None),
        (0, 0.0, 0.0, 0.0011, 0.001), (0, 0.0, 0.0, 0.0013, 0.001),
        (0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.135, 0.0095), (0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.145, 0.0095),
        (0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0095), (0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.21, 0.03),
    ],
)  # fmt: skip
def test_a_link_is_off_for_analysis_when_it_is_for_the_fabric(figures: tuple[float, ...]) -> None:
    link = calibration.LinkCalibration("a", "b", *figures)  # type: ignore[arg-type]
    assert LinkRecord(*msgspec.structs.astuple(link)).is_off != link.is_faithful


def test_earlier_versions_knew_the_binomial_deviation_alone() -> None:
    found = [LinkRecord("a", "b", 0, 0.0, 0.0, 0.0, 0.0, 0.1, loss).is_off for loss in (0.138, 0.14)]
    assert found == [False, True]


def test_the_page_explains_every_verdict_in_order() -> None:
    found = pages.table("docs/fidelity.md", "The verdicts")
    assert [pages.named(cells[0])[0] for cells in found] == list(VERDICTS)


# usage.csv


def test_the_columns_that_are_read_are_those_that_are_written() -> None:
    assert Usage.__struct_fields__ == written.Usage.__struct_fields__
    rows = pages.table("docs/reference/columns.md", "usage.csv")
    documented = [pages.named(cells[0])[0] for cells in rows]
    assert documented == list(Usage.__struct_fields__)


def write(directory: Path, made: Made, *trials: Usage) -> Path:
    """A run with these rows for every path, size and repetition."""
    made.write(directory)
    with (directory / "usage.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Usage.__struct_fields__)
        for path in made.paths:
            for size in made.sizes:
                for repetition in range(made.repetitions):
                    identity = {"path": path, "size_bytes": size, "repetition": repetition}
                    rows = [msgspec.structs.replace(each, **identity) for each in trials]
                    writer.writerows(msgspec.structs.astuple(each) for each in rows)
    return directory


def test_a_run_without_the_file_is_read_and_unknown(tmp_path: Path) -> None:
    run = load(Made().write(tmp_path / "r"))
    assert {found.verdict for found in summarise(run)} == {UNKNOWN}
    assert run.damage == ()


def test_a_row_has_the_verdict_of_its_own_trials_the_worst_of_them(tmp_path: Path) -> None:
    run = load(write(tmp_path / "r", Made(), link(0.95), *QUIET))
    assert {found.verdict for found in summarise(run)} == {FAITHFUL}
    rows = [
        msgspec.structs.replace(each, bytes=0) if each.kind == "link" else each
        for each in run.usage
    ]  # fmt: skip
    slow = [
        each if (each.path, each.size_bytes, each.repetition) != ("bounce", MIB, 2) else
        msgspec.structs.replace(each, busy_s=5.0) if each.kind == "process" else each
        for each in rows
    ]  # fmt: skip
    words = {(f.path, f.size_bytes): f.verdict for f in summarise(replace(run, usage=tuple(slow)))}
    assert words.pop(("bounce", MIB)) == MIXED
    assert {*words.values()} == {FAITHFUL}


def test_a_repetition_without_rows_makes_the_row_unknown(tmp_path: Path) -> None:
    run = load(write(tmp_path / "r", Made(), link(0.95), *QUIET))
    kept = tuple(each for each in run.usage if each.repetition != 1)
    assert {found.verdict for found in summarise(replace(run, usage=kept))} == {UNKNOWN}


def test_a_stream_finds_its_trials_by_repetition(tmp_path: Path) -> None:
    """Whose size is a result, while usage.csv has the message's."""
    made = Made(workload="stream", sizes=(10**9,))
    run = load(write(tmp_path / "r", made, link(0.95), *QUIET))
    messages = tuple(msgspec.structs.replace(each, size_bytes=MIB) for each in run.usage)
    assert {found.verdict for found in summarise(replace(run, usage=messages))} == {FAITHFUL}


def test_a_link_that_is_off_marks_every_row(tmp_path: Path) -> None:
    off = {"sender": "a", "receiver": "b", "asked_bps": 100, "achieved_bps": 50.0, "asked_delay_s": 0.0,
           "achieved_delay_s": 0.0,
           "asked_jitter_s": 0.0, "asked_loss": 0.0, "achieved_loss": None}  # fmt: skip
    run = load(write(tmp_path / "r", Made(manifest={"links": [off]}), link(0.95), *QUIET))
    assert {found.verdict for found in summarise(run)} == {UNCALIBRATED}


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [
        ("kind", "disk", "line 2 breaks its schema"),
        ("busy_s", "-1", "line 2 breaks its schema"),
        ("timed_s", "nan", "line 2 breaks its schema"),
        ("timed_s", "", "line 2 breaks its schema"),
        ("name", "two words", "'two words', which is not a word"),
        ("name", "\x1b[31m", "which is not a word"),
    ],
)
def test_a_value_that_no_run_writes_is_refused_by_a_sentence(
    tmp_path: Path, name: str, cell: str, said: str
) -> None:
    path = write(tmp_path / "r", Made(), process(0.5)) / "usage.csv"
    header, first, *_ = path.read_text().splitlines()
    cells = dict(zip(header.split(","), first.split(","), strict=True)) | {name: cell}
    path.write_text(f"{header}\n{','.join(cells.values())}\n")
    with pytest.raises(ResultsError, match=r"usage\.csv") as refused:
        load(tmp_path / "r")
    assert said in str(refused.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "r", Made(), process(0.5)) / "usage.csv"
    path.write_text(path.read_text().replace("busy_s", "busy", 1))
    with pytest.raises(ResultsError, match="lacks column busy_s"):
        load(tmp_path / "r")


def test_a_file_that_ends_within_a_line_loses_it(tmp_path: Path) -> None:
    path = write(tmp_path / "r", Made(), *QUIET) / "usage.csv"
    whole = len(load(tmp_path / "r").usage)
    path.write_bytes(path.read_bytes()[:-5])
    assert len(load(tmp_path / "r").usage) == whole - 1
    path.write_bytes(b"")
    assert load(tmp_path / "r").usage == ()


def test_a_file_that_was_changed_or_removed_is_damage(tmp_path: Path) -> None:
    write(tmp_path / "r", Made(manifest={"files": {"usage.csv": "0" * 64}}), *QUIET)
    assert "usage.csv is not the file that the run wrote" in load(tmp_path / "r").damage[0]
    (tmp_path / "r" / "usage.csv").unlink()
    assert load(tmp_path / "r").damage == ("usage.csv is missing, which the run wrote",)


# What is shown


@pytest.mark.parametrize("case", CASES)
def test_a_table_has_as_many_words_and_at_most_124_columns_whatever_the_verdict(
    case: str, tmp_path: Path
) -> None:
    notes = [
        {"path": "devmem", "mark": "RX only", "text": "x"},
        {"path": "kernel", "mark": "clean wire", "text": "y"},
    ]
    off = {"sender": "h254-eth15", "receiver": "leaf64-eth254", "asked_bps": 100, "achieved_bps": 50.0,
           "asked_delay_s": 0.0, "achieved_delay_s": 0.0,
           "asked_jitter_s": 0.0, "asked_loss": 0.0, "achieved_loss": None}  # fmt: skip
    for number, more in enumerate(({}, {"links": [off]})):
        made = Made(manifest={"notes": notes, **more})
        run = load(write(tmp_path / str(number), made, *CASES[case][0]))
        text = table_text(run, summarise(run))
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert {len(line.split()) for line in lines[2:]} == {13}
        assert max(map(len, text.splitlines())) <= 124, text
        assert {line.split()[-1] for line in lines[2:]} <= {*VERDICTS}


def test_the_footer_counts_the_rows_of_each_verdict_the_worst_first(tmp_path: Path) -> None:
    run = load(write(tmp_path / "r", Made(), link(0.2), *QUIET))
    busy = tuple(
        msgspec.structs.replace(each, busy_s=5.0)
        if each.path == "bounce" and each.kind == "process"
        else each
        for each in run.usage
    )
    text = table_text(replace(run, usage=busy), summarise(replace(run, usage=busy)))
    said = [line for line in text.splitlines() if line.startswith("# Verdict")]
    assert [line.split(":")[1].strip() for line in said[:1]] == ["mixed (3 rows)"]
    assert said[1].startswith(
        "# Verdict              : faithful (6 rows): h1-eth0 was used 20 %, h1:endpoint ran"
    )


@pytest.mark.usefixtures("real_png")
def test_figures_of_measured_numbers_have_a_watermark_unless_faithful(tmp_path: Path) -> None:
    good = analyse(write(tmp_path / "good", Made(), link(0.95), *QUIET))
    bad = analyse(write(tmp_path / "bad", Made(), *UNSHAPED))
    assert (good.verdict, bad.verdict) == (FAITHFUL, CPU_LIMITED)
    differ = {
        a.name: a.read_bytes() != b.read_bytes()
        for a, b in zip(good.figure_paths, bad.figure_paths, strict=True)
    }
    alike = {"host_dram.png": False, "cpu.png": False, "crossover.png": False}
    assert differ == {"busbw.png": True, "latency.png": True, **alike}
    page = bad.report_path.read_text()
    assert '<span class="bad">cpu-limited.</span>' in page
    assert "Not the network&#39;s, by verdict: bounce, devmem, kernel (cpu-limited)." in page
    assert "Not the network" not in good.report_path.read_text()
    assert samples.is_word(CPU_LIMITED)


def test_the_report_shows_how_interfaces_handled_packets(tmp_path: Path) -> None:
    nic = {"node": "h1", "interface": "h1-eth0", "rps_cpus": ["3", "0"], "threaded": True, "offloads": ["x"]}
    made = Made(manifest={"interfaces": [nic]})
    page = analyse(made.write(tmp_path / "r")).report_path.read_text()
    assert "RPS 3 0; NAPI threaded; x" in page
    assert json.loads((tmp_path / "r/manifest.json").read_text())["interfaces"] == [nic]


def test_a_simulated_run_says_so_and_accuses_no_row(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,)).write(tmp_path / "r")
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["config"]["clock"] = "simulated"
    (made / "manifest.json").write_text(json.dumps(manifest))
    analysis = analyse(made)
    assert analysis.verdict == SIMULATED
    page = " ".join(analysis.report_path.read_text().split())
    assert "devices are emulated, time is simulated." in page
    assert "All seconds of this run are those of the simulated machines and lines" in page
    for name in ("busbw", "cpu", "latency"):
        assert f"<b>{name}.</b> In simulated seconds. " in page
    assert "<b>host_dram.</b> Modelled: " in page
    assert "Measured" not in page.replace("Modelled and measured", "")
    assert "time of this run is the network" not in page
    assert "not the network" not in page

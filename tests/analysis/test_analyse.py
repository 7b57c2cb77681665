"""From data files to figures and report: what is written, what the report says."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.image import imread

from analysis.analyse import Analysis, analyse
from tests.analysis.synthetic import MIB, TRAFFIC, Made

pytestmark = pytest.mark.timeout(600)  # figures take long on a busy machine

ROOT = Path(__file__).parents[2]
NOTES = [{"path": "kernel", "mark": "clean wire", "text": "a <note>"}]


def _text(analysis: Analysis) -> str:
    page = re.sub(r"<style>.*?</style>|<[^>]+>", " ", analysis.report_path.read_text(), flags=re.DOTALL)
    return " ".join(page.split()).replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")


def _names(analysis: Analysis) -> list[str]:
    return [path.name for path in analysis.figure_paths]


@pytest.mark.usefixtures("real_png")
def test_everything_is_written_into_the_results(run_dir: Path) -> None:
    analysis = analyse(run_dir)
    assert _names(analysis) == ["busbw.png", "host_dram.png", "crossover.png", "cpu.png", "latency.png"]
    assert all(imread(path).std() > 0 for path in analysis.figure_paths)
    assert analysis.report_path == run_dir / "report.html"
    assert (run_dir / "summary.csv").is_file()
    assert analysis.wrong_elements == 0
    assert len(analysis.summary) == 9
    assert analysis.table_text.startswith("# all_reduce on star, 4 hosts, 4 ranks, 3 repetitions")


@pytest.mark.usefixtures("real_svg")
def test_the_report_holds_its_figures_and_asks_nothing_of_a_network(run_dir: Path) -> None:
    analysis = analyse(run_dir)
    page = analysis.report_path.read_text()
    figures = re.findall(r'<figure id="figure-(\w+)">(.*?)</figure>', page, re.DOTALL)
    assert {name for name, _ in figures} == {path.stem for path in analysis.figure_paths}
    assert all(shown.count("<text") > 5 for _, shown in figures)
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert "<script" not in page
    assert "nan" not in _text(analysis).lower().split()


def test_the_report_says_how_to_repeat_the_run(tmp_path: Path) -> None:
    argv = ["/some/where/run.py", "--run-id", "r", "--path", "devmem, bounce"]
    made = Made(manifest={"argv": argv, "notes": NOTES})
    text = _text(analyse(made.write(tmp_path / "r")))
    assert "python3 run.py --path 'devmem, bounce'" in text
    assert "/some/where" not in text
    assert "commit 0123abc" in text
    assert "6.18.0" in text


def test_the_headline_is_computed_from_the_data(run_dir: Path) -> None:
    text = _text(analyse(run_dir))
    assert (
        "At 16 MiB, devmem reached 1.25 times the bus bandwidth of bounce (1.875 GB/s against 1.500 GB/s; "
        "95 % interval of the ratio 1.25 to 1.25, 3 repetitions)." in text
    )
    assert "devmem moved 0.0020 bytes of host DRAM traffic per payload byte, bounce 4.0020." in text
    assert "devmem's Python stack reached 0.62 times its 3.000 GB/s" in text


def test_what_is_noted_of_a_path_is_in_the_headline_and_beside_its_name(tmp_path: Path) -> None:
    text = _text(analyse(Made(manifest={"notes": NOTES}).write(tmp_path / "r")))
    assert "At 16 MiB, kernel (clean wire) reached 3.000 GB/s of bus bandwidth" in text
    assert "Python stack reached" not in text, "another wire is no comparison"
    assert text.count("kernel (clean wire): a <note>") == 1  # in the headline
    assert text.count("kernel(clean-wire): a <note>") == 1  # in the terminal's table
    assert text.count("kernel (clean wire) ") > 3 * 3


def test_an_interval_that_contains_one_claims_nothing(tmp_path: Path) -> None:
    made = Made(paths=("devmem", "bounce"), sizes=(MIB,))
    rows = made.rows()
    for row in rows:  # repetition 0 finds devmem faster, repetition 2 bounce
        if row["path"] == "devmem":
            row["time_s"] = 1.0
        else:
            row["time_s"] = (1.2, 1.0, 0.8)[int(str(row["repetition"]))]
    text = _text(analyse(made.write(tmp_path / "r", rows)))
    assert "The interval contains 1: this run does not tell the two apart." in text


def test_a_single_value_claims_no_interval(tmp_path: Path) -> None:
    text = _text(analyse(Made(sizes=(MIB,), repetitions=1, iterations=1).write(tmp_path / "r")))
    assert "a single value each, so nothing is known about chance" in text
    assert "One repetition was made" in text


@pytest.mark.parametrize("path", ["devmem", "bounce", "kernel"])
def test_one_path_alone_is_stated_and_not_compared(tmp_path: Path, path: str) -> None:
    text = _text(analyse(Made(paths=(path,)).write(tmp_path / "r")))
    assert f"At 16 MiB, {path} reached" in text
    assert "fair comparison" not in text


def test_wrong_values_are_red_and_spoil_the_headline(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,))
    rows = made.rows()
    rows[-1]["wrong_elements"] = 9
    analysis = analyse(made.write(tmp_path / "r", rows))
    assert analysis.wrong_elements == 9
    assert '<td class="bad">9</td>' in analysis.report_path.read_text()
    assert "9 wrong values." in _text(analysis)
    assert "what follows is no result" in _text(analysis)


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_an_unfinished_run_is_shown_as_such(tmp_path: Path, status: str) -> None:
    directory = Made(manifest={"status": status, "error": "h2 died"}).write(tmp_path / "r")
    (directory / "samples.csv").unlink()
    analysis = analyse(directory)
    assert f"This run is {status}. h2 died." in _text(analysis)
    assert "there is nothing to compare" in _text(analysis)
    assert analysis.figure_paths == ()
    assert (directory / "summary.csv").read_text().count("\n") == 1


def test_a_stream_has_goodput_bars(tmp_path: Path) -> None:
    analysis = analyse(Made(workload="stream", sizes=(10**9,), bidir=True).write(tmp_path / "r"))
    assert _names(analysis) == ["goodput.png", "host_dram.png", "crossover.png", "cpu.png"]
    assert "As a stream, devmem reached 1.25 times the goodput of bounce" in _text(analysis)


@pytest.mark.usefixtures("real_png")
def test_a_host_memory_ceiling_gets_its_figure(tmp_path: Path) -> None:
    analysis = analyse(Made(config={"host_mem_bw_bytes_per_s": 2e9}).write(tmp_path / "r"))
    assert "ceiling.png" in _names(analysis)
    assert "Each host's emulated memory was limited to 2 GB/s." in _text(analysis)
    assert "At 2 GB/s that begins at 2.00 Gbit/s. Points are measured" in _text(analysis)


def test_without_a_ceiling_the_crossover_has_no_points(run_dir: Path) -> None:
    text = _text(analyse(run_dir))
    assert "Line rate" not in text, "a figure's title is in the figure"
    assert "This run had no ceiling of host memory (--host-mem-bw), so it is no point here." in text


def test_counters_that_were_not_recorded_leave_out_their_figures(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,))
    gone = {"host_dram_read_bytes": None, "app_cpu_s": None, "machine_steal_s": None}
    analysis = analyse(made.write(tmp_path / "r", [row | gone for row in made.rows()]))
    assert _names(analysis) == ["busbw.png", "latency.png"]
    assert "n/a" in analysis.table_text
    assert "Stolen CPU time was not recorded." in _text(analysis)
    assert "nan" not in (tmp_path / "r" / "summary.csv").read_text().lower()


def test_files_are_held_against_the_manifests_sums(run_dir: Path) -> None:
    manifest = json.loads((run_dir / "manifest.json").read_text())
    sums = {
        "samples.csv": hashlib.sha256((run_dir / "samples.csv").read_bytes()).hexdigest(),
        "gone.log": "0",
    }
    (run_dir / "manifest.json").write_text(json.dumps(manifest | {"files": sums}))
    assert f"samples.csv {sums['samples.csv']} same" in _text(analyse(run_dir))
    assert "gone.log 0 missing" in _text(analyse(run_dir))
    with (run_dir / "samples.csv").open("a") as file:
        file.write("\n")
    assert '<td class="text bad">differs</td>' in analyse(run_dir).report_path.read_text()


@pytest.mark.usefixtures("real_png")
def test_redrawing_gives_the_same_bytes(run_dir: Path) -> None:
    def written() -> dict[str, bytes]:
        analysis = analyse(run_dir)
        files = [analysis.report_path, run_dir / "summary.csv", *analysis.figure_paths]
        return {file.name: file.read_bytes() for file in files}

    assert written() == written()


def test_the_report_is_the_same_before_and_after_the_run_is_sealed(run_dir: Path) -> None:
    first = analyse(run_dir).report_path.read_bytes()
    drawn = ["samples.csv", "summary.csv", "report.html", *(f"figures/{name}" for name in FIGURES)]
    sums = {name: hashlib.sha256((run_dir / name).read_bytes()).hexdigest() for name in drawn}
    manifest = json.loads((run_dir / "manifest.json").read_text())
    recorded = {"samples.csv": sums["samples.csv"]}
    (run_dir / "manifest.json").write_text(json.dumps(manifest | {"files": recorded}))
    before = analyse(run_dir).report_path.read_bytes()
    (run_dir / "manifest.json").write_text(json.dumps(manifest | {"files": sums}))
    assert analyse(run_dir).report_path.read_bytes() == before
    assert before != first, "samples.csv is recorded now"


HELP = "; `run.py report --help` lists what there is\n"
FIGURES = ("busbw.png", "host_dram.png", "crossover.png", "cpu.png", "latency.png")
USERS = "text.usetex: True\naxes.formatter.use_locale: True\nfont.size: 40\nfigure.dpi: 10\nbackend: TkAgg\n"


@pytest.mark.usefixtures("real_svg")
@pytest.mark.parametrize(
    ("settings", "backend"), [(USERS.encode(), "TkAgg"), (b"\xff\xfe: 1", "no_such_backend")]
)
def test_a_users_settings_of_matplotlib_change_nothing(
    run_dir: Path, tmp_path: Path, settings: bytes, backend: str
) -> None:
    analyse(run_dir)
    figures = {path.name: path.read_bytes() for path in (run_dir / "figures").iterdir()}
    (tmp_path / "matplotlibrc").write_bytes(settings)
    hostile = {"MPLBACKEND": backend, "LC_ALL": "de_DE.UTF-8"}
    environment = os.environ | hostile
    command = [sys.executable, str(ROOT / "run.py"), "report", str(run_dir)]
    done = subprocess.run(  # in whose directory matplotlib finds the settings
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name: path.read_bytes() for path in (run_dir / "figures").iterdir()} == figures
    assert len(figures) == 2 * len(FIGURES)


@pytest.mark.usefixtures("real_png")
def test_settings_made_in_the_same_process_change_nothing(run_dir: Path) -> None:
    figures = [path.read_bytes() for path in analyse(run_dir).figure_paths]
    with mpl.rc_context({"text.usetex": True, "font.size": 40, "axes.formatter.use_locale": True}):
        assert [path.read_bytes() for path in analyse(run_dir).figure_paths] == figures
        assert mpl.rcParams["font.size"] == 40


def test_a_figure_that_fails_costs_itself_and_is_said(run_dir: Path) -> None:
    (run_dir / "figures/cpu.png").mkdir(parents=True)
    analysis = analyse(run_dir)
    assert _names(analysis) == ["busbw.png", "host_dram.png", "crossover.png", "latency.png"]
    said = "figures/cpu.png was not drawn (IsADirectoryError: "
    assert f"\n# {said}" in analysis.table_text
    assert _text(analysis).count(said) == 2  # in the notes, and in the terminal's table


def test_what_cannot_be_written_is_named_and_the_table_is_there(run_dir: Path) -> None:
    for name in ("summary.csv", "report.html"):
        (run_dir / name).mkdir()
    analysis = analyse(run_dir)
    assert analysis.unwritten == tuple(
        f"{run_dir / name} cannot be written (Is a directory)" for name in ("summary.csv", "report.html")
    )
    assert "# Out of bounds values : 0 OK" in analysis.table_text


def test_the_report_says_why_the_commit_is_unknown(tmp_path: Path) -> None:
    unknown: dict[str, object] = {"git": None, "git_error": "fatal: no git"}
    text = _text(analyse(Made(manifest=unknown).write(tmp_path / "r")))
    assert "The sources' commit was not recorded (fatal: no git)." in text


def test_the_command_line_redraws_and_tells_by_its_status(run_dir: Path, tmp_path: Path) -> None:
    def run(*words: Path | str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "run.py", "report", *map(str, words)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    good = run(run_dir)
    assert good.returncode == 0, good.stderr
    assert "# Out of bounds values : 0 OK" in good.stdout
    assert "\x1b" not in good.stdout
    assert (run_dir / "report.html").is_file()
    missing = run(tmp_path / "nowhere")
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
    assert "manifest.json is missing" in missing.stderr
    for words, sentence in [
        ((), f"run.py: Missing argument 'DIR'{HELP}"),
        ((run_dir, "more"), f"run.py: Got unexpected extra argument(s) (more){HELP}"),
        (("--frobnicate",), f"run.py: No such option: --frobnicate{HELP}"),
    ]:
        wrong = run(*words)
        assert (wrong.returncode, wrong.stderr) == (2, sentence)
    log_on_a_full_disk = ["sh", "-c", 'exec "$0" run.py report /no/where 2>/dev/full', sys.executable]
    assert subprocess.run(log_on_a_full_disk, cwd=ROOT, check=False).returncode == 1


def test_the_report_has_a_table_of_background_traffic(tmp_path: Path) -> None:
    text = _text(analyse(Made(sizes=(MIB,), manifest={"traffic": TRAFFIC}).write(tmp_path / "r")))
    assert "poisson:load=0.3 30 27 1 0 6.00 5.00 4.0 10.0 12.30 50.00 2500.00" in text
    assert "constant:rate=1Mbit 1 0 0 0 0.50 0.50 4.0 1.0 n/a n/a n/a" in text
    assert "Background traffic" not in _text(analyse(Made(sizes=(MIB,)).write(tmp_path / "alone")))


def test_a_report_of_simulated_seconds_says_nothing_of_this_machines_cpu(tmp_path: Path) -> None:
    clocks: dict[str, dict[str, object]] = {"simulated": {"clock": "simulated"}, "real": {}}
    simulated, real = (
        analyse(Made(sizes=(MIB,), config=config).write(tmp_path / name)).report_path.read_text()
        for name, config in clocks.items()
    )
    for said in ("All hosts share one machine", "Times on a shared machine drift", "Stolen CPU time"):
        assert said in real
        assert said not in simulated
    assert "over all simulated hosts" in simulated
    assert not re.search(r">\s*Measured[ .,]", simulated)

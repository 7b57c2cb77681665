"""The notebooks of analysis/notebooks: as they are in the repository, and as they run on what is recorded."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import psutil
import pytest

from analysis.notebook import recorded
from tests.notebooks.execution import NOTEBOOKS, PARAMETERS, ROOT, executed, read, shown
from tests.notebooks.record import COMMANDS, DATA, KEPT

pytestmark = pytest.mark.timeout(600)  # a kernel takes long to start on a busy machine

FILES = sorted(NOTEBOOKS.glob("*.ipynb"))
FIGURES = re.compile(r"\b(?:figures|several_runs)\.(?!ratios)\w+\(")
DATA_BYTES = 450_000
# What each shows that only its own data give.
SHOWN = {
    "01_first_look": ("run three_paths", "<iframe", "busy_share"),
    "02_devmem_bounce_kernel": ("expected_root_bytes", "busbw_ratio_to_bounce"),
    "03_host_memory_and_crossover": (
        "a link of 50 Mbit/s needs 25 MB/s", "memory allows", "dram_read_GB_per_s", "payload over time",
    ),
    "04_net_iov_size": ("endpoint_cpu_s_per_GB", "mlx5, published"),
    "05_loss_and_congestion": ("--tcp-info 100ms", "median_window", "recovery", "Page pools over time"),
    "06_two_runs": ("told_apart", "&#x27;niov_bytes&#x27;: (65536, 4096)|'niov_bytes': (65536, 4096)"),
    "07_cover_letter": ("189 / 200 = 0.945", "headers allow"),
    "08_scale_simulated": ("In simulated seconds", "predicted_us", "projected_us", "1024"),
}  # fmt: skip


def test_each_notebook_is_known_here() -> None:
    assert [path.stem for path in FILES] == list(SHOWN)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_notebook_is_stripped_and_says_what_each_cell_is_for(path: Path) -> None:
    notebook = read(path)
    assert {*notebook.metadata} == {"kernelspec", "language_info"}
    assert notebook.cells[0].source.startswith("# ")
    assert sum(PARAMETERS in cell.metadata.get("tags", ()) for cell in notebook.cells) == 1
    for cell in notebook.cells:
        assert {*cell.metadata} <= {"tags"}
        assert all(len(line) <= 120 for line in cell.source.splitlines())
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= 20, "a notebook is thin: this belongs into analysis/"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_notebook_shows_its_figures_and_tables(path: Path, tmp_path: Path) -> None:
    before = written()
    notebook = executed(path, tmp_path)
    page = shown(notebook)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert page.count("<figcaption") == len(FIGURES.findall(source)) > 0
    for words in SHOWN[path.stem]:
        assert any(each in page for each in words.split("|")), words
    for output in (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output
    assert "Figure size" not in page
    assert written() == before, "what is recorded stays as it is"
    assert not psutil.Process().children(), "the kernel has ended"


def written() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in NOTEBOOKS.rglob("*") if ".ipynb_" not in str(path)}


def test_every_recorded_run_is_shown_and_every_shown_one_is_recorded() -> None:
    text = "".join(cell.source for path in FILES for cell in read(path).cells if cell.cell_type == "code")
    named = set(re.findall(r'"(\w+)"', text)) | {f"niov_{size}K" for size in (4, 16, 32, 64)}
    there = {path.name for path in DATA.iterdir() if path.is_dir()}
    assert there == set(COMMANDS)
    assert there <= named


@pytest.mark.parametrize("name", COMMANDS)
def test_a_recorded_run_is_sound_small_and_of_the_command_beside_it(name: str) -> None:
    run = recorded(name)
    assert run.run.manifest.status == "complete"
    assert run.run.damage == ()
    assert shlex.split(run.command)[2:] == shlex.split(COMMANDS[name])
    assert {*os.listdir(DATA / name)} - {"manifest.json"} <= {*KEPT}
    assert not run.summary.empty
    assert (run.summary["wrong_elements"] == 0).all()


def test_what_is_recorded_names_no_machine_and_is_small() -> None:
    files = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < DATA_BYTES
    for path in files:
        text = path.read_text()
        assert not re.search(r"(?<![\w.])/(?:root|home|work|tmp)\b", text), path
        if path.name == "manifest.json":
            assert json.loads(text)["environment"]["hostname"] == "recorded"


def test_the_two_locks_agree() -> None:
    """Both are installed into one environment."""
    setup, notebooks = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-notebooks.lock")
    )
    shared = setup.keys() & notebooks.keys()
    assert {name: setup[name] for name in shared} == {name: notebooks[name] for name in shared}
    assert "jupyterlab" in notebooks.keys() - setup.keys(), "setup is quick"
    assert {"nbclient", "ipykernel"} <= setup.keys()


def test_analysis_does_not_need_a_notebooks_packages() -> None:
    """They are for those who work on the testbed, or start JupyterLab."""
    sources = "".join(path.read_text() for path in (ROOT / "analysis").glob("*.py"))
    named = re.findall(r"^\s*(?:from|import) (\w+)", sources, re.MULTILINE)
    assert not {"IPython", "ipykernel", "nbclient", "nbformat"} & {*named}


def test_jupyterlab_is_on_loopback_alone_and_installed_when_asked_for() -> None:
    rules = (ROOT / "Makefile").read_text()
    (start,) = re.findall(r"^notebooks: (.*)\n((?:\t.*\n)*)", rules, re.MULTILINE)
    assert "$(VENV)/.notebooks" in start[0]
    assert "--ip 127.0.0.1 " in start[1]
    assert "--KernelManager.transport=ipc" in start[1], "kernels have no port"
    (setup,) = re.findall(r"^setup: (.*)", rules, re.MULTILINE)
    assert "notebooks" not in setup

"""A notebook on a fresh run, and docs/notebooks.md word for word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis import notebook
from tests.docs.pages import block
from tests.notebooks.execution import NOTEBOOKS, executed, shown
from tests.system.reader import project, typed

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_the_first_notebook_measures_anew(tmp_path: Path) -> None:
    place = project(tmp_path)
    page = shown(executed(NOTEBOOKS / "01_first_look.ipynb", tmp_path, place, fresh=True, within_s=200))
    (run,) = (place / "results").iterdir()
    assert f"run {run.name}" in page, "the table and the report are the new run's"
    assert "\rall_reduce" in page, "its progress was shown"
    assert json.loads((run / "manifest.json").read_text())["status"] == "complete"
    assert (run / "figures/host_dram.svg").is_file()


def test_a_notebook_of_ones_own(tmp_path: Path) -> None:
    place = project(tmp_path)
    (place / "mine.py").write_text(block("docs/notebooks.md", "from analysis import figures"))
    printed = typed(".venv/bin/python mine.py", place)
    assert "host_dram_bytes_per_payload_byte" in printed
    assert (place / "mine.png").stat().st_size > 10_000


def test_a_run_that_is_refused_raises_its_sentence() -> None:
    with pytest.raises(notebook.ExperimentFailed, match=r"^there is no path 'rdma'; choose from ") as failed:
        notebook.experiment("--topology pair --path rdma")
    assert failed.value.status == 2

"""docs/sweeps.md: its file is one, its fields are the sources', its Ray has what cells ask for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import typer

from commands import sweep
from commands.sweep_file import load
from tests.docs import pages
from tests.docs.pages import block
from workloads.sweep.ray_driver import RESOURCE
from workloads.sweep.schema import SweepFile

PAGE = "docs/sweeps.md"
FILE = block("docs/sweeps.md", "# small.yaml")


def test_the_file_has_the_parts_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(FILE)
    planned = load(tmp_path / "small.yaml")
    assert (planned.name, len(planned.cells)) == ("small", 2)
    rows = pages.table(PAGE, "The file")
    assert [pages.named(row[0]) for row in rows] == [[name] for name in SweepFile.__struct_fields__]


def test_every_option_of_the_page_is_one() -> None:
    app = typer.Typer(add_completion=False)
    app.command()(sweep.command)
    options = {flag for each in typer.main.get_command(app).params for flag in each.opts}
    told = {word for code in pages.inline_code(PAGE) for word in re.findall(r"--[a-z-]+", code)}
    assert told - options == {"--help"}
    assert {flag for flag in options if flag.startswith("--")} - told == {"--dry-run"}  # shown in a block


def test_the_clusters_machines_have_the_resource_of_cells() -> None:
    found = re.findall(r"--resources='(.*)'", block_text(".venv/bin/ray start --head"))
    assert [json.loads(each) for each in found] == [{RESOURCE: 1}] * 2


def block_text(start: str) -> str:
    (found,) = (each.text for each in pages.blocks(PAGE) if each.text.startswith(start))
    return found

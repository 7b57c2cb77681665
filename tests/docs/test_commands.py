"""Every code block and every command of the pages is run by a test, literally.

A test takes what it runs by `block(page, start)` or `command(page, words)` of tests/docs/pages.py; these
calls are found in the sources of all tests. What a page shows and no test takes fails here. The commands that
need a network are run by tests/system/; those that need none, and `make` targets, here.
"""

from __future__ import annotations

import ast
import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.load import load
from analysis.summary import summarise
from analysis.table import table_text
from tests.analysis.synthetic import Made
from tests.analysis.test_table import both_places
from tests.docs import pages
from tests.docs.pages import ROOT, block, command

MAKEFILE = (ROOT / "Makefile").read_text()
RULES = dict(re.findall(r"^([\w-]+):[^=\n]*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE))
MAKE = (
    *block("README.md", "make demo").splitlines(),
    command("README.md", "make bench"),
    command("README.md", "make soak"),
    command("README.md", "make docs"),
    command("README.md", "make notebooks"),
    *block("docs/tutorial.md", "make demo").splitlines(),
    command("docs/tutorial.md", "make demo"),
    command("docs/contributing/index.md", "make test"),
    command("docs/contributing/index.md", "make soak"),
    command("docs/notebooks.md", "make notebooks"),
    command("docs/notebooks.md", "make setup"),
    command("docs/devmem.md", "make setup"),
    command("docs/machines.md", "make setup"),
    command("docs/performance.md", "make setup"),
    command("docs/performance.md", "make bench"),
    command("docs/performance.md", "make bench ONLY=64k,linux"),
    command("docs/performance.md", "make bench-compare OLD=FILE NEW=FILE"),
    command("docs/sweeps.md", "make setup"),
    command("README.md", "make setup"),
    command("docs/rootless.md", "make setup"),
)
SAMPLE = block("README.md", "$ python3 run.py")
DOCUMENT = command("docs/semantics.md", ".venv/bin/python -m tests.semantics.document")


def taken(function: str, page: str) -> set[str]:
    """What the tests' calls of `function` name of `page`."""
    return {name for called, of_page, name in _calls() if (called, of_page) == (function, page)}


@functools.cache
def _calls() -> tuple[tuple[str, str, str], ...]:
    """(function, page, name) of each call with these two arguments in the tests."""
    found = []
    for path in (ROOT / "tests").rglob("*.py"):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "tests.docs.pages" in source else ():
            match node:
                case ast.Call(ast.Name(called), [ast.Constant(page), ast.Constant(name)]):
                    found.append((called, str(page), str(name)))
    return tuple(found)


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_code_block_is_taken_by_a_test(page: str) -> None:
    starts = taken("block", page)
    for each in pages.blocks(page):
        if each.language != "text":
            by = [start for start in starts if each.text.startswith(start)]
            assert len(by) == 1, f"no test, or no single one, runs this block of {page}:\n{each.text}"
            starts.remove(by[0])
    assert starts == set(), f"tests take blocks that {page} does not have"


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_command_in_the_prose_is_taken_by_a_test(page: str) -> None:
    shown, run = set(pages.commands(page)), taken("command", page)
    assert shown - run == set(), f"no test runs these commands of {page}"
    assert run - shown == set(), f"tests run commands that {page} does not show"


@pytest.mark.parametrize("page", pages.PAGES)
def test_code_is_fenced_and_has_a_known_language(page: str) -> None:
    assert {each.language for each in pages.blocks(page)} <= {"sh", "python", "console", "yaml", "text"}
    assert not re.findall(r"^(?: {4}|\t).*", pages.prose(page), re.MULTILINE), "an indented block"
    assert "```" not in pages.prose(page)
    for each in pages.blocks(page):
        if each.language == "text":
            assert not re.findall(rf"^(?:\$ |{'|'.join(pages.COMMANDS)})", each.text, re.MULTILINE)


@pytest.mark.parametrize("words", MAKE)
def test_what_make_is_asked_for_is_a_target(words: str) -> None:
    program, target, *given = words.partition("#")[0].split()
    assert program == "make"
    assert all(f"$({each.partition('=')[0]})" in RULES[target] for each in given)
    assert target in RULES
    assert target in re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)[0].split()


def test_readmes_run_is_the_one_of_make_demo() -> None:
    shown, _, _ = SAMPLE.removeprefix("$ ").partition("\n# ")
    assert unwrapped(shown).split()[1:] == unwrapped(RULES["demo"]).split()[1:]


def unwrapped(lines: str) -> str:
    return lines.replace("\\\n", " ")


def test_readmes_sample_has_the_tables_columns_and_footer(tmp_path: Path) -> None:
    made = Made()
    run = load(made.write(tmp_path / "r", both_places(made, 2.0)))
    drawn = table_text(run, summarise(run)).splitlines()
    shown = SAMPLE[SAMPLE.index("# all_reduce") :].splitlines()
    assert [line.split() for line in shown[1:4]] == [line.split() for line in drawn[1:4]]
    rows = [line.split() for line in shown[4:13]]
    assert [row[5] for row in rows] == ["devmem", "bounce", "kernel"] * 3
    assert {len(row) for row in rows} == {16}
    of_the_machine = ("# Stolen", "# Not steady", "# Stragglers")  # what a run has or has not
    labels = [line.split(":")[0] for line in drawn if line.startswith("# ")][1:]
    labels = [label for label in labels if not label.startswith(of_the_machine)]
    said = [line.split(":")[0] for line in shown[13:-1] if not line.startswith(of_the_machine)]
    assert list(dict.fromkeys(said)) == labels  # there may be several verdicts
    assert shown[-1].startswith("# Report: results/")


def test_the_document_of_rules_is_made_by_its_command(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    modules = [f"tests/semantics/{name}.py" for name in ("__init__", "document", "rows", "since")]
    for name in ("tests/__init__.py", *modules, "nodes/__init__.py", "nodes/kernel_version.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "docs").mkdir()
    subprocess.run(DOCUMENT, shell=True, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "docs" / "semantics.md").read_text() == pages.text("docs/semantics.md")

"""The site of docs/: its navigation and its links, found without mkdocs. `make docs` is for the soak."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.docs import pages, site
from tests.docs.pages import ROOT, command

CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
MAKE = command("docs/contributing/index.md", "make docs")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def in_navigation(part: Any) -> Iterator[str]:
    """Every page below `part`, a list, a title with what it names, or a page."""
    match part:
        case str():
            yield part
        case dict():
            for each in part.values():
                yield from in_navigation(each)
        case list():
            for each in part:
                yield from in_navigation(each)


SITE = tuple(in_navigation(CONFIG["nav"]))


def test_the_navigation_has_every_page_once() -> None:
    docs = {page.removeprefix("docs/") for page in pages.PAGES if page.startswith("docs/")}
    assert len(SITE) == len(set(SITE))
    assert set(SITE) == docs | set(site.OUTSIDE.values())


def test_the_sections_are_those_that_a_reader_looks_for() -> None:
    titles = [next(iter(each)) for each in CONFIG["nav"]]
    assert titles == [
        "Home", "Tutorial", "Concepts", "Guides", "Reference", "Methodology", "Contributing",
    ]  # fmt: skip


@pytest.mark.parametrize("page", SITE)
def test_every_link_leads_to_a_page_and_a_heading_of_the_site(page: str) -> None:
    markdown = site.translated(pages.text(site.source_of(page)), page)
    for link in LINK.findall(re.sub(r"^```.*?^```$|`[^`]+`", "", markdown, flags=re.MULTILINE | re.DOTALL)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        assert target in SITE or (not target.endswith(".md") and (ROOT / "docs" / target).is_file()), link
        assert not anchor or anchor in pages.anchors(site.source_of(target)), link


@pytest.mark.parametrize("page", SITE)
def test_a_page_reads_the_same_on_a_repository_host(page: str) -> None:
    """None of the words that mkdocs alone knows, and what Python-Markdown needs more than others: an empty
    line in front of a list and of a table."""
    text = pages.prose(site.source_of(page))
    assert not re.findall(r"^(?:!!!|\?\?\?|===) |\{[:#.][ \w]|^\[TOC\]|^---\n.*?^---\n", text, re.MULTILINE)
    lines = ["", *text.splitlines()]
    for before, line in itertools.pairwise(lines):
        if line.startswith(("- ", "1. ")):
            assert before == "" or before.startswith(("- ", "  ")), line
        if line.startswith("|"):
            assert before == "" or before.startswith("|"), line


def test_links_lead_from_the_pages_to_the_readmes_and_back() -> None:
    assert site.translated("[a](docs/faults.md#x) ![b](docs/byte.svg)", "index.md") == (
        "[a](faults.md#x) ![b](byte.svg)"
    )
    assert site.translated("[a](../nodes/README.md#glossary)", "concepts.md") == "[a](nodes.md#glossary)"
    assert site.translated("[a](../../README.md)", "contributing/shape.md") == "[a](../index.md)"
    assert site.translated("[a](tcp/README.md), [b](../docs/routes.md)", "nodes.md") == (
        "[a](tcp.md), [b](routes.md)"
    )


def test_the_text_of_a_link_to_a_source_stays_without_the_link() -> None:
    assert site.translated("see [the loop](endpoint/loop.py).", "nodes.md") == "see the loop."


def test_code_is_left_alone_but_for_bars_that_a_table_escapes() -> None:
    fenced = "```text\n[a](b.py) \\|\n```"
    assert site.translated(f"`[a](b.py)`\n{fenced}", "faults.md") == f"`[a](b.py)`\n{fenced}"
    assert site.translated(r"| `on\|off` | a \| b |", "control.md") == r"| `on|off` | a \| b |"


def test_anchors_are_those_of_a_repository_host() -> None:
    assert site.anchor("Kernel versions: `--kernel`") == "kernel-versions---kernel"
    assert site.anchor("tcp_info.csv") == "tcp_infocsv"


def test_mkdocs_is_not_part_of_set_up_and_its_lock_agrees_with_the_others() -> None:
    """All are installed into one environment; set-up is quick without it."""
    setup, notebooks, docs = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-notebooks.lock", "requirements-docs.lock")
    )
    for other in (setup, notebooks):
        assert {name: other[name] for name in other.keys() & docs.keys()}.items() <= docs.items()
    assert {"mkdocs", "mkdocs-material"} <= docs.keys() - setup.keys()
    (needs,) = re.findall(r"^docs: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "$(VENV)/.docs" in needs.split()


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_site_is_built_and_loads_nothing_from_elsewhere() -> None:
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(
        MAKE, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    built = ROOT / "site"
    assert (built / "search" / "search_index.json").is_file()
    for page in SITE:
        html = (built / page).with_suffix(".html").read_text()
        loading = re.findall(r"<(?:script|img|iframe|source|link)\b[^>]*>", html)
        elsewhere = [tag for tag in loading if re.search(r'(?:src|href)="(?:https?:)?//', tag)]
        assert elsewhere == [], page

"""What the pages name exists: links and their anchors, files, and the functions beside the kernel's."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs import pages
from tests.docs.pages import ROOT

FUNCTIONS = pages.table("docs/devmem.md", "Kernel function, our function, difference")
_FOLDERS = "analysis|commands|docs|nodes|tests|topologies|workloads"
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in _LINK.findall(pages.prose(page)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            assert anchor in pages.anchors(str(target.resolve().relative_to(ROOT))), f"{page} links to {link}"


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_file_that_is_named_exists(page: str) -> None:
    for code in pages.inline_code(page):
        if re.fullmatch(rf"(?:{_FOLDERS})/[\w./*-]*", code):
            assert list(ROOT.glob(code)), f"{page} names {code}, which does not exist"


NODES = "nodes/README.md"


def files_of(code: str) -> list[str]:
    """`control/{rings,rss}.py` stands for two files."""
    braces = re.fullmatch(r"(.*)\{(.*)\}(.*)", code)
    return [f"{braces[1]}{each}{braces[3]}" for each in braces[2].split(",")] if braces else [code]


def test_every_file_that_the_way_of_a_byte_names_exists() -> None:
    text = (ROOT / NODES).read_text()
    named = {name for code in pages.inline_code(NODES) for name in files_of(code)}
    named |= set(re.findall(r"^ {4} *\(?([\w/]+\.py)\b", text, re.MULTILINE))
    files = {name for name in named if name.endswith((".py", "/"))}
    missing = {name for name in files if not (ROOT / "nodes" / name).exists() and not (ROOT / name).exists()}
    assert len(files) > 60
    assert missing == set()


def test_the_way_of_a_frame_and_of_a_call_enter_no_file_twice() -> None:
    """But the wire's file, which is in parentheses the second time: its parser peeks, then its DMA reads."""
    drawings = re.findall(r"(?:^ {4}.*\n)+", (ROOT / NODES).read_text(), re.MULTILINE)
    assert len(drawings) == 4
    for drawing in drawings:
        entered = re.findall(r"^ {4} *([\w/]+\.py)\b", drawing, re.MULTILINE)
        assert len(entered) > 3
        assert len(entered) == len(set(entered))


@pytest.mark.parametrize("row", FUNCTIONS, ids=lambda row: row[0].replace("`", ""))
def test_our_function_beside_the_kernels_exists(row: list[str]) -> None:
    file, *functions = pages.named(row[1])
    path = ROOT / "nodes" / file
    assert path.is_file(), f"docs/devmem.md names nodes/{file}, which does not exist"
    assert functions, f"docs/devmem.md names no function of nodes/{file}"
    there = defined(ast.parse(path.read_text()))
    for function in functions:
        assert function in there, f"nodes/{file} has no {function}"


def defined(tree: ast.Module) -> set[str]:
    """Functions, classes and methods, these as Class.method."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return names

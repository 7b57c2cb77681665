"""nodes/tcp/README.md says what the code says: its diagram, and the files and names that it mentions."""

from __future__ import annotations

import ast
import re

from nodes.tcp.state import TRANSITIONS
from tests.tcp.state_diagram import BEGIN, END, PAGE, diagram, page_with_diagram

FOLDER = PAGE.parent
TEXT = PAGE.read_text()
FILES = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py") if path.name != "__init__.py"}
CLASSES = {
    node.name: ast.unparse(node)
    for file in FILES
    for node in ast.parse((FOLDER / file).read_text()).body
    if isinstance(node, ast.ClassDef)
}


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    lines = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"]
    return rows[2:]


def test_the_state_diagram_is_that_of_the_table() -> None:
    assert TEXT.count(BEGIN) == TEXT.count(END) == 1
    assert page_with_diagram(TEXT) == TEXT, "python -m tests.tcp.state_diagram --write"


def test_the_diagram_has_an_arrow_for_each_transition() -> None:
    arrows = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", diagram(), re.MULTILINE))
    assert arrows == {(old.name, new.name, event.name) for (old, event), new in TRANSITIONS.items()}


def test_every_file_that_is_named_exists() -> None:
    assert set(re.findall(r"`([\w/]+\.py)`", TEXT)) <= FILES


def test_every_file_has_a_row_beside_the_kernels() -> None:
    rows = [cells[0].strip("`") for cells in table("Our file, the kernel's function, the RFC's section")]
    assert sorted(rows) == sorted(FILES)


def test_every_part_is_a_class_of_the_file_named() -> None:
    rows = table("The parts, and what each one owns")
    assert len(rows) > 20
    for part, file, *_ in rows:
        assert f"class {part.strip('`')}" in (FOLDER / file.strip("`")).read_text()


def test_every_member_that_is_named_exists() -> None:
    names = set(re.findall(r"`([A-Z]\w+)\.(\w+)`", TEXT))
    assert len(names) > 25
    missing = [f"{owner}.{name}" for owner, name in names if not re.search(rf"\b{name}\b", CLASSES[owner])]
    assert missing == []

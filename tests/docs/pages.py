"""README.md and docs/*.md as tests read them: code blocks, commands in the prose, tables.

In: names of pages, relative to the project. Out: their parts as text. Owns nothing. `block` and `command` are
how a test takes what it runs: tests/docs/test_commands.py finds these calls in the sources, and fails when a
page shows something that no test takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.docs.site import anchor

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))
COMMANDS = ("make ", "python3 ", ".venv/bin/python ", "sudo ")  # how a command in the prose begins
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced code block. `language`: sh and python are run; yaml is read; console is a command with its
    output; text is none of these."""

    language: str
    text: str


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: str) -> set[str]:
    """Of the headings of `page`, as a repository host and the site make them."""
    return {anchor(title) for title in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)}


def blocks(page: str) -> list[Block]:
    """Every code block of `page`, in order."""
    return [Block(*found) for found in _FENCED.findall(text(page))]


def prose(page: str) -> str:
    """`page` without its code blocks."""
    return _FENCED.sub("", text(page))


def inline_code(page: str) -> list[str]:
    """What stands between backticks in the prose of `page`, line breaks read as spaces."""
    return [" ".join(code.split()) for code in _INLINE.findall(prose(page))]


def commands(page: str) -> list[str]:
    """The commands in the prose of `page`."""
    return [code for code in inline_code(page) if code.startswith(COMMANDS)]


def block(page: str, start: str) -> str:
    """The only code block of `page` that begins with `start`."""
    (found,) = (each.text for each in blocks(page) if each.text.startswith(start))
    return found


def command(page: str, words: str) -> str:
    """`words`, a command in the prose of `page`."""
    assert words in commands(page), f"{page} does not show {words!r}"
    return words


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of every table row below `## heading` of `page`, header rows left out."""
    section = text(page).split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rules = {at for at, line in enumerate(lines) if set(line) <= set("|-")}
    kept = [line for at, line in enumerate(lines) if at not in rules and at + 1 not in rules]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in kept]


def named(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return _INLINE.findall(cell)

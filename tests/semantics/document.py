"""Writes docs/semantics.md: which of the kernel's devmem rules hold here, and the tests that prove it.

    .venv/bin/python -m tests.semantics.document

In: tests/semantics/rows.py and since.py. Out: the file. tests/semantics/test_rows.py fails while the file is
out of date.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from nodes.kernel_version import DEFAULT
from tests.semantics.rows import ROWS, Row
from tests.semantics.since import SINCE

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "semantics.md"
_TITLES = {
    "A": "Binding: bind-rx and bind-tx",
    "B": "The device while a dma-buf is bound",
    "C": "Receiving",
    "D": "Giving memory back",
    "E": "Sending",
}
_STATUSES = ("holds", "not modelled", "unproven")
_COLUMNS = "| | Rule | Since | Here | Proved by, or why not |\n|---|---|---|---|---|"
_HEAD = f"""# Which rules of the kernel hold here

`.venv/bin/python -m tests.semantics.document` makes this page from `tests/semantics/rows.py`; a test
compares the two. The rules are those of Linux {DEFAULT.name}, the default. "Since" is the first release that
has a rule, and the first of each stable series that took it over; without an entry every version has it.
[devmem.md](devmem.md#kernel-versions---kernel) has the commits.

The tables are about device memory only. What differs from Linux for ordinary sockets is in
[devmem.md](devmem.md#ordinary-sockets-what-differs-from-linux).
"""


def text() -> str:
    """The whole document."""
    counts = {status: sum(row.status == status for row in ROWS.values()) for status in _STATUSES}
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    parts = [_HEAD, f"{len(ROWS)} rules: {summary}.\n"]
    for letter, rows in groupby(ROWS.items(), key=lambda item: item[0][0]):
        parts += [f"## {letter}. {_TITLES[letter]}\n", _COLUMNS]
        parts += [
            f"| {name} | {row.rule} | {_since(name)} | {row.status} | {_why(name, row)} |"
            for name, row in rows
        ]
        parts.append("")
    return "\n".join(parts)


def _since(name: str) -> str:
    since = SINCE.get(name)
    if since is None:
        return ""
    return f"{since.release} (before: {since.before})" if since.before else since.release


def _why(name: str, row: Row) -> str:
    named = [row.test, SINCE[name].test if name in SINCE else ""]
    tests = [f"`{test.strip().partition('::')[2]}`" for test in ",".join(named).split(",") if test.strip()]
    return "; ".join([*dict.fromkeys(tests), *filter(None, [row.reason])])


if __name__ == "__main__":
    DOCUMENT.write_text(text())

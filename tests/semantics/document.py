"""Writes docs/semantics.md: which of the kernel's devmem rules hold here, and the tests that prove it.

    .venv/bin/python -m tests.semantics.document

In: tests/semantics/rows.py. Out: the file. tests/semantics/test_rows.py fails while the file is out of date.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from tests.semantics.rows import ROWS, Row

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "semantics.md"
_TITLES = {
    "A": "Binding: bind-rx and bind-tx",
    "B": "The device while a dma-buf is bound",
    "C": "Receiving",
    "D": "Giving memory back",
    "E": "Sending",
}
_STATUSES = ("holds", "not modelled", "unproven")
_COLUMNS = "| | Rule | Here | Proved by, or why not |\n|---|---|---|---|"
_HEAD = """# Which rules of the kernel hold here

`.venv/bin/python -m tests.semantics.document` makes this page from `tests/semantics/rows.py`; a test
compares the two. The default is Linux 6.18 with rx-page-size. `nodes/kernel_version.py` has what other
versions do differently.

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
        parts += [f"| {name} | {row.rule} | {row.status} | {_why(row)} |" for name, row in rows]
        parts.append("")
    return "\n".join(parts)


def _why(row: Row) -> str:
    tests = [f"`{test.strip().partition('::')[2]}`" for test in row.test.split(",") if test.strip()]
    return "; ".join([*tests, *filter(None, [row.reason])])


if __name__ == "__main__":
    DOCUMENT.write_text(text())

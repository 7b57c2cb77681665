"""Writes the pages of docs/reference/ that are made of the sources, and prints which.

    .venv/bin/python -m tests.docs.reference

In: argument parsers, records, counters. Out: the files. tests/docs/test_reference.py fails while one is out
of date. Needs no root and no network.
"""

from __future__ import annotations

from tests.docs.reference.pages import PAGES, write

if __name__ == "__main__":
    for name in PAGES:
        print(f"docs/reference/{name}: {write(name)}")

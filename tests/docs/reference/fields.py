"""docs/reference/fields.md: each field of each JSON file that a run or a sweep writes.

In: the records that are written. Out: the page's text. Owns which files these are.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.docs.reference.definition import described, table
from workloads.experiment.manifest_records import Manifest
from workloads.experiment.records import ExperimentConfig
from workloads.measure import Measure
from workloads.sweep.ledger import Entry

_HEAD = """# Fields

Each field of each JSON file that a run or a sweep writes, in the file's order. [results.md](../results.md)
and [sweeps.md](../sweeps.md) say what the files are for. [columns.md](columns.md) has the tables.

`.venv/bin/python -m tests.docs.reference` makes this page from the records that are written; a test compares
the two.

## manifest.json
"""
_OTHERS = """## events.jsonl

A line for each thing that was hurt or healed on purpose, with the fields of
[faults](#manifestjson-faults) above.

## ledger.jsonl

Of a sweep: a line for each cell that has ended.
"""
_ELSEWHERE = (ExperimentConfig, Measure)  # whose fields are the options, and for analysis/ alone


def text() -> str:
    parts = [_HEAD, *table("field", described(Manifest)), "", *_nested("manifest.json", Manifest)]
    return "\n".join([*parts, _OTHERS, *table("field", described(Entry)), ""])


def _nested(file: str, record: type[Any]) -> Iterator[str]:
    """A section for each field that holds records, or several of them."""
    for name, hint in typing.get_type_hints(record).items():
        for kind in (hint, *typing.get_args(hint)):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in _ELSEWHERE:
                title = f"{file}: {name}"
                yield from (f"### {title}", "", *table("field", described(kind)), "")
                yield from _nested(title, kind)

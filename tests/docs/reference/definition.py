"""What a record says of its fields: `name: Annotated[type, unit, meaning]`.

In: a record. Out: rows of a table of Markdown. Owns nothing. A field without unit and meaning is an error: no
column and no counter is left out of a page by accident.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

_ROOT = Path(__file__).resolve().parents[3]
_PAGE = re.compile(r"docs/(reference/)?([\w-]+\.md)(#[\w-]+)?")


class Described(NamedTuple):
    name: str
    unit: str
    meaning: str


class NotDescribed(TypeError):
    """A field without a meaning; str() says what to write."""


def described(record: type[Any], without: Iterable[str] = ()) -> list[Described]:
    """The fields of `record`, a msgspec.Struct or a dataclass, in order. Raises NotDescribed."""
    hints = typing.get_type_hints(record, include_extras=True) | _in_source(record)
    if issubclass(record, msgspec.Struct):
        names = [(field.name, field.encode_name) for field in msgspec.structs.fields(record)]
    else:
        names = [(field.name, field.name) for field in dataclasses.fields(record)]
    left_out = set(without)
    return [_described(record, name, shown, hints[name]) for name, shown in names if name not in left_out]


def _in_source(record: type[Any]) -> dict[str, Any]:
    """The annotations of its own fields, read from its file: a compiled class keeps of Annotated the type
    alone."""
    names = vars(sys.modules[record.__module__])
    source = (_ROOT / record.__module__.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    (found,) = (
        each
        for each in ast.walk(ast.parse(source))
        if isinstance(each, ast.ClassDef) and each.name == record.__name__
    )
    fields = [each for each in found.body if isinstance(each, ast.AnnAssign)]
    return {ast.unparse(each.target): eval(ast.unparse(each.annotation), names) for each in fields}


def _described(record: type[Any], name: str, shown: str, hint: Any) -> Described:
    match getattr(hint, "__metadata__", ()):
        case (str(unit), str(meaning)) if meaning:
            return Described(shown, unit, meaning)
    raise NotDescribed(
        f"{record.__module__}.{record.__name__}.{name} has no unit and meaning; "
        "write `name: Annotated[type, unit, meaning]`"
    )


def table(kind: str, rows: Iterable[Described]) -> list[str]:
    """Lines of Markdown, `kind` above the names."""
    head = [f"| {kind} | unit | meaning |", "|---|---|---|"]
    return head + [f"| `{each.name}` | {each.unit} | {linked(each.meaning)} |" for each in rows]


def linked(text: str) -> str:
    """`text` as a cell of a page in docs/reference/: the name of a page is a link."""
    return _PAGE.sub(_link, text.replace("|", "\\|").replace("<", "&lt;"))


def _link(found: re.Match[str]) -> str:
    beside, page, place = found.groups()
    return f"[{page}]({'' if beside else '../'}{page}{place or ''})"

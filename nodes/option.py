"""What a command line says of a field of a record: beside the field, so that an option is written once.

In: records whose fields are annotated `Annotated[type, Option(...)]`. Out: the declared options, which
`run.py` and `python -m nodes.endpoint` make their command lines of. Owns nothing. msgspec ignores the annotation.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Option:
    """`flag`: without dashes, "" for the field's name with dashes in it. `parse` turns the text into the value
    and raises ValueError, one sentence, for what cannot be. `default`: what the help says instead of the
    field's default. `least` and `most` bound a number."""

    help: str
    flag: str = ""
    parse: Callable[[str], Any] | None = None
    metavar: str = ""
    default: str | None = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """An option as declared: its field's name, type (without the annotation) and default."""

    field: str
    type: Any
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        return "--" + (self.option.flag or self.field.replace("_", "-"))


def declared(record: type[msgspec.Struct]) -> Iterator[Declared]:
    """The options of `record`, in the order of its fields; fields without an Option are left out."""
    hints = typing.get_type_hints(record, include_extras=True)
    for field in msgspec.structs.fields(record):
        hint = hints[field.name]
        for extra in getattr(hint, "__metadata__", ()):
            if isinstance(extra, Option):
                yield Declared(field.name, hint.__origin__, field.default, extra)

"""What a command line says of a field of a record: beside the field, so that an option is written once.

In: records whose fields are annotated `Annotated[type, Option(...)]`. Out: the declared options, of
which `run.py` and `python -m nodes.endpoint` make their command lines. Owns nothing. msgspec ignores the
annotation.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Option:
    """`flag`: without dashes; "" stands for the field's name.

    `parse` turns the text into the value; it raises ValueError with one sentence for an impossible text.
    `default`: what the help says instead of the field's default. `min` and `max` bound a number.
    """

    help: str
    flag: str = ""
    parse: Callable[[str], Any] | None = None
    metavar: str = ""
    default: str | None = None
    choices: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None


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

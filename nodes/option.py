"""What a command line says of a field of a record: beside the field, so that an option is written once.

In: records whose fields are annotated `Annotated[type, Option(...)]`, and texts or values for them. Out: the
declared options, of which `run.py` and `python -m nodes.endpoint` make their command lines; checked values.
Owns nothing. msgspec ignores the annotation.

An option's life: it is declared beside its field, `declared` finds it, a command line offers it under
`Declared.flags`, `Declared.parse` turns the text into the field's value, `Declared.check` compares the value
with bounds and choices, and the code that uses the record reads the field. A record that came as JSON is
checked in the same way by `check_record`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec


class OptionError(ValueError):
    """A value that an option cannot have; str() is one sentence with the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Option:
    """`help`: one sentence, behind which a command line tells choices, bounds and default.

    `flag`: without dashes; "" stands for the field's name. `alias`: a second name, likewise.
    `parse` turns the text into the value; it raises ValueError with one sentence for an impossible text. For
    a field whose value is the text itself it returns the text.
    `metavar`: what stands for the value in help. `default`: what help says instead of the field's default.
    `choices`: all the values there are. `min` and `max` bound a number. `many`: the option may be given
    several times, and the field is a tuple of the texts.
    """

    help: str
    flag: str = ""
    alias: str = ""
    parse: Callable[[str], Any] | None = None
    metavar: str = ""
    default: str | None = None
    choices: tuple[Any, ...] = ()
    min: float | None = None
    max: float | None = None
    many: bool = False


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

    @property
    def flags(self) -> tuple[str, ...]:
        """Every name that the option has, with its dashes."""
        return (self.flag, f"--{self.option.alias}") if self.option.alias else (self.flag,)

    @property
    def repeats(self) -> bool:
        """Whether the option may be given several times; the field is then a tuple of all its values."""
        return typing.get_origin(self.type) is tuple

    @property
    def kind(self) -> Any:
        """The type of a value that is given: `int` of `int | None` and of `tuple[int, ...]`."""
        if self.repeats:
            return typing.get_args(self.type)[0]
        if isinstance(self.type, types.UnionType):
            return next(each for each in typing.get_args(self.type) if each is not types.NoneType)
        return self.type

    @property
    def bounds(self) -> str:
        """`1 to 64`, `0 or more`, or "" without bounds."""
        smallest, largest = self.option.min, self.option.max
        if smallest is None:
            return "" if largest is None else f"{_plain(largest)} or less"
        above = "or more" if largest is None else f"to {_plain(largest)}"
        return f"{_plain(smallest)} {above}"

    def parse(self, text: str) -> Any:
        """The value that `text` stands for, not yet checked. Raises ValueError."""
        if self.option.parse is not None:
            return self.option.parse(text)
        if self.kind not in (int, float):
            return text
        try:
            return self.kind(text)
        except ValueError:
            remedy = f"choose {self.bounds}" if self.bounds else "write it in decimal digits"
            raise OptionError(f"{text!r} is no number; {remedy}") from None

    def check(self, value: Any, text: str = "") -> None:
        """Raise OptionError unless `value` is among the choices and within the bounds. `text`: what was
        written for it, if it is not the value itself."""
        option = self.option
        if value is None or value == self.default:
            return
        if option.choices and value not in option.choices:
            raise OptionError(f"{value!r} is no choice; choose from {', '.join(map(str, option.choices))}")
        if not self._within_bounds(value):
            shown = _plain(value)
            meant = f" ({self.field} {shown})" if text not in ("", shown) and option.parse else ""
            raise OptionError(f"{text or shown} is out of range{meant}; choose {self.bounds}")

    def _within_bounds(self, value: Any) -> bool:
        smallest, largest = self.option.min, self.option.max  # not a number is within no bounds
        return (smallest is None or value >= smallest) and (largest is None or value <= largest)


def declared(record: type[msgspec.Struct]) -> Iterator[Declared]:
    """The options of `record`: its own in the order of its fields, then those it inherits. Fields without an
    Option are left out."""
    hints = typing.get_type_hints(record, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(record)}
    names = [name for each in record.__mro__ for name in inspect.get_annotations(each)]
    for name in dict.fromkeys(names):
        for extra in getattr(hints[name], "__metadata__", ()):
            if isinstance(extra, Option):
                yield Declared(name, hints[name].__origin__, defaults[name], extra)


def check_record(record: msgspec.Struct) -> None:
    """Check every declared option of a record that was made of values and not of texts, as JSON is. Raises
    OptionError, which names the field."""
    for each in declared(type(record)):
        value = getattr(record, each.field)
        try:
            for one in value if each.repeats else (value,):
                if isinstance(one, str) and one != each.default and each.option.parse is not None:
                    each.option.parse(one)
                each.check(one)
        except ValueError as reason:
            raise OptionError(f"{each.field}: {reason}") from None


def _plain(number: float) -> str:
    """Without an exponent or a needless fraction."""
    return str(int(number)) if isinstance(number, int) or number.is_integer() else str(number)

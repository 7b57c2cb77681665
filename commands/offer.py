"""Command lines made of the options that records declare: each option is written once, beside its field.

In: records whose fields carry a nodes.option.Option. Out: a function with a flat signature that typer reads,
and, when it is called, the options that were given. Owns nothing.

    @offers(NetworkConfig, Place)
    def command(context: typer.Context, given: Given) -> int:
        config = given.record(NetworkConfig)

Several records may be offered at once. An option that two of them declare alike is offered once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_origin

import msgspec
import typer

from commands import option_groups
from commands.usage import UsageError
from nodes.option import Declared, declared
from nodes.quantity import parse_duration, parse_rate, parse_size

_ARGUMENT = "argument"
# What stands for a value in help, by what reads it.
_METAVARS: dict[Any, str] = {parse_size: "SIZE", parse_rate: "B/S", parse_duration: "TIME"}
_UNITS = (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10))
_Record = TypeVar("_Record", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Given:
    """The values that were given on the command line, by flag. `argument`: the word without a flag."""

    values: Mapping[str, Any]
    argument: Any = None

    def fields(self, record: type[msgspec.Struct]) -> dict[str, Any]:
        """The given values of `record`'s options, by field."""
        return {each.field: self.values[each.flag] for each in declared(record) if each.flag in self.values}

    def record(self, record: type[_Record], **decided: Any) -> _Record:
        """A record of the given values, of its defaults, and of what the command has decided itself."""
        return record(**{**self.fields(record), **decided})

    def check_owner(self, chosen: str, records: Mapping[str, type[msgspec.Struct]]) -> None:
        """`records`: options by what they belong to, as a workload's name. Raises UsageError when an option
        was given that belongs to another than `chosen`."""
        own = {each.flag for each in declared(records[chosen])} if chosen in records else set()
        for owner, record in records.items():
            for each in declared(record):
                if each.flag in self.values and each.flag not in own:
                    raise UsageError(
                        f"{each.flag} does not go with {chosen}: it is an option of {owner}; leave it out"
                    )


Command = Callable[[typer.Context, Given], int | None]


def offers(
    *records: type[msgspec.Struct],
    argument: Any = None,
    without: type[msgspec.Struct] | None = None,
    grouped: bool = False,
) -> Callable[[Command], Callable[..., int | None]]:
    """Decorates a command: typer offers every declared option of `records`, in their order, but those of
    `without`. `argument`: the type of a word without a flag, as typer annotates it. `grouped`: help shows
    the options in the groups and the order of commands.option_groups."""

    def decorate(command: Command) -> Callable[..., int | None]:
        left_out = {each.flag for each in declared(without)} if without is not None else set()
        found = [each for each in _declared_once(records) if each.flag not in left_out]
        if grouped:
            found.sort(key=lambda each: option_groups.place(each.flag))
        offered = {_parameter_name(each): each for each in found}

        def flat(context: typer.Context, **words: Any) -> int | None:
            given = _given(context, offered, words)
            return command(context, Given(given.values, words.get(_ARGUMENT)))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter("context", kind, annotation=typer.Context)]
        if argument is not None:
            parameters.append(inspect.Parameter(_ARGUMENT, kind, annotation=argument))
        parameters += [_parameter(name, each, grouped) for name, each in offered.items()]
        flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        flat.__annotations__ = {each.name: each.annotation for each in parameters}
        flat.__name__, flat.__doc__ = command.__name__, command.__doc__
        return flat

    return decorate


def _declared_once(records: Iterable[type[msgspec.Struct]]) -> Iterable[Declared]:
    found: dict[str, Declared] = {}
    for record in records:
        for each in declared(record):
            if found.setdefault(each.flag, each) != each:
                raise TypeError(f"{each.flag} of {record.__name__} is declared otherwise by another record")
    return found.values()


def _parameter_name(each: Declared) -> str:
    return each.flag.lstrip("-").replace("-", "_")


def _parameter(name: str, each: Declared, grouped: bool) -> inspect.Parameter:
    """What typer reads. It converts and bounds plain numbers itself, and tells their range and default, and
    the choices of a Literal."""
    option = each.option
    told = option.help
    if option.choices and option.parse is None and get_origin(each.kind) is not Literal:
        told = f"{told.removesuffix('.')}: {', '.join(map(str, option.choices))}."
    default = each.default
    if option.parse is not None or option.default is not None:
        shown = _default(each) if option.default is None else option.default
        told += f"  [default: {shown}]" if shown is not None else ""
        default = None
    kind = list[str] if option.many else str if option.parse is not None else each.kind
    smallest, largest = (option.min, option.max) if option.parse is None else (None, None)
    shows = default not in (None, ())
    metavar = option.metavar or _METAVARS.get(option.parse)
    panel = option_groups.title(each.flag) if grouped else None
    typed = typer.Option(
        *each.flags, help=told, min=smallest, max=largest, show_default=shows, metavar=metavar,
        rich_help_panel=panel,
    )  # fmt: skip
    if kind is bool:
        default = False  # whether the flag was given
    elif default is None or option.many:
        kind, default = kind | None, None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, typed]
    )


def _default(each: Declared) -> Any:
    """As one would write it: 4M for 4194304 bytes."""
    value = each.default
    if each.option.parse is not parse_size or not value:
        return value
    return next((f"{value // unit}{name}" for name, unit in _UNITS if value % unit == 0), value)


def _time(seconds: float) -> str:
    """As one would write it: 1ms for 0.001."""
    return f"{seconds:g}s" if seconds >= 1 else f"{1e3 * seconds:g}ms"


def _given(context: typer.Context, offered: Mapping[str, Declared], words: Mapping[str, Any]) -> Given:
    values = {}
    for name, each in offered.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            values[each.flag] = _value(each, words[name])
    return Given(values)


def _value(each: Declared, word: Any) -> Any:
    """The field's value. Raises UsageError, which names the option, what was written, and the remedy."""
    option = each.option
    if each.kind is bool:
        return not each.default
    if option.many:
        return tuple(word)
    if option.choices and option.parse is None and word not in option.choices:
        known = ", ".join(map(str, option.choices))
        raise UsageError(f"there is no {each.flag.lstrip('-')} {word!r}; choose from {known}")
    if option.parse is None:
        return word
    try:
        value = each.parse(word)
        each.check(value, word)
    except ValueError as reason:
        if option.parse is parse_duration and option.min is not None and option.max is not None:
            between = f"from {_time(option.min)} to {_time(option.max)}"
            raise UsageError(
                f"{each.flag} {word} is no time {between}; write for example 20ms, or leave it out"
            ) from None
        where = each.flag if word in str(reason) else f"{each.flag} {word}"
        raise UsageError(f"{where}: {reason}") from None
    return value

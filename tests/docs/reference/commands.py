"""docs/reference/commands.md: each command and each of its options.

In: the parsers that the programs themselves use. Out: the page's text. Owns the order of the programs.
"""

from __future__ import annotations

import argparse
import importlib
import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import typer

from commands import dispatch
from commands.option_groups import sections
from nodes.client import ncdevmem_options, run_with
from nodes.endpoint import options as endpoint_options
from nodes.option import declared
from tests.docs.reference.definition import linked
from workloads.collective import COLLECTIVES
from workloads.pattern import PATTERNS
from workloads.registry import WORKLOADS

_HEAD = """# Commands

Each program, each command and each option, with its default and what it may be. An option is a word behind
`--`, a value follows it. Sizes are as 64K, 1M or 2G (powers of 1024), rates as 100Mbit or 2GB/s (powers of
1000), times as 50us, 1.5ms or 2s.

`.venv/bin/python -m tests.docs.reference` makes this page from the programs' own parsers; a test compares
the two.

`run.py` ends with status 0 when all went well, 1 when it did not, 2 when the options are wrong, 3 when a
number that had to be the network's is not (`--require-faithful`), 4 when a number is worse than it was
(`compare --threshold`), 130, 143 or 129 when Ctrl-C, SIGTERM or SIGHUP stopped it. What went wrong is one
sentence on standard error.
"""
_OF_WORKLOADS = (
    "Where only some workloads have an option, they stand left of it ([workloads.md](../workloads.md))."
)
_KINDS = {int: "integer", float: "number", str: "text"}
_DEFAULT = re.compile(r"\s*\[default: (.*)\]$", re.DOTALL)
_ARGPARSE = {
    "python -m nodes.endpoint": endpoint_options.command_line,
    "python -m nodes.client.run_with": run_with.command_line,
    "python -m nodes.client.ncdevmem": ncdevmem_options.command_line,
}


class Row(NamedTuple):
    """`names`: every name of an option, or an argument's."""

    names: tuple[str, ...]
    value: str
    default: str
    meaning: str

    @property
    def line(self) -> str:
        names = ", ".join(f"`{_escaped(name)}`" for name in self.names)
        return f"| {names} | {_escaped(self.value)} | {_escaped(self.default)} | {linked(self.meaning)} |"


def text() -> str:
    parts = [_HEAD, *_measuring_run()]
    for name in dispatch.COMMANDS:
        parts += _section(f"run.py {name}", _typer_command(name))
    for name, parser in _ARGPARSE.items():
        parts += _argparse_section(name, parser())
    return "\n".join(parts)


def _typer_command(name: str) -> Any:
    module = importlib.import_module(f"commands.{name}")
    group: Any = typer.main.get_command(dispatch.app_of(module))
    return group.commands[name]


def _measuring_run() -> Iterator[str]:
    """A table for each group of options that help shows."""
    run = typer.main.get_command(dispatch.app_of(importlib.import_module("commands.run")))
    yield from _heading("run.py", run)
    yield from (_OF_WORKLOADS, "")
    for title, members in sections(run.params).items():
        yield from (f"### {title}", "", *_table_of_group([_row(each) for each in members]))


def _table_of_group(rows: Sequence[Row]) -> Iterator[str]:
    """With a column for the workloads if only some have an option of the group."""
    of = {row.names: _workloads(row.names[0]) for row in rows}
    if not any(of.values()):
        yield from _table(rows)
        return
    yield from ("| workloads | option | value | default | meaning |", "|---|---|---|---|---|")
    yield from (f"| {', '.join(of[row.names]) or 'all'} {row.line}" for row in rows)
    yield ""


def _workloads(flag: str) -> list[str]:
    """Those that have the option; none for an option of every run."""
    own = {name: {each.flag for each in declared(kind.options)} for name, kind in WORKLOADS.items()}
    return grouped(name for name, flags in own.items() if flag in flags)


def grouped(workloads: Iterable[str]) -> list[str]:
    """All collectives, or all patterns, by one word; also if one is missing."""
    names = list(workloads)
    for group, members in (("collectives", COLLECTIVES), ("patterns", PATTERNS)):
        all_of = [each.name for each in members]
        missing = [name for name in all_of if name not in names]
        if len(missing) <= 1 < len(all_of):
            word = " but ".join([group, *missing])
            names = [word, *(name for name in names if name not in all_of)]
    return names


def _section(name: str, command: Any) -> Iterator[str]:
    yield from _heading(name, command)
    groups = sections(command.params)
    for title, members in groups.items():
        yield from (f"### {title} of {name}", "") if len(groups) > 1 else ()
        yield from _table(map(_row, members))


def _heading(name: str, command: Any) -> Iterator[str]:
    yield from (f"## {name}", "")
    yield from ("\n\n".join(" ".join(each.split()) for each in command.help.split("\n\n")), "")


def _table(rows: Iterable[Row]) -> Iterator[str]:
    yield from ("| option | value | default | meaning |", "|---|---|---|---|")
    yield from (*(row.line for row in rows), "")


def _row(parameter: Any) -> Row:
    """Of an option or an argument as typer has them."""
    told = " ".join((parameter.help or "").split())
    found = _DEFAULT.search(told)
    default = found[1] if found else _shown_default(parameter)
    is_argument = parameter.param_type_name == "argument"
    names = (parameter.metavar or parameter.name.upper(),) if is_argument else tuple(parameter.opts)
    return Row(names, _value(parameter), default, _DEFAULT.sub("", told))


def _shown_default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if getattr(parameter, "is_flag", False):
        return "off"
    shown = parameter.show_default and parameter.default not in (None, (), [], "")
    return str(parameter.default) if shown else ""


def _value(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return ""
    kind = parameter.type_descriptor.annotation
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(map(str, typing.get_args(kind)))
    if typing.get_origin(kind) is list:
        kind = typing.get_args(kind)[0]
    is_option = parameter.param_type_name == "option"
    word = (is_option and parameter.metavar) or _KINDS.get(kind, "file")
    return " ".join(filter(None, (word, _bounds(parameter.min, parameter.max))))


def _bounds(smallest: float | None, largest: float | None) -> str:
    if smallest is None:
        return "" if largest is None else f"up to {_plain(largest)}"
    open_ended = largest is None or largest > 1 << 53
    return f"{_plain(smallest)} or more" if open_ended else f"{_plain(smallest)} to {_plain(largest or 0)}"


def _plain(number: float) -> str:
    """Without an exponent or a needless fraction."""
    return str(int(number)) if float(number).is_integer() else f"{number:.6f}".rstrip("0")


def _argparse_section(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from (f"## {name}", "", " ".join((parser.description or "").split()), "")
    actions = [each for each in parser._actions if each.dest != "help"]  # there is no public list
    yield from _table(map(_action_row, actions))


def _action_row(action: argparse.Action) -> Row:
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    names = tuple(action.option_strings) or (str(action.metavar),)
    meaning, _, default = (action.help or "").partition(" Default: ")
    if action.choices:
        value = ", ".join(map(str, action.choices))
    return Row(names, value, default.removesuffix("."), " ".join(meaning.replace("%%", "%").split()))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")

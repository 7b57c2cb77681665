"""The command line of run.py: which command the words name, and how it ends.

In: sys.argv. Out: the command's text on stdout, one sentence on stderr if it ended badly, an exit status: 0
all went well, 1 it did not, 2 the options are wrong, 3 a number that had to be the network's is not
(--require-faithful), 4 a number is worse than it was (compare --threshold), 130, 143 or 129 stopped by
Ctrl-C, SIGTERM or SIGHUP.
Owns nothing.

A command is a module of this package with three names: `command`, whose signature typer reads,
`CONTEXT_SETTINGS` for typer, and `FAILURES`, the exceptions whose text is a sentence for the user (an
OSError's always is). Without a command's name the words belong to a measuring run, `commands.run`.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from commands.option_groups import GroupedCommand, GroupedRun
from commands.rootless import become_root
from commands.stop import Interrupted
from commands.usage import UsageError
from nodes.option import OptionError
from nodes.standard_error import standard_error

RUN = "run"
_ANY_WORDS = {"ignore_unknown_options": True, "allow_extra_args": True}
COMMANDS = (
    "list", "doctor", "clean", "up", "down", "respawn", "exec", "ethtool", "netdev", "route", "ss",
    "watch", "validate", "graph", "trace", "sweep", "report", "compare", "project",
    "reproduce", "crosscheck",
)  # fmt: skip

_EXPECTED = {"int_parsing": "integer", "float_parsing": "number"}  # by pydantic's type of an error


def program() -> int:
    """`main` of a process of its own. What its standard error does not take is lost and changes no status."""
    sys.stderr = standard_error()
    words = sys.argv[1:]
    become_root(words, _command(words) in (RUN, "up"))
    return main()


def main() -> int:
    """Run the command that sys.argv names; returns the exit status."""
    # Only the command that is named: ray, pandas and matplotlib take seconds, which `ethtool` does without.
    module = importlib.import_module(f"commands.{_command(sys.argv[1:])}")
    failures: tuple[type[BaseException], ...] = (OSError, *module.FAILURES)
    try:
        return int(app_of(module)(standalone_mode=False) or 0)
    except typer.TyperException as wrong:
        _say(_without_jargon(wrong))
        return 2
    except (UsageError, OptionError) as wrong:
        _say(str(wrong))
        return 2
    except Interrupted as stopped:
        _say(str(stopped))
        return stopped.status
    except failures as failure:
        _say(_sentence(failure))
        return 1


def _command(words: list[str]) -> str:
    return words[0] if words and words[0] in COMMANDS else RUN


def app_of(module: ModuleType) -> typer.Typer:
    """The command line of a command's module."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_nothing)  # without a callback typer would take a single command for the whole
    name = module.__name__.rpartition(".")[2]
    if name != RUN:
        app.command(name, cls=GroupedCommand, context_settings=module.CONTEXT_SETTINGS)(module.command)
        return app
    app.callback(cls=GroupedRun, invoke_without_command=True)(module.command)
    for other in COMMANDS:
        app.command(other, help=_told(other), context_settings=_ANY_WORDS)(_nothing)
    return app


def _told(name: str) -> str:
    """What help tells of a command beside others': its docstring, read from the source without an import."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    functions = [each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef)]
    return next(ast.get_docstring(each) or "" for each in functions if each.name == "command")


def _nothing() -> None:
    """Before a command there is nothing to do."""


def _without_jargon(wrong: typer.TyperException) -> str:
    """typer's sentence; where pydantic found the value wrong, that value, and not pydantic's own words."""
    from pydantic import ValidationError  # typer looks at values by it; no other command line needs it

    sentence, cause = wrong.format_message(), wrong.__cause__
    if not isinstance(cause, ValidationError):
        return _with_remedy(sentence)
    (found, *_) = cause.errors()
    if expected := _EXPECTED.get(found["type"]):
        return sentence.replace(found["msg"], f"{found['input']!r} is no {expected}")
    return sentence.replace("Value error, ", "")


def _with_remedy(sentence: str) -> str:
    """Where help is, behind a sentence of typer's that has no remedy."""
    bare = ("Missing argument", "No such command", "No such option", "Got unexpected extra")
    if not sentence.startswith(bare) or "Did you mean" in sentence or "Possible options" in sentence:
        return sentence
    command = _command(sys.argv[1:])
    program = "run.py" if command == RUN else f"run.py {command}"
    return f"{sentence.removesuffix('.')}; `{program} --help` lists what there is"


def _say(sentence: str) -> None:
    print(f"run.py: {' '.join(sentence.split())}", file=sys.stderr)


def _sentence(failure: Any) -> str:
    """Without Python's [Errno 2] in front."""
    if not isinstance(failure, OSError) or failure.strerror is None:
        return str(failure)
    return f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror

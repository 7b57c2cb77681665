"""Help shows the options of a run in groups, each option in one of them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

import pytest
import typer

from commands import dispatch
from commands.option_groups import GROUPS
from tests.commands.test_command_line import Main
from tests.commands.test_command_line import main as main
from tests.docs import pages

_SECTION = re.compile(r"^(\S.*):\n((?:(?:  .*)?\n)+)", re.MULTILINE)
_OPTION = re.compile(r"^  (--[a-z][\w-]*)", re.MULTILINE)


def sections(help_text: str) -> dict[str, list[str]]:
    """The options that stand in each section of a command's help."""
    return {title: _OPTION.findall(body) for title, body in _SECTION.findall(help_text + "\n")}


def grouped(flags: set[str]) -> Iterator[tuple[str, list[str]]]:
    for title, members in GROUPS.items():
        shown = [flag for flag in members if flag in flags]
        if shown:
            yield title, shown


def offered(name: str) -> set[str]:
    command = typer.main.get_command(dispatch.app_of(importlib.import_module(f"commands.{name}")))
    parameters = command.params if name == "run" else command.commands[name].params  # type: ignore[attr-defined]
    return {each.opts[0] for each in parameters}


def test_every_option_of_a_run_and_of_up_is_in_one_group() -> None:
    flags = [flag for members in GROUPS.values() for flag in members]
    assert len(flags) == len(set(flags))
    assert set(flags) == offered("run") | offered("up")


@pytest.mark.parametrize("name", ["run", "up"])
def test_help_has_a_section_for_each_group_in_their_order(name: str, main: Main) -> None:
    status, told, _ = main(*([name] if name != "run" else []), "--help")
    found = sections(told)
    found.pop("Commands", None)
    assert status == 0
    assert list(found.items()) == [*grouped(offered(name)), ("Options", ["--help"])]


def test_a_command_without_groups_has_its_arguments_and_options(main: Main) -> None:
    _, told, _ = main("compare", "--help")
    assert list(sections(told)) == ["Arguments", "Options"]
    assert sections(told)["Options"][0] == "--threshold"


@pytest.mark.parametrize("title", GROUPS)
def test_the_page_of_the_commands_has_a_table_for_each_group(title: str) -> None:
    found = offered("run")
    behind = pages.text("docs/reference/commands.md").split(f"\n### {title}\n", 1)[1]
    rows = behind.partition("\n#")[0].splitlines()
    first = [re.search(r"`(--[\w-]+)`", row) for row in rows if row.startswith("|")]
    assert [each[1] for each in first if each] == [flag for flag in GROUPS[title] if flag in found]


def test_help_tells_choices_once_and_sizes_as_one_writes_them(main: Main) -> None:
    _, told, _ = main("--help")
    told = " ".join(told.split())
    assert "--clock <machine|simulated> Whose seconds: this machine's, or simulated ones (docs/" in told
    assert "machine, simulated" not in told
    assert "--place <both|out|in> Out of place, in place, or one after the other. [default" in told
    assert "--op <str> Reduction (collectives): sum, prod, min, max, avg. [default: sum]" in told
    assert "[default: 4M]" in told.partition("--chunk SIZE ")[2].partition(" --")[0]

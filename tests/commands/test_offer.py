"""Command lines made of declared options: each appears wherever its record is offered, and arrives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import msgspec
import pytest
import typer

from commands import run, up
from commands.offer import Given, offers
from commands.usage import UsageError
from nodes.host_config import HostOptions
from nodes.option import Option, declared
from nodes.quantity import parse_size
from workloads.experiment.records import ExperimentConfig, NetworkConfig


class Common(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # decided by the command
    size_bytes: Annotated[
        int, Option("A size.", flag="size", parse=parse_size, default="64K", max=1 << 20)
    ] = 65536
    kind: Annotated[str, Option("A kind.", choices=("plain", "rich"))] = "plain"
    label: Annotated[tuple[str, ...], Option("A label.", many=True)] = ()
    checked: Annotated[bool, Option("Leave checks out.", flag="unchecked")] = True


class OfRing(msgspec.Struct, frozen=True, kw_only=True):
    steps: Annotated[int, Option("Steps.", min=1)] = 3
    seed: Annotated[int, Option("Seed.")] = 1


class OfStream(msgspec.Struct, frozen=True, kw_only=True):
    seconds: Annotated[float, Option("Seconds.", min=0.1)] = 5.0
    seed: Annotated[int, Option("Seed.")] = 1


OWNERS: dict[str, type[msgspec.Struct]] = {"ring": OfRing, "stream": OfStream}


def given(*words: str) -> Given:
    """What a command gets that offers Common, OfRing and OfStream."""
    found: list[Given] = []

    @offers(Common, OfRing, OfStream)
    def command(_context: typer.Context, given: Given) -> None:
        """A command."""
        found.append(given)

    app = typer.Typer(add_completion=False)
    app.command()(command)
    app(list(words), standalone_mode=False)
    return found[0]


def test_a_word_without_a_flag_arrives_and_options_left_out_are_not_there() -> None:
    found: list[Given] = []

    @offers(OfRing, argument=Annotated[str, typer.Argument(metavar="DIR")], without=OfStream)
    def command(_context: typer.Context, given: Given) -> None:
        """A command."""
        found.append(given)

    app = typer.Typer(add_completion=False)
    app.command()(command)
    app(["here", "--steps", "4"], standalone_mode=False)
    assert (found[0].argument, found[0].record(OfRing)) == ("here", OfRing(steps=4))
    for words in ([], ["here", "--seed", "1"]):
        with pytest.raises(typer.TyperException):
            app(words, standalone_mode=False)


def test_an_option_that_may_be_repeated_is_a_tuple() -> None:
    assert given("--label", "a", "--label", "b,c").record(Common, name="n").label == ("a", "b,c")
    assert given().record(Common, name="n").label == ()


def test_records_are_made_of_what_was_given_and_of_their_defaults() -> None:
    some = given("--size", "2K", "--unchecked", "--steps", "5")
    assert some.record(Common, name="x") == Common(name="x", size_bytes=2048, checked=False)
    assert some.record(OfRing) == OfRing(steps=5)
    assert some.fields(Common) == {"size_bytes": 2048, "checked": False}
    assert given().record(Common, name="y") == Common(name="y")


def test_an_option_of_two_records_is_offered_once_and_goes_to_both() -> None:
    some = given("--seed", "7")
    assert (some.record(OfRing).seed, some.record(OfStream).seed) == (7, 7)


def test_an_option_that_two_records_declare_differently_is_a_bug() -> None:
    class Other(msgspec.Struct):
        seed: Annotated[int, Option("Another seed.")] = 2

    with pytest.raises(TypeError, match="--seed of Other is declared otherwise"):
        offers(OfRing, Other)(lambda _context, _given: None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--size", "2X"], "--size: size '2X' is not understood"),
        (["--size", "2M"], r"--size: 2M is out of range \(size_bytes 2097152\); choose 1048576 or less"),
        (["--kind", "poor"], "there is no kind 'poor'; choose from plain, rich"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_option_and_remedy(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        given(*words)


def test_an_option_of_what_was_not_chosen_is_refused() -> None:
    given("--steps", "5", "--seed", "2").check_owner("ring", OWNERS)
    sentence = "--steps does not go with stream: it is an option of ring; leave it out"
    with pytest.raises(UsageError, match=f"^{sentence}$"):
        given("--steps", "5").check_owner("stream", OWNERS)
    with pytest.raises(UsageError, match="--seconds does not go with barrier"):
        given("--seconds", "5").check_owner("barrier", OWNERS)


# --- the command lines that there are


def offered(command: Callable[..., Any]) -> dict[str, str]:
    """Every flag of a command, with its help."""
    found = {}
    for parameter in inspect.signature(command).parameters.values():
        for info in get_args(parameter.annotation)[1:]:
            found.update(dict.fromkeys((info.default, *info.param_decls), info.help))
    return found


@pytest.mark.parametrize(
    ("command", "record"),
    [(up.command, NetworkConfig), (run.command, ExperimentConfig)],
    ids=["up", "run"],
)
def test_every_declared_option_of_a_record_is_offered_with_its_help(
    command: Callable[..., Any], record: type[msgspec.Struct]
) -> None:
    flags = offered(command)
    for each in declared(record):
        for flag in each.flags:
            assert flags[flag].startswith(each.option.help.removesuffix("."))
    assert {each.flag for each in declared(HostOptions)} < {each.flag for each in declared(record)}


def test_text_of_paths_and_sizes_is_read_where_it_is_declared() -> None:
    options = {each.field: each for each in declared(ExperimentConfig)}
    assert options["paths"].parse("devmem, bounce,devmem") == ("devmem", "bounce")
    assert options["sizes_bytes"].parse("8,1M:4M:x4") == (8, 1 << 20, 4 << 20)

"""The endpoint's command line: `argparse` made of the options that nodes/host_config.py declares.

In: words, or a HostConfig as JSON. Out: a checked HostConfig, or one sentence on stderr and exit status 2.
Owns nothing; what only the machine can tell (an interface, an address in use) is `interface`'s and the
wire's. Not typer, whose import takes 0.3 s, as long as the rest of an endpoint's start.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from nodes.host_config import HostConfig, NicConfig, check_nic_model, check_routes, decode
from nodes.option import Declared, OptionError, declared

_CONFIG = "--config"
_NIC_WORDS = "nic_words"  # where the namespace keeps the options of NICs, in the order given


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        sentence = " ".join(message.removeprefix("argument ").split())
        self.exit(2, f"endpoint: {sentence}\n")


class _NicOption(argparse.Action):
    """Keeps an option of a NIC with its place among the others: which NIC it belongs to depends on it."""

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, _name: Any = None
    ) -> None:
        words = [*getattr(namespace, _NIC_WORDS, ()), (self.dest, value)]
        setattr(namespace, _NIC_WORDS, words)


def parse(argv: Sequence[str] | None) -> HostConfig:
    """The host that the words describe. Exits with status 2 when a value cannot be."""
    parser = command_line()
    given = vars(parser.parse_args(argv))
    json = given.pop("config", None)
    try:
        return _host(given) if json is None else _described(json, given)
    except OptionError as reason:
        parser.error(str(reason))


def _described(json: str, others: dict[str, Any]) -> HostConfig:
    if others:
        raise OptionError(f"{_CONFIG} describes the whole host; leave the other options out")
    try:
        return decode(_contents(json))
    except OptionError as reason:
        raise OptionError(f"{_CONFIG}: {reason}") from None


def _host(given: dict[str, Any]) -> HostConfig:
    nic_words = given.pop(_NIC_WORDS, [])
    found = {field for field, _ in nic_words} | given.keys()
    missing = [f"--{field}" for field in ("interface", "address", "channel") if field not in found]
    if missing:
        raise OptionError(f"the following arguments are required: {', '.join(missing)}")
    config = HostConfig(nics=_nics(nic_words), **{name: _frozen(value) for name, value in given.items()})
    check_nic_model(config)
    check_routes(config)
    return config


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _nics(words: Sequence[tuple[str, str]]) -> tuple[NicConfig, ...]:
    """Each --interface begins a NIC, to which the options behind it belong. With one --interface there is
    nothing to tell apart, and options may stand before it."""
    if sum(field == "interface" for field, _ in words) == 1:
        return (NicConfig(**dict(words)),)
    nics: list[dict[str, str]] = []
    for field, value in words:
        if field == "interface":
            nics.append({})
        elif not nics:
            raise OptionError(f"--{field} {value} stands before every --interface; write it behind its own")
        nics[-1][field] = value
    for nic in nics:
        if "address" not in nic:
            raise OptionError(f"--interface {nic['interface']} has no --address; give one behind it")
    return tuple(NicConfig(**nic) for nic in nics)


def _contents(text: str) -> str:
    """The JSON itself, or that of stdin or of a file."""
    if text.lstrip().startswith("{"):
        return text
    if text == "-":
        return sys.stdin.read()
    try:
        return Path(text).read_text()
    except (OSError, ValueError) as reason:
        why = getattr(reason, "strerror", None) or reason
        raise OptionError(f"{text!r} cannot be read ({why}); give JSON, a file or -") from None


# --- the parser


def command_line() -> argparse.ArgumentParser:
    """What docs/reference/commands.md is made of, too."""
    parser = _Parser(
        prog=".venv/bin/python -m nodes.endpoint",
        description="A host's network stack with packet-splitting NICs, each on one interface and with an "
        "address of its own. Applications reach it through --channel with nodes.client. SIGTERM or SIGINT "
        "stop it.",
        epilog="example: ip netns exec h1 .venv/bin/python -m nodes.endpoint --interface veth1 "
        "--address 10.0.1.1/16 --mac 02:00:00:00:01:01 --channel /tmp/h1.sock",
        argument_default=argparse.SUPPRESS,  # what is not given is the record's business
    )
    nic = parser.add_argument_group("a NIC", "each --interface begins one, to which those behind it belong")
    for each in declared(NicConfig):
        _add(nic, each, action=_NicOption)
    host = parser.add_argument_group("the host")
    for each in declared(HostConfig):
        _add(host, each)
    config = "The whole host as JSON (nodes.host_config.HostConfig), a file that holds it, or - for stdin."
    parser.add_argument(_CONFIG, metavar="JSON", help=config)
    return parser


def _add(group: Any, each: Declared, **more: Any) -> None:
    option = each.option
    told = option.help
    if each.kind is bool:  # the flag stands for what is not the default
        more |= {"action": "store_const", "const": not each.default}
        group.add_argument(*each.flags, dest=each.field, help=told, **more)
        return
    if each.bounds and option.parse is None:
        told += f" {each.bounds}."
    told += _default(each)
    more["choices"] = option.choices if option.parse is None and option.choices else None
    metavar = option.metavar or (None if more["choices"] else each.flag.lstrip("-").upper())
    more |= {"type": _converter(each), "metavar": metavar, "help": told.replace("%", "%%")}
    if each.repeats:
        more["action"] = "append"
    group.add_argument(*each.flags, dest=each.field, **more)


def _default(each: Declared) -> str:
    if each.default is msgspec.NODEFAULT:
        return " Required."
    if each.repeats:
        return " May be given several times."
    default = each.option.default or ("none" if each.default is None else each.default)
    return f" Default: {default}." if default != "" else ""


def _converter(each: Declared) -> Callable[[str], Any]:
    """Choices are left to argparse, which puts the option's name in front of every sentence."""

    def convert(text: str) -> Any:
        try:
            value = _plain_number(each, text)
            if value is None:
                value = each.parse(text)
            if not each.option.choices:
                each.check(value, text)
        except ValueError as reason:
            raise argparse.ArgumentTypeError(str(reason)) from None
        return value

    return convert


def _plain_number(each: Declared, text: str) -> float | None:
    """Where there are bounds, a number alone is understood in the field's own unit, as in JSON."""
    if each.bounds:
        try:
            return each.kind(text)  # type: ignore[no-any-return]
        except ValueError:
            pass
    return None

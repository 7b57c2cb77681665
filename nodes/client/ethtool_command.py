"""The options of the program ethtool, answered by a host's ethtool family: -l -L -g -G -k -K -n -N -x -X -S,
-i -c -a, none, and --json before -l -g -k -x.

In: a Host, and the command line behind the host's name. Out: the text that ethtool would print, or a refusal.
Owns nothing. The interface's name may follow the option, as in ethtool; without it the option is about the
host's first NIC. In a mask of -N the bits that are set are ignored, as in ethtool. Source: ethtool(8).
"""

from __future__ import annotations

import errno
import ipaddress
import json
from collections.abc import Callable
from typing import NamedTuple

from nodes.client import ethtool_json as as_json
from nodes.client import ethtool_show as show
from nodes.client.ethtool import Ethtool
from nodes.client.host import Host
from nodes.client.netdev import Attributes

_LONG = {
    "--show-channels": "-l", "--set-channels": "-L", "--show-ring": "-g", "--set-ring": "-G",
    "--show-features": "-k", "--show-offload": "-k", "--features": "-K", "--offload": "-K",
    "--show-nfc": "-n", "--show-ntuple": "-n", "-u": "-n", "--config-nfc": "-N", "--config-ntuple": "-N",
    "-U": "-N", "--show-rxfh-indir": "-x", "--show-rxfh": "-x", "--set-rxfh-indir": "-X", "--rxfh": "-X",
    "--statistics": "-S", "--driver": "-i", "--show-coalesce": "-c", "--show-pause": "-a",
}  # fmt: skip
_SPLIT = {"auto": "unknown", "on": "enabled", "off": "disabled"}
_ON = {"on": True, "off": False}
_NUMBERS = {"src-port": 0xFFFF, "dst-port": 0xFFFF, "l4proto": 0xFF}  # fields of a rule: all their bits

_EXCLUSIVE = (  # parameters of -X
    ("equal", "weight"), ("equal", "default"), ("weight", "default"), ("default", "context"),
    ("delete", "equal"), ("delete", "weight"), ("delete", "default"),
)  # fmt: skip


class EthtoolUsage(ValueError):
    """A command line that ethtool would not accept; one sentence that says what to write instead."""


class _Nic(NamedTuple):
    """The NIC that an option is about."""

    ifname: str
    ethtool: Ethtool


class _Words:
    """The rest of a command line, read from left to right. Methods raise EthtoolUsage; `what` names the word
    that is expected."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def __bool__(self) -> bool:
        return bool(self._words)

    def peek(self) -> str | None:
        return self._words[0] if self._words else None

    def word(self, what: str) -> str:
        if not self._words:
            raise EthtoolUsage(f"{what} is missing at the end; add it")
        return self._words.pop(0)

    def number(self, what: str) -> int:
        text = self.word(what)
        try:
            return int(text, 0)
        except ValueError:
            raise EthtoolUsage(f"{what} {text!r} is not a number; give one") from None

    def choice(self, what: str, choices: dict[str, object]) -> object:
        text = self.word(what)
        if text not in choices:
            raise EthtoolUsage(f"{what} {text!r} is none of {', '.join(choices)}; choose one")
        return choices[text]


def run(host: Host, argv: list[str]) -> str:
    """The text to print. Raises EthtoolUsage for a command line that is wrong, OSError for a refused
    request."""
    if not argv:
        raise EthtoolUsage(f"what to do is missing; give one of {' '.join(_ACTS)}")
    option, *rest = argv
    if option == "--json":
        return _json(host, rest)
    act = _ACTS.get(_LONG.get(option, option))
    if act is None and not option.startswith("-") and not rest:
        return show.settings(_named(host, option).ifname)
    if act is None:
        raise EthtoolUsage(f"option {option!r} is not known; choose from {' '.join(_ACTS)}")
    words = _Words(rest)
    text = act(_nic(host, words), words)
    if words:
        raise EthtoolUsage(f"{words.peek()!r} is one word too many after {option}; leave it out")
    return text


def _json(host: Host, argv: list[str]) -> str:
    """What ethtool --json prints: a list with an object for the NIC."""
    if not argv or _LONG.get(argv[0], argv[0]) not in _JSON:
        raise EthtoolUsage(f"--json goes with {', '.join(_JSON)}; give one of them behind it")
    words = _Words(argv[1:])
    nic = _nic(host, words)
    shown = _JSON[_LONG.get(argv[0], argv[0])](nic, words)
    if words:
        raise EthtoolUsage(f"{words.peek()!r} is one word too many after {argv[0]}; leave it out")
    return json.dumps([{"ifname": nic.ifname, **shown}], indent=4)


def _nic(host: Host, words: _Words) -> _Nic:
    """The NIC whose name is the next word, which is then read; the host's first NIC when it is another
    word."""
    name = words.peek()
    if name is not None and name != host.ifname:
        ifindex = host.ethtool.names().get(name)
        if ifindex is None:
            return _Nic(host.ifname, host.ethtool)
        words.word("the interface")
        return _Nic(name, host.ethtool.of(ifindex))
    if name is not None:
        words.word("the interface")
    return _Nic(host.ifname, host.ethtool)


def _named(host: Host, ifname: str) -> _Nic:
    """Raises OSError, ENODEV."""
    ifindex = host.ethtool.names().get(ifname)
    if ifindex is None:
        raise OSError(errno.ENODEV, f"there is no device {ifname!r}")
    return _Nic(ifname, host.ethtool.of(ifindex))


# --- what each option does


def _show_driver(_nic: _Nic, _: _Words) -> str:
    return show.driver()


def _not_supported(nic: _Nic, _: _Words) -> str:
    """What a driver without get_coalesce and get_pauseparam answers."""
    raise OSError(errno.EOPNOTSUPP, f"{nic.ifname} has no such parameters")


def _show_channels(nic: _Nic, _: _Words) -> str:
    return show.channels(nic.ifname, nic.ethtool.channels_get())


def _set_channels(nic: _Nic, words: _Words) -> str:
    names = {name: f"{name}-count" for name in ("rx", "tx", "other", "combined")}
    nic.ethtool.channels_set(_numbers(words, names))
    return ""


def _show_rings(nic: _Nic, _: _Words) -> str:
    return show.rings(nic.ifname, nic.ethtool.rings_get())


def _set_rings(nic: _Nic, words: _Words) -> str:
    wanted: Attributes = {}
    while words:
        name = words.word("a ring parameter")
        if name == "tcp-data-split":
            wanted[name] = words.choice(name, {**_SPLIT})
        elif name in ("rx", "tx", "rx-buf-len", "hds-thresh"):
            wanted[name] = words.number(name)
        else:
            known = "rx, tx, rx-buf-len, tcp-data-split, hds-thresh"
            raise EthtoolUsage(f"ring parameter {name!r} is not known; choose from {known}")
    nic.ethtool.rings_set(wanted)
    return ""


def _show_features(nic: _Nic, _: _Words) -> str:
    return show.features(nic.ifname, nic.ethtool.features_get())


def _set_features(nic: _Nic, words: _Words) -> str:
    wanted: dict[str, bool] = {}
    while words:
        name = words.word("a feature")
        kernels = [names for title, short, names in show.FEATURES if name in (title, short, *names)]
        if not kernels:
            known = ", ".join(title for title, _, _ in show.FEATURES)
            raise EthtoolUsage(f"feature {name!r} is not known; choose from {known}")
        wanted |= dict.fromkeys(kernels[0], bool(words.choice(name, {**_ON})))
    before = nic.ethtool.features_get()
    after = nic.ethtool.features_set(wanted)
    if before == after and any(on != (name in after["active"]) for name, on in wanted.items()):
        raise EthtoolUsage("Could not change any device features: those that are [fixed] stay; see -k")
    return ""


def _show_rules(nic: _Nic, words: _Words) -> str:
    if words.peek() == "rule":
        words.word("rule")
        return show.rule(nic.ethtool.do("ntuple-get", {"location": words.number("rule")}))
    return show.rules(nic.ethtool.rx_queue_count(), nic.ethtool.ntuple_get())


def _set_rules(nic: _Nic, words: _Words) -> str:
    verb = words.word("flow-type or delete")
    if verb == "delete":
        nic.ethtool.ntuple_delete({"location": words.number("rule")})
        return ""
    if verb != "flow-type":
        raise EthtoolUsage(f"-N takes flow-type or delete, not {verb!r}; begin with one of them")
    rule: Attributes = {"flow-type": words.choice("flow-type", {each: each for each in show.FLOW_TYPES})}
    while words:
        _rule_field(words, rule)
    if "queue" not in rule and "context" not in rule:
        rule["queue"] = 0
    return f"Added rule with ID {nic.ethtool.ntuple_insert(rule)['location']}"


def _rule_field(words: _Words, rule: Attributes) -> None:
    name = words.word("a field")
    if name in ("src-ip", "dst-ip"):
        rule[name] = words.word(name)
        if words.peek() == "m":
            words.word("m")
            rule[f"{name}-mask"] = _inverted(words.word("a mask"))
    elif name in _NUMBERS:
        rule[name] = words.number(name)
        if words.peek() == "m":
            words.word("m")
            rule[f"{name}-mask"] = _NUMBERS[name] ^ words.number("a mask")
    elif name in ("action", "queue"):
        rule["queue"] = words.number(name)
    elif name in ("context", "loc"):
        rule["location" if name == "loc" else name] = words.number(name)
    else:
        known = "src-ip, dst-ip, src-port, dst-port, l4proto, m, action, queue, context, loc"
        raise EthtoolUsage(f"field {name!r} is not known; choose from {known}")


def _inverted(mask: str) -> str:
    try:
        address = ipaddress.ip_address(mask)
    except ValueError:
        raise EthtoolUsage(f"mask {mask!r} is not an address; write it like one, 0.0.0.255") from None
    return str(type(address)(int(address) ^ (1 << address.max_prefixlen) - 1))


def _show_rss(nic: _Nic, words: _Words) -> str:
    return show.rss(nic.ifname, nic.ethtool.rx_queue_count(), nic.ethtool.rss_get(_context(words)))


def _context(words: _Words) -> Attributes:
    if words.peek() != "context":
        return {}
    words.word("context")
    return {"context": words.number("context")}


def _set_rss(nic: _Nic, words: _Words) -> str:
    given = _rss_words(words)
    _check_rss(given)
    context = given.get("context")
    if "delete" in given:
        nic.ethtool.rss_delete({"context": context})
        return ""
    wanted: Attributes = {name: given[name] for name in ("equal", "hkey") if name in given}
    if "default" in given:
        wanted["indir"] = []
    if "weight" in given or given.get("start"):
        size, equal = len(nic.ethtool.rss_get()["indir"]), int(wanted.pop("equal", 0))
        wanted["indir"] = _spread(size, given.get("start", 0), equal, given.get("weight", []))
    if context == "new":
        return f"New RSS context is {nic.ethtool.rss_create(wanted)['context']}"
    if context is not None:
        wanted["context"] = context
    nic.ethtool.rss_set(wanted)
    return ""


def _rss_words(words: _Words) -> Attributes:
    """Each parameter of -X with its value."""
    given: Attributes = {}
    while words:
        name = words.word("a parameter")
        if name == "context" and words.peek() == "new":
            given[name] = words.word(name)
        elif name in ("context", "equal", "start"):
            given[name] = words.number(name)
            if given[name] < (name != "start"):
                raise EthtoolUsage(f"{name} {given[name]}: give {int(name != 'start')} or more")
        elif name == "weight":
            given[name] = weights = list[int]()
            while (words.peek() or "").isdigit():
                weights.append(words.number(name))
        elif name == "hkey":
            given[name] = words.word(name).replace(":", "")
        elif name in ("default", "delete"):
            given[name] = True
        else:
            known = "equal, weight, start, default, hkey, context, delete"
            raise EthtoolUsage(f"parameter {name!r} is not known; choose from {known}")
    return given


def _check_rss(given: Attributes) -> None:
    """What ethtool refuses before it asks the kernel."""
    if not given:
        raise EthtoolUsage("-X changes nothing; give equal, weight, default, hkey or context")
    for one, other in _EXCLUSIVE:
        if one in given and other in given:
            raise EthtoolUsage(f"{one} and {other} are mutually exclusive; leave one of them out")
    if "start" in given and not given.keys() & {"equal", "weight"}:
        raise EthtoolUsage("start must be used with equal or weight; add one of them")
    if "delete" in given and "context" not in given:
        raise EthtoolUsage("delete needs a context; say which")


def _spread(size: int, start: int, equal: int, weights: list[int]) -> list[int]:
    """An indirection table over the queues from `start` on: `equal` ones take turns; or each has as many
    entries, one behind the other, as its weight says."""
    if equal:
        return [start + i % equal for i in range(size)]
    total = sum(weights)
    if not total:
        raise EthtoolUsage("weight: all of them are 0; give one that is not")
    if total > size:
        raise EthtoolUsage(f"weight: {total} in all, and the table has {size} entries; give less")
    table: list[int] = []
    for queue, _ in enumerate(weights):
        end = -(-size * sum(weights[: queue + 1]) // total)
        table += [start + queue] * (end - len(table))
    return table


def _show_statistics(nic: _Nic, _: _Words) -> str:
    return show.statistics(nic.ethtool.stats_get())


def _numbers(words: _Words, names: dict[str, str]) -> Attributes:
    wanted: Attributes = {}
    while words:
        name = words.word("a parameter")
        if name not in names:
            raise EthtoolUsage(f"parameter {name!r} is not known; choose from {', '.join(names)}")
        wanted[names[name]] = words.number(name)
    return wanted


_ACTS: dict[str, Callable[[_Nic, _Words], str]] = {
    "-l": _show_channels,
    "-L": _set_channels,
    "-g": _show_rings,
    "-G": _set_rings,
    "-k": _show_features,
    "-K": _set_features,
    "-n": _show_rules,
    "-N": _set_rules,
    "-x": _show_rss,
    "-X": _set_rss,
    "-S": _show_statistics,
    "-i": _show_driver,
    "-c": _not_supported,
    "-a": _not_supported,
}

_JSON: dict[str, Callable[[_Nic, _Words], Attributes]] = {
    "-l": lambda nic, _: as_json.channels(nic.ethtool.channels_get()),
    "-g": lambda nic, _: as_json.rings(nic.ethtool.rings_get()),
    "-k": lambda nic, _: as_json.features(nic.ethtool.features_get()),
    "-x": lambda nic, words: as_json.rss(nic.ethtool.rss_get(_context(words))),
}

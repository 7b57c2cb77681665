"""YAML text into a record: every problem, each with its line.

In: text, the record's type. Out: the record, or `Problem`s. Owns nothing. Only types are checked here:
mappings, sequences and scalars as the record's fields have them. It knows nothing of topologies.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

Path = tuple[str | int, ...]
_MISSING: Any = object()  # what could not be read


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """`line` counts from 1; `text` is one sentence."""

    line: int
    text: str


@dataclass(slots=True)
class Document:
    """`value`: the record, None if there is none. In it, what could not be read has its default, or is None
    among others, and is told in `problems`. `lines`: where each part stands."""

    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    lines: dict[Path, int] = field(default_factory=dict)


def read(text: str, record: type[msgspec.Struct]) -> Document:
    """All that can be said of `text`."""
    document = Document()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else 1
        document.problems.append(Problem(line, f"this is no YAML: {wrong.problem}"))
        return document
    except (yaml.YAMLError, RecursionError) as wrong:
        document.problems.append(Problem(1, f"this is no YAML: {' '.join(str(wrong).split())}"))
        return document
    value = _Reading(document).value(node, record, ())
    document.value = None if value is _MISSING else value
    return document


class _Reading:
    def __init__(self, document: Document) -> None:
        self._document = document

    def value(self, node: Any, wanted: Any, path: Path) -> Any:
        """What `node` says, as `wanted` has it; _MISSING after a problem."""
        self._document.lines[path] = 1 if node is None else node.start_mark.line + 1
        wanted = _choose(node, wanted)
        origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            return self._record(node, wanted, path)
        if origin is dict:
            return self._mapping(node, arguments[1], path)
        if origin is tuple:
            return self._sequence(node, arguments, path)
        return self._scalar(node, wanted, path)

    def _record(self, node: Any, wanted: type[msgspec.Struct], path: Path) -> Any:
        pairs = self._pairs(node, path)
        if pairs is None:
            return _MISSING
        fields = {each.encode_name: each for each in msgspec.structs.fields(wanted)}
        values = {}
        for key, child in pairs:
            if key.value not in fields:
                self._say(key, f"{_where(path)} has no {key.value!r}; choose from {', '.join(fields)}")
            else:
                values[key.value] = self.value(child, fields[key.value].type, (*path, key.value))
        needed = [name for name, each in fields.items() if each.required]
        for name in needed:
            if name not in values:
                self._say(node, f"{_where(path)} has no {name}; add it")
        if any(values.get(name, _MISSING) is _MISSING for name in needed):
            return _MISSING
        return wanted(**{fields[name].name: value for name, value in values.items() if value is not _MISSING})

    def _mapping(self, node: Any, wanted: Any, path: Path) -> Any:
        pairs = self._pairs(node, path)
        if pairs is None:
            return _MISSING
        found = {key.value: self.value(child, wanted, (*path, key.value)) for key, child in pairs}
        return {key: None if value is _MISSING else value for key, value in found.items()}

    def _sequence(self, node: Any, arguments: tuple[Any, ...], path: Path) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            self._say(node, f"{_where(path)} is no list; write [a, b], or a line with - for each")
            return _MISSING
        any_number = arguments[-1] is ...
        if not any_number and len(arguments) != len(node.value):
            self._say(node, f"{_where(path)} has {len(node.value)} entries; give {len(arguments)}")
            return _MISSING
        found = [self.value(child, arguments[0], (*path, at)) for at, child in enumerate(node.value)]
        if any_number:
            return tuple(None if each is _MISSING else each for each in found)
        return _MISSING if _MISSING in found else tuple(found)

    def _scalar(self, node: Any, wanted: Any, path: Path) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self._say(node, f"{_where(path)} is no single value; write one behind the colon")
            return _MISSING
        try:
            # A text is what is written, be it 100 or 02:00.
            value = node.value if wanted is str else yaml.SafeLoader("").construct_object(node)
            return msgspec.convert(value, wanted)
        except (ValueError, yaml.YAMLError):  # msgspec's are ValueErrors; of YAML it may be no such date
            self._say(node, f"{_where(path)} is {node.value!r}; write {_words(wanted)}")
            return _MISSING

    def _pairs(self, node: Any, path: Path) -> list[tuple[Any, Any]] | None:
        """The entries of a mapping, each key once; None if it is none."""
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
            return []
        if not isinstance(node, yaml.MappingNode):
            self._say(node, f"{_where(path)} is no mapping; write lines of NAME: VALUE")
            return None
        found: dict[str, tuple[Any, Any]] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._say(key, f"a key in {_where(path)} is no word; write NAME: VALUE")
            elif key.value in found:
                before = found[key.value][0].start_mark.line + 1
                self._say(key, f"{key.value!r} is here a second time, after line {before}; leave one out")
            else:
                found[key.value] = (key, child)
        return list(found.values())

    def _say(self, node: Any, sentence: str) -> None:
        line = 1 if node is None else node.start_mark.line + 1
        self._document.problems.append(Problem(line, sentence))


def _choose(node: Any, wanted: Any) -> Any:
    """Of a union, what fits the kind of `node`; without annotations."""
    if typing.get_origin(wanted) is typing.Annotated:
        return _choose(node, typing.get_args(wanted)[0])
    if not isinstance(wanted, types.UnionType):
        return wanted
    kinds = typing.get_args(wanted)
    if isinstance(node, yaml.SequenceNode):
        lists = [each for each in kinds if typing.get_origin(each) is tuple]
        if lists:
            return lists[0]
    if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
        records = [each for each in kinds if isinstance(each, type) and issubclass(each, msgspec.Struct)]
        return records[0] if records else wanted  # an entry that says nothing has its defaults
    if isinstance(node, yaml.MappingNode):
        return next((each for each in kinds if not _is_scalar(each)), wanted)
    scalars = [each for each in kinds if _is_scalar(each) and each is not types.NoneType]
    return scalars[0] if len(scalars) == 1 else wanted


def _is_scalar(wanted: Any) -> bool:
    return wanted in (str, int, float, bool, types.NoneType)


def _where(path: Path) -> str:
    """As `links[2].rate`, the third link's."""
    words = ""
    for step in path:
        words += f"[{step}]" if isinstance(step, int) else f".{step}" if words else step
    return words or "the file"


def _words(wanted: Any) -> str:
    """What a scalar may be."""
    if typing.get_origin(wanted) is typing.Literal:
        return " or ".join(typing.get_args(wanted))
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    return "a number" if float in kinds else "a whole number" if int in kinds else "a word"

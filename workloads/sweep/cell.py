"""A cell of a sweep: the options of one run, and the name that they give it.

In: options as a sweep file writes them. Out: words of a command line, an id that depends on nothing else.
Owns nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from nodes.option import Declared, declared
from workloads.experiment.records import ExperimentConfig
from workloads.registry import WORKLOADS

_ID_DIGITS = 10  # of 16 values each: two of 10,000 cells meet with a chance of 5e-5
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


class ValueProblem(ValueError):
    """A value that an option cannot have; str() is one sentence."""


class Setting(msgspec.Struct, frozen=True):
    """An option by its flag, and the texts that are given for it; () leaves it out."""

    flag: str
    texts: tuple[str, ...]
    is_switch: bool = False

    @classmethod
    def of(cls, option: Declared, *written: str | None) -> Setting:
        """Of what a file has behind an option's name: several texts for an option that may be repeated, and
        None for one that is left out. Raises ValueProblem."""
        texts = tuple(text for text in written if text is not None)
        if len(texts) > 1 and not option.option.many:
            raise ValueProblem(f"{option.flag} takes one value; move the list to grid")
        if option.kind is not bool:
            return cls(option.flag, texts)
        if any(text.lower() not in (*_TRUE, *_FALSE) for text in texts):
            raise ValueProblem(f"{option.flag} is {texts[0]!r}; write true or false")
        return cls(option.flag, tuple("true" for text in texts if text.lower() in _TRUE), True)

    @property
    def words(self) -> tuple[str, ...]:
        """Of a command line."""
        return tuple(self.flag if self.is_switch else f"{self.flag}={text}" for text in self.texts)

    @property
    def text(self) -> str:
        """In a table; "" where it is left out."""
        return " ".join(self.texts)


class Cell(msgspec.Struct, frozen=True):
    """`common` holds for all cells of the sweep, `varied` is its own choice of the grid's lists."""

    common: tuple[Setting, ...]
    varied: tuple[Setting, ...]

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for each in (*self.common, *self.varied) for word in each.words)

    @property
    def id(self) -> str:
        """Of the options alone: neither their order nor what other cells there are matters."""
        options = "\0".join(sorted(self.words))
        return hashlib.sha256(options.encode("utf-8", "surrogateescape")).hexdigest()[:_ID_DIGITS]

    @property
    def label(self) -> str:
        """As `topology=pair path=devmem`."""
        said = (f"{each.flag.removeprefix('--')}={each.text}" for each in self.varied if each.texts)
        return " ".join(said) or "the only cell"


def run_options() -> Mapping[str, Declared]:
    """Every option of a measuring run that a cell may have, by each of its names without dashes."""
    records: list[type[msgspec.Struct]] = [ExperimentConfig, *(each.options for each in WORKLOADS.values())]
    found: dict[str, Declared] = {}
    for each in (option for record in records for option in declared(record)):
        for flag in each.flags:
            found.setdefault(flag.removeprefix("--"), each)
    return found

"""A file with one list of named entries, which is read whole or refused at its first problem.

In: a YAML file, the record of it, what may be wrong with an entry. Out: its entries. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from commands.usage import UsageError
from topologies.file.reader import Problem, read


class Named(Protocol):
    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


def load(
    path: Path, kind: type[Any], field: str, problems_of: Callable[[Entry, Sequence[str]], Iterable[str]]
) -> tuple[Entry, ...]:
    """The list `field` of the record `kind`. `problems_of`: an entry's, which is told the names before it.
    Raises UsageError, which names the line of the first problem."""
    try:
        document = read(path.read_text(encoding="utf-8", errors="replace"), kind)
    except OSError as failure:
        raise UsageError(f"{path} cannot be read ({failure.strerror}); correct the name") from None
    problems = list(document.problems)
    entries: tuple[Entry, ...] = () if problems else getattr(document.value, field)
    for at, entry in enumerate(entries):
        line, before = document.lines[(field, at)], [other.name for other in entries[:at]]
        problems += [Problem(line, text) for text in problems_of(entry, before)]
    if problems or not entries:
        first = min(problems, default=Problem(1, f"the file has no {field}; add one"))
        raise UsageError(f"{path}:{first.line}: {first.text}")
    return entries

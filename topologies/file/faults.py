"""A schedule of faults: its faults, or the first problem that it has.

In: the path of a YAML file, what there is to be hurt. Out: `Fault`s. Owns the file's format, which is that of
--fault in lines:

    faults:
      - {kind: link-down, target: h1-eth0, at: 2s, for: 500ms}
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from topologies.fault import Fault, FaultEntry, Scope, check
from topologies.file.reader import Problem, read
from topologies.topology_error import TopologyError


class Schedule(msgspec.Struct, frozen=True):
    faults: tuple[FaultEntry | None, ...]


def load(path: Path, scope: Scope) -> tuple[Fault, ...]:
    """Raises TopologyError with the first problem and its line, and OSError."""
    document = read(path.read_text(encoding="utf-8", errors="replace"), Schedule)
    problems, found = document.problems, []
    schedule: Schedule | None = document.value
    for number, entry in enumerate(schedule.faults if schedule else ()):
        checked = {} if entry is None else check(entry, scope)
        if isinstance(checked, Fault):
            found.append(checked)
            continue
        for field, sentence in checked.items():
            problems.append(Problem(document.lines["faults", number, field], sentence))
    if problems:
        first, *more = sorted(set(problems))
        others = f" (and {len(more)} more)" if more else ""
        raise TopologyError(f"{path}:{first.line}: {first.text}{others}")
    return tuple(found)

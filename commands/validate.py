"""The command validate: what is wrong with a topology file.

In: the file's name. Out: a line a problem on stdout, with file and line as compilers write them; the exit
status is 0 without problems, 1 with, 2 when the file cannot be read. Owns nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.usage import UsageError
from topologies.file.load import FileProblems, load
from topologies.net import Net

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES: tuple[type[Exception], ...] = ()


def command(file: Annotated[Path, typer.Argument(help="A topology file (YAML).", metavar="FILE")]) -> int:
    """Every problem of a topology file, with its line."""
    try:
        topology = load(file, Net())
    except FileProblems as found:
        for problem in found.problems:
            print(f"{file}:{problem.line}: {problem.text}")
        return 1
    except OSError as failure:
        raise UsageError(f"{file} cannot be read ({failure.strerror}); correct the name") from None
    hosts, switches, links = map(len, (topology.hosts, topology.switches, topology.links))
    print(f"{file}: {hosts} hosts, {switches} switches, {links} links, no problem")
    return 0

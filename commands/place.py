"""The directory that a run or `up` writes into: its options, its name, and whether it can be made.

In: --results and --run-id. Out: the path of a directory that does not exist yet. Owns nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import msgspec

from commands.usage import UsageError
from nodes.option import Option
from topologies.mininet.fabric import FabricError
from topologies.mininet.user_namespace import is_inside, obstacle, owns_network

# Not resolved: where `commands` is a link, run.py lies beside the link.
_BESIDE_RUN_PY = Path(__file__).absolute().parents[1]
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where results go."""

    results: Annotated[Path, Option("Where run directories go.", default="results beside run.py")] = (
        _BESIDE_RUN_PY / "results"
    )
    run_id: Annotated[
        str | None, Option("Name of the run's directory.", default="date, time and process id")
    ] = None
    rootless: Annotated[
        bool, Option("In a user namespace, without root; a user who is not root need not ask.")
    ] = False

    def run_directory(self, default: str) -> Path:
        """Directly below `results`: `run_id`, or else `default` and this process's id, since several runs may
        start in one second. Raises UsageError."""
        name = f"{default}-{os.getpid()}" if self.run_id is None else self.run_id
        if not _RUN_ID.fullmatch(name):
            raise UsageError(
                f"run id {name!r} cannot name a directory below {self.results}; use letters, digits, dot, _ "
                "and -"
            )
        return self.results / name


def check_place(run_dir: Path, place: Place, builds_network: bool = True) -> None:
    """A network may be built here, if one is to be, and write into `run_dir`, whose parent is made. Raises
    UsageError, and FabricError without root."""
    inside = is_inside()
    if builds_network and _may_not_build(place, inside):
        raise FabricError(f"a network without root needs a user namespace, but {_refused(place.rootless)}")
    results = run_dir.parent
    try:
        if run_dir.exists():
            raise UsageError(f"{run_dir} exists already; choose another --run-id, or remove it")
        results.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise UsageError(
            f"--results {results} cannot be made ({failure.strerror}); choose another directory"
        ) from None
    if not os.access(results, os.W_OK):
        raise UsageError(f"--results {results} cannot be written to; choose another directory")


def _may_not_build(place: Place, inside: bool) -> bool:
    return os.geteuid() != 0 or (place.rootless and not inside) or (inside and not owns_network())


def _refused(asked: bool) -> str:
    as_root = "leave --rootless out" if asked and os.geteuid() == 0 else "run `sudo python3 run.py ...`"
    why = obstacle() or "this process has threads already; start run.py as a program of its own"
    return f"{why}, or {as_root}"

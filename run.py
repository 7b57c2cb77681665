#!/usr/bin/env python3
"""Starts the command line, `commands.dispatch`, in the project's own environment.

In: words, and any python3 that has the standard library. Out: the same words in a Python that has the
packages, or one sentence on stderr; the exit status is the command's. Owns SIGINT, SIGTERM and
SIGHUP until a command takes them, and again when it has ended.
"""

# ruff: noqa: E402  the first lines must run on a Python that has none of the packages
from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType

_PROJECT = Path(__file__).resolve().parent
_ENVIRONMENT = _PROJECT / ".venv"
_PACKAGES = ("typer", "msgspec", "ray", "mininet", "numpy", "pandas", "matplotlib", "psutil", "jinja2",
             "networkx", "yaml", "prometheus_client")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _open_standard_files() -> None:
    """Where stdin, stdout or stderr is closed, /dev/null takes its number; a socket or a log would take it
    otherwise, and what is printed would go there."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which this is
    if sys.stderr is None:  # print(file=None) would write to stdout
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _quit(signum: int, _frame: FrameType | None) -> None:
    """Until a command begins there is nothing to take down. One sentence, though more signals may come."""
    for number in _ENDING:
        signal.signal(number, lambda *_: None)
    name = signal.Signals(signum).name
    os.write(2, f"run.py: stopped by {name} before anything was started\n".encode())
    os._exit(128 + signum)


def _use_environment() -> None:
    """Go on in the project's environment unless this Python has the packages, in versions that will do."""
    own = Path(sys.prefix).resolve() == _ENVIRONMENT.resolve()
    missing = not all(importlib.util.find_spec(name) for name in _PACKAGES)
    unfit = "" if own or missing else _unfit_version(_PROJECT / "pyproject.toml")
    if not missing and not unfit:
        return
    python = _ENVIRONMENT / "bin" / "python"
    if own or not python.exists():
        reason = unfit or "the Python packages are not installed"
        sys.exit(f"run.py: {reason}; run `make setup` once")
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # what comes now is for the next Python's handlers
    os.execv(python, [str(python), *sys.argv])


def _unfit_version(pyproject: Path) -> str:
    """The first package of `pyproject` whose installed version is out of its bounds, as a clause; "" if there
    is none."""
    from importlib import metadata  # takes a moment, and the project's own environment does without

    listed = pyproject.read_text().partition("\ndependencies = [")[2].partition("\n]")[0]
    for name, bounds in re.findall(r'"([A-Za-z0-9_-]+)([^"]*)"', listed):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            return f"the Python package {name} is not installed"
        if not all(_holds(version, bound) for bound in bounds.split(",") if bound):
            return f"this Python's {name} is {version}, and {name}{bounds} is needed"
    return ""


def _holds(version: str, bound: str) -> bool:
    """Of the bounds that pyproject.toml has: ==, >= and <."""
    operator, limit = re.fullmatch(r"(==|>=|<)(.+)", bound).groups()  # type: ignore[union-attr]
    if operator == "==":
        return version == limit
    ours, theirs = ([int(part) for part in re.findall(r"\d+", each)][:3] for each in (version, limit))
    return ours >= theirs if operator == ">=" else ours < theirs


_open_standard_files()
for _number in _ENDING:
    if _number != signal.SIGHUP or signal.getsignal(_number) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(_number, _quit)
signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
_use_environment()

from commands.dispatch import main as main  # tests call run.main
from commands.dispatch import program

if __name__ == "__main__":
    _status = program()
    # The command has ended as its status says. Python's end takes handlers away, and a mask is one thread's.
    for _number in _ENDING:
        signal.signal(_number, signal.SIG_IGN)
    sys.exit(_status)

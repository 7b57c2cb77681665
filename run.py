#!/usr/bin/env python3
"""Starts the command line, `commands.dispatch`, in the project's own environment.

In: words, and any python3 that has the standard library. Out: the same words in a Python that has the
packages, or one sentence on stderr; the exit status is the command's. Owns SIGINT and SIGTERM until a command
takes them.
"""

# ruff: noqa: E402  the first lines must run on a Python that has none of the packages
from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

_ENVIRONMENT = Path(__file__).resolve().parent / ".venv"
_PACKAGES = ("typer", "msgspec", "ray", "mininet", "numpy", "pandas", "matplotlib", "psutil", "jinja2")


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
    """Until a command begins there is nothing to take down."""
    print(f"run.py: stopped by {signal.Signals(signum).name} before anything was started", file=sys.stderr)
    sys.stderr.flush()
    os._exit(128 + signum)


def _use_environment() -> None:
    """Go on in the project's environment unless this Python has the packages."""
    if all(importlib.util.find_spec(name) for name in _PACKAGES):
        return
    python = _ENVIRONMENT / "bin" / "python"
    if Path(sys.prefix).resolve() == _ENVIRONMENT.resolve() or not python.exists():
        sys.exit("run.py: the Python packages are not installed; run `make setup` once")
    os.execv(python, [str(python), *sys.argv])


_open_standard_files()
signal.signal(signal.SIGINT, _quit)
signal.signal(signal.SIGTERM, _quit)
_use_environment()

from commands.dispatch import main as main  # tests call run.main

if __name__ == "__main__":
    sys.exit(main())

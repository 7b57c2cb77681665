"""Run a Python program whose TCP sockets are a host's: its sources stay as they are.

    .venv/bin/python -m nodes.client.run_with [--channel PATH] PROGRAM.py [ARGUMENTS...]
    .venv/bin/python -m nodes.client.run_with [--channel PATH] -m MODULE [ARGUMENTS...]

In: the path of a host's channel (DEVMEM_CHANNEL, which `run.py exec` sets), a program and its arguments. Out:
what the program does. Owns the Host, and the socket module while the program runs (nodes.client.sockets).
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from contextlib import closing
from pathlib import Path

from nodes.client.host import Host, HostError
from nodes.client.sockets import installed

_COMMAND = "python -m nodes.client.run_with"


def main(argv: list[str]) -> None:
    given = _parsed(argv)
    with closing(_host(given.channel)) as host, installed(host):
        if given.module is not None:
            sys.argv = [given.module, *given.words]
            sys.path[0] = os.getcwd()
            runpy.run_module(given.module, run_name="__main__", alter_sys=True)
        else:
            sys.argv = given.words
            sys.path[0] = str(Path(given.words[0]).resolve().parent)
            runpy.run_path(given.words[0], run_name="__main__")


def command_line() -> argparse.ArgumentParser:
    """What docs/reference/commands.md is made of, too."""
    parser = argparse.ArgumentParser(
        prog=_COMMAND, description="Run a Python program whose TCP sockets are a host's."
    )
    parser.add_argument(
        "--channel",
        default=os.environ.get("DEVMEM_CHANNEL"),
        help="the host's system-call channel; default: DEVMEM_CHANNEL, which `run.py exec` sets",
    )
    # What follows the program or the module is the program's, options included.
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="a module and its arguments")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="PROGRAM ...", help="and its arguments")
    return parser


def _parsed(argv: list[str]) -> argparse.Namespace:
    parser = command_line()
    given = parser.parse_args(argv)
    if given.module:
        given.module, *given.words = given.module
    elif not given.words:
        parser.error("the program is missing; give PROGRAM.py, or -m MODULE")
    elif not Path(given.words[0]).exists():
        parser.error(f"there is no program {given.words[0]!r}")
    else:
        given.module = None
    if not given.channel:
        parser.error("no channel: run it by `run.py exec HOST -- ...`, or give --channel PATH")
    return given


def _host(channel: str) -> Host:
    try:
        return Host(channel)
    except HostError as e:
        sys.exit(f"{_COMMAND}: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])

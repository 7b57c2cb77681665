"""Standard error takes text as long as there is a place for it, and never fails."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

from nodes.standard_error import standard_error

PROJECT = Path(__file__).resolve().parents[1]


def test_text_arrives_at_once_whatever_its_characters() -> None:
    read, write = os.pipe()
    stream = standard_error(write)
    print("a name with \udcff and é", end="", file=stream)
    assert os.read(read, 100) == b"a name with \\udcff and \xc3\xa9"
    assert (stream.fileno(), stream.isatty()) == (write, False)
    os.close(read)
    print("nobody reads this", file=stream)
    os.close(write)
    print("the descriptor is closed", file=stream)


def test_a_full_disk_is_no_error() -> None:
    with open("/dev/full", "wb") as full:
        stream = standard_error(full.fileno())
        traceback.print_exception(OSError("a bug"), file=stream)
        print("x" * (1 << 20), file=stream, flush=True)


def test_an_endpoint_whose_log_is_on_a_full_disk_goes_on() -> None:
    """It comes to the end of `main`, though its sentence cannot be written."""
    program = "import sys; from nodes.endpoint.__main__ import main; sys.exit(10 + main(sys.argv[1:]))"
    options = ["--interface", "no-such", "--address", "10.0.0.1/24", "--channel", "/no/where.sock"]
    with open("/dev/full", "wb") as full:
        argv = [sys.executable, "-c", program, *options]
        ended = subprocess.run(argv, cwd=PROJECT, stderr=full, timeout=60, check=False)
    assert ended.returncode == 11

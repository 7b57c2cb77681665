"""A program in an enclosure: its status, what it sees, and that everything it started ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.conftest import processes_with
from topologies.mininet.enclosure import enclosed

pytestmark = [pytest.mark.system, pytest.mark.timeout(60)]

PROJECT = Path(__file__).resolve().parents[2]
ENDS_WITHIN_S = 30.0
# One that ignores what may be ignored, and leaves a process behind in a session of its own.
STUBBORN = "trap '' TERM INT HUP; setsid sleep 600 & sleep 600; sleep 600"


def start(directory: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*enclosed(directory), *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        start_new_session=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    """All that it prints. Its stdin stays open until then, since the end of stdin would end it sooner."""
    assert process.stdout
    out = process.stdout.read()
    process.communicate(timeout=ENDS_WITHIN_S)
    return out


def until_it_sleeps(token: str) -> None:
    give_up_at = time.monotonic() + ENDS_WITHIN_S
    while sum(line.startswith("sleep 600") for line in processes_with(token).values()) < 2:
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -KILL $$", 137), ("true", 0)])
def test_the_programs_status_is_the_enclosures(tmp_path: Path, script: str, status: int) -> None:
    process = start(tmp_path, "sh", "-c", script)
    assert process.wait(ENDS_WITHIN_S) == status
    process.communicate()


def test_the_network_is_a_loopback_that_is_up(tmp_path: Path) -> None:
    program = (
        "import socket; print(socket.if_nameindex()); s = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(s.getsockname()); print('connected')"
    )
    out = output(start(tmp_path, sys.executable, "-c", program))
    assert out == "[(1, 'lo')]\nconnected\n"


def test_what_is_written_into_the_directory_stays_inside(tmp_path: Path) -> None:
    script = f"echo secret >{tmp_path}/file; cat {tmp_path}/file; stat -c %a {tmp_path} /dev/shm"
    out = output(start(tmp_path, "sh", "-c", script))
    assert out == "secret\n700\n700\n"
    assert os.listdir(tmp_path) == []


def test_closing_stdin_ends_everything(tmp_path: Path, token: str) -> None:
    process = start(tmp_path, "sh", "-c", STUBBORN)
    until_it_sleeps(token)
    assert process.stdin
    process.stdin.close()
    process.wait(ENDS_WITHIN_S)
    assert processes_with(token) == {}  # when it has ended, all have


def test_closing_stdin_at_once_ends_everything(tmp_path: Path, token: str) -> None:
    for moment_s in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
        process = start(tmp_path, "sh", "-c", STUBBORN)
        time.sleep(moment_s)
        process.communicate(timeout=ENDS_WITHIN_S)
        assert processes_with(token) == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_to_the_outer_process_ends_everything(
    tmp_path: Path, token: str, number: signal.Signals
) -> None:
    process = start(tmp_path, "sh", "-c", STUBBORN)
    until_it_sleeps(token)
    process.send_signal(number)
    process.communicate(timeout=ENDS_WITHIN_S)  # the fixture looks for what is left

"""docs/devmem.md word for word: its two programs and its commands, started as a reader would start them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from commands.running import find_host
from nodes.client.host import Host

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "devmem.md").read_text()
SIZE = 5_000_001


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """This project's directory, as far as a reader sees it, with the two programs saved there."""
    for name in ("run.py", ".venv", "nodes"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, program in zip(("receive.py", "send.py"), blocks("python"), strict=True):
        (tmp_path / name).write_text(program)
    return tmp_path


@contextmanager
def running(command: str, place: Path) -> Iterator[subprocess.Popen[str]]:
    """In a terminal of its own."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, shell=True, cwd=place, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def standing(command: str, place: Path) -> Iterator[None]:
    """`run.py up`, with what it leaves in results/ taken away."""
    results = ROOT / "results"
    was_there = results.exists()
    with running(f"exec {command}", place) as up:
        assert up.stdout is not None
        run_id = up.stdout.readline().split()[1]
        try:
            assert [up.stdout.readline().split()[0] for _ in range(2)] == ["h1", "h2"]
            yield
        finally:
            up.send_signal(signal.SIGINT)
            up.communicate(timeout=30)
            shutil.rmtree(results / run_id, ignore_errors=True)
            with suppress(OSError):  # others have put something there
                if not was_there:
                    results.rmdir()


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed; it ended well."""
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    return out


def wait_for(process: subprocess.Popen[str], word: str, *, on_stderr: bool = False) -> None:
    stream = process.stderr if on_stderr else process.stdout
    assert stream is not None
    assert any(line.startswith(word) for line in stream)


def test_the_guides_commands_move_device_memory_and_leave_no_rule(place: Path) -> None:
    (up, receive, send), (listen, netcat) = (block.splitlines() for block in blocks("sh"))
    with ExitStack() as stack:
        stack.enter_context(standing(up, place))
        for _ in range(2):
            with running(receive, place) as receiver:
                wait_for(receiver, "listening")
                with running(send, place) as sender:
                    sent = finish(sender)
                assert finish(receiver) == sent == f"{SIZE} {sum(i % 251 for i in range(SIZE))}\n"
        with running(listen, place) as receiver:
            wait_for(receiver, "Waiting for a connection", on_stderr=True)
            with running(netcat, place) as sender:
                finish(sender)
            assert finish(receiver) == "".join(f"{i}\n" for i in range(1, 10001))
        with closing(Host(find_host("h2", None).channel)) as h2:
            assert h2.ethtool.ntuple_get() == []
            assert not any("dmabuf" in queue for queue in h2.netdev.queue_get())

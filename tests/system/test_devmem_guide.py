"""The programs of docs/devmem.md do what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.network import PORT, Network

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


def test_the_guides_two_programs_move_device_memory(network: Network, tmp_path: Path) -> None:
    for name in ("h1", "h2"):
        network.host(name).close()
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "devmem.md").read_text(), re.DOTALL)
    receive, send = (tmp_path / name for name in ("receive.py", "send.py"))
    receive.write_text(programs[0])
    send.write_text(programs[1])
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    size = 5_000_001
    receiving = [sys.executable, str(receive), network.channel("h2"), str(PORT)]
    with subprocess.Popen(receiving, env=env, stdout=subprocess.PIPE, text=True) as receiver:
        try:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == "listening\n"
            sending = [sys.executable, str(send), network.channel("h1"), network.address("h2")]
            sent = subprocess.run(
                [*sending, str(PORT), str(size)], env=env, capture_output=True, text=True, timeout=30
            )
            assert sent.returncode == 0, sent.stderr
            received, _ = receiver.communicate(timeout=20)
        finally:
            receiver.kill()
    assert received == sent.stdout == f"{size} {sum(i % 251 for i in range(size))}\n"

"""docs/channel.md's client, which imports nothing of this project, against an endpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import block
from tests.system.network import Network

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def test_the_pages_client_speaks_the_protocol_without_this_project(network: Network, tmp_path: Path) -> None:
    program = tmp_path / "hello.py"
    program.write_text(block("docs/channel.md", '"""hello.py'))
    network.host("h1").close()
    argv = [sys.executable, str(program), network.channel("h1")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("h1 h1-eth0 ")
    assert first.endswith(f" {network.address('h1')}/16")
    assert second == "Failed 88 this channel is not a socket's"

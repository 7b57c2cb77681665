"""The bench of the packet path streams, and says how nodes/ ran; the page's commands are run."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.bench.packet_path import PacketPath
from tests.docs.pages import ROOT, command

COMMANDS = (
    command("docs/performance.md", ".venv/bin/python -m tests.bench.packet_path"),
    command("docs/performance.md", ".venv/bin/python -m tests.bench.packet_path --where"),
)
DOCTOR = command("docs/performance.md", "python3 run.py doctor")  # as README.md's


@pytest.mark.parametrize("words", COMMANDS)
def test_the_bench_says_what_a_packet_takes_and_how_nodes_ran(words: str) -> None:
    argv = [*words.split(), "--bytes", str(64 << 20), "--rounds", "1"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    first, *where = ended.stdout.splitlines()
    assert re.fullmatch(r"\d+\.\d us of CPU time .* \((compiled by|pure Python: ).*\)", first)
    assert bool(where) == words.endswith("--where")
    assert all(re.fullmatch(r" *\d+\.\d% +\d+\.\d us  \S.*", line) for line in where)


@pytest.mark.parametrize("niov_bytes", [4096, 65536])
def test_every_byte_of_the_bench_passes_both_stacks(niov_bytes: int) -> None:
    path = PacketPath(niov_bytes)
    frames = path.run(8 << 20)
    assert path.a.stack.tcp.mib.TcpRetransSegs == 0
    assert frames >= (8 << 20) // 65536
    assert path.server.recv_queue.total >= 8 << 20
    path.close()

"""Wrong options, and starting with the wrong Python: one sentence on stderr, nothing begun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def run_py(
    *arguments: str, python: str = sys.executable, cwd: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    command = [python, str(PROJECT / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--topology", "blob"], "there is no topology 'blob'; choose one of pair, star"),
        (["--workload", "blob"], "there is no workload 'blob'; choose from all_reduce, stream"),
        (["--path", "devmem,blob"], "there is no path 'blob'; choose from devmem, bounce, kernel"),
        (["--path", ""], "there is no path ''"),
        (["--size", "1X"], "size '1X' is not understood; write for example"),
        (["--size", "6"], "size 6 is no multiple of the 4 bytes of an element"),
        (["--hosts", "1"], "topology star cannot have 1 hosts"),
        (["--topology", "pair", "--hosts", "3"], "topology pair cannot have 3 hosts; choose 2"),
        (["--host-mem-bw", "2"], "rate '2' is not understood"),
        (["--gso-max", "1M"], "gso_max_bytes 1048576"),
        (["--mtu", "20"], "mtu 20"),
        (["--niov-size", "5K"], "--niov-size 5120 is not"),
        (["--nic", "gve", "--niov-size", "8K"], "with nic gve has net_iovs of 4096 bytes only"),
        (["--kernel", "6.12", "--niov-size", "8K"], "kernel 6.12 with nic"),
        (["--run-id", "my run"], "run id 'my run' cannot name a directory"),
        (["--size", "64G", "--hosts", "200"], "MiB and"),
        (["--host-mem-bw", "0.1B/s"], "--host-mem-bw 0.1B/s: headers alone would take for ever"),
        (["--timeout", "inf"], "'--timeout'"),
        (["--nic", "e1000"], "there is no nic 'e1000'; choose from generic, gve"),
        (["--header-buffer", "10"], "--header-buffer 10: choose 54 to"),
        (["--queues", "0"], "'--queues'"),
        (["--queues", "1"], "--queues 1: devmem needs a queue beside the first"),
        (["--impair", "loss=2"], "--impair: loss=2 is not a chance from 0 to 1"),
        (["--impair", "delay=3"], "--impair: delay=3 is no duration"),
        (["--bidir"], "--bidir does not go with all_reduce"),
        (["--repeat", "0"], "--repeat"),
        (["--frobnicate"], "No such option"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_options_are_refused_by_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    results = [] if arguments == ["frobnicate"] else ["--results", str(tmp_path / "results")]
    found = run_py(*results, *arguments)
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith("run.py: ")
    assert found.stderr.count("\n") == 1
    assert sentence in found.stderr
    assert not (tmp_path / "results").exists()


def test_a_run_id_is_not_used_twice(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    found = run_py("--results", str(tmp_path), "--run-id", "mine")
    assert (found.returncode, found.stdout) == (2, "")
    assert "exists already; choose another --run-id" in found.stderr


def test_results_go_where_a_directory_can_be() -> None:
    found = run_py("--results", "/proc/x")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == (
        "run.py: --results /proc/x cannot be made (No such file or directory); choose another directory\n"
    )


def test_list_names_everything_that_can_be_chosen() -> None:
    found = run_py("list")
    assert found.returncode == 0
    for name in ("pair", "star", "all_reduce", "stream", "devmem", "bounce", "kernel", "gve", "6.12"):
        assert f"  {name}" in found.stdout


@pytest.mark.skipif(not (PROJECT / ".venv/bin/python").exists(), reason="no environment beside run.py")
def test_a_python_without_the_packages_hands_over_to_the_environment(tmp_path: Path) -> None:
    bare = _bare_python(tmp_path)
    found = run_py("list", python=bare, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "all_reduce" in found.stdout


def test_without_an_environment_it_says_make_setup(tmp_path: Path) -> None:
    alone = tmp_path / "run.py"
    alone.write_bytes((PROJECT / "run.py").read_bytes())
    command = [_bare_python(tmp_path), str(alone), "list"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode != 0
    assert found.stderr == "run.py: the Python packages are not installed; run `make setup` once\n"


def _bare_python(directory: Path) -> str:
    """A Python that sees the standard library only."""
    wrapper = directory / "python3"
    real = os.path.realpath(sys.executable)
    wrapper.write_text(f'#!/bin/sh\nexec {real} -S -E "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)

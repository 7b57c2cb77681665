"""The command project: machines that differ, what is refused, figures, and nothing heavy imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands.project import ProjectOptions, projected
from commands.usage import UsageError

PROJECT = Path(__file__).resolve().parents[2]


def project(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(PROJECT / "run.py"), "project", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_changed_of_a_machine_is_named_and_used() -> None:
    plain = projected(ProjectOptions())
    found = projected(ProjectOptions(nics=2, host_mem_bw=100e9, nic_rate=400e9))
    assert found.machine.name.endswith("; changed: nics, nic_bits_per_s, dram_bytes_per_s")
    assert (found.machine.nics, found.machine.dram_bytes_per_s) == (2, 100e9)
    assert found.machine.accelerators == plain.machine.accelerators
    assert "changed" not in plain.machine.name


def test_fewer_accelerators_than_two_hosts_have_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--up-to 15 is less than two hosts of 8 .* choose 16 or more"):
        projected(ProjectOptions(up_to=15))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--machine", "a4"), "there is no machine 'a4'; choose from a3-high, a3-mega, ddr5-2s"),
        (("--collective", "gossip"), "there is no collective 'gossip'; choose from all_reduce"),
        (("--nic-rate", "fast"), "--nic-rate: rate 'fast' is not understood"),
        (("--figure", "x.jpg"), "--figure x.jpg is neither .png nor .svg; choose one"),
        (("--ddio", "2"), "--ddio"),
    ],
)
def test_what_cannot_be_is_refused_by_a_sentence(words: tuple[str, str], said: str) -> None:
    found = project(*words)
    assert (found.returncode, found.stdout) == (2, "")
    assert said in found.stderr


def test_json_is_for_programs_and_a_figure_is_written(tmp_path: Path) -> None:
    figure = tmp_path / "p.svg"
    found = project("--json", "--one-way", "--figure", str(figure))
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert (document["kind"], document["wire"]["both_ways"]) == ("projection", False)
    assert figure.read_text().startswith("<?xml")


def test_a_figure_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    found = project("--figure", str(tmp_path / "none" / "p.png"))
    assert found.returncode == 1
    assert f"{tmp_path}/none/p.png: No such file or directory" in found.stderr

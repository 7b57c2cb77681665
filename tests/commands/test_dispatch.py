"""A command imports what it needs: those that only ask a host know nothing of ray, pandas and matplotlib."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MAIN = """
import sys
import run
status = run.main()
heavy = {"ray", "pandas", "matplotlib", "prometheus_client", "rich.live"}
if "--help" in sys.argv:
    heavy |= {"numpy", "networkx", "ml_dtypes", "jinja2"}
print("imported:", *sorted(heavy & sys.modules.keys()))
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["ethtool", "h1", "-g"], 1),
        (["netdev", "h1", "--dump", "dev-get"], 1),
        (["route", "h1"], 1),
        (["ss"], 1),
        (["exec", "h1", "--", "true"], 1),
        (["down"], 1),
        (["watch"], 1),
        (["watch", "--help"], 0),
        (["list"], 0),
        (["clean"], 0),
        (["up", "--hosts", "1"], 2),
        (["ethtool", "--help"], 0),
        (["--help"], 0),
        (["compare", "--help"], 0),
        (["report", "--help"], 0),
        (["reproduce", "--help"], 0),
        (["--topology", "blob"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_command_that_measures_nothing_imports_nothing_heavy(
    words: list[str], status: int, tmp_path: Path
) -> None:
    argv = [sys.executable, "-c", MAIN, *words]
    state = os.environ | {"DEVMEM_TESTBED_STATE": str(tmp_path)}
    found = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, check=False, cwd=PROJECT, env=state
    )
    assert found.returncode == status, found.stderr
    assert found.stdout.splitlines()[-1] == "imported:", found.stdout


def test_a_backend_of_a_notebook_is_nothing_to_list() -> None:
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    argv = [sys.executable, str(PROJECT / "run.py"), "list"]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (found.returncode, found.stderr) == (0, "")


def test_help_tells_every_command_by_the_first_sentence_of_its_docstring() -> None:
    """Which it reads without an import."""
    argv = [sys.executable, str(PROJECT / "run.py"), "--help"]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    listed = [line.split()[0] for line in told.partition("Commands:")[2].splitlines() if line.strip()]
    sources = {path.stem: path.read_text() for path in (PROJECT / "commands").glob("*.py")}
    assert set(listed) == {name for name, text in sources.items() if "\ndef command(" in text} - {"run"}
    assert "down End a run that `up` started." in " ".join(told.split())

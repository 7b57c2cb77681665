"""The versions of packages: pyproject.toml's bounds, and another Python that breaks them."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = ROOT / "pyproject.toml"


@pytest.fixture
def run() -> Iterator[ModuleType]:
    """run.py, which takes signals when it is imported."""
    taken = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    import run

    yield run
    for signum, handler in taken.items():
        signal.signal(signum, handler)


def test_the_installed_and_the_locked_versions_are_within_the_bounds(run: ModuleType) -> None:
    assert run._unfit_version(PYPROJECT) == ""
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", (ROOT / "requirements.lock").read_text(), re.M))
    listed = PYPROJECT.read_text().partition("dependencies = [")[2].partition("]")[0]
    for name, bounds in re.findall(r'"([a-z0-9-]+)([^"]+)"', listed):
        assert all(run._holds(locked[name], bound) for bound in bounds.split(",")), name


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ("==0.1", "and typer==0.1 is needed"),
        (">=99", "and typer>=99 is needed"),
        (">=0.1,<0.2", "and typer>=0.1,<0.2 is needed"),
        (">=0.1,<99", ""),
    ],
)
def test_a_version_out_of_bounds_is_named(bounds: str, said: str, tmp_path: Path, run: ModuleType) -> None:
    (tmp_path / "p.toml").write_text(f'[project]\ndependencies = [\n  "typer{bounds}",\n]\n')
    found = run._unfit_version(tmp_path / "p.toml")
    assert found == (f"this Python's typer is {metadata.version('typer')}, {said}" if said else "")


def test_a_missing_package_is_named(tmp_path: Path, run: ModuleType) -> None:
    (tmp_path / "p.toml").write_text('[project]\ndependencies = [\n  "none-such>=1",\n]\n')
    assert run._unfit_version(tmp_path / "p.toml") == "the Python package none-such is not installed"


@pytest.mark.parametrize(
    ("version", "bound", "holds"),
    [("2.10.0", ">=2.2", True), ("2.2", ">=2.2", True), ("2.1.9", ">=2.2", False), ("4.0.0", "<4", False),
     ("3.99", "<4", True), ("1.0.dev6", "==1.0.dev6", True), ("1.0", "==1.0.dev6", False)],
)  # fmt: skip
def test_bounds_are_compared_as_numbers(version: str, bound: str, holds: bool, run: ModuleType) -> None:
    assert run._holds(version, bound) is holds

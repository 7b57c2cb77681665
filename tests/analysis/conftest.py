"""In: nothing. Out: runs with known answers, written once a test. Owns nothing."""

from pathlib import Path

import pytest

from tests.analysis.synthetic import Made


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A complete all_reduce of three paths and three sizes on four ranks."""
    return Made().write(tmp_path / "r1")

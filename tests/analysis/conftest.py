"""In: nothing. Out: runs with known answers, written once a test. Owns nothing. Figures are drawn as coarse
PNGs alone, since drawing takes long: tests that look at figures' files ask for `real_svg`."""

from pathlib import Path

import pytest

from analysis import style
from analysis.style import CaptionedFigure
from tests.analysis.synthetic import Made


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A complete all_reduce of three paths and three sizes on four ranks."""
    return Made().write(tmp_path / "r1")


@pytest.fixture
def real_svg() -> None:
    """Figures are written as SVG, too, and are as fine as a user's."""


@pytest.fixture(autouse=True)
def _no_svg(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_svg" not in request.fixturenames:
        empty = b'<svg xmlns="http://www.w3.org/2000/svg"/>\n'
        monkeypatch.setattr(CaptionedFigure, "svg", lambda _: empty)
        monkeypatch.setattr(style, "DPI", 40)

"""In: nothing. Out: runs with known answers, written once a test. Owns nothing. To render takes half the time
of a report: figures are files without a picture, but for tests that ask for `real_png` or for `real_svg`."""

import base64
from pathlib import Path

import pytest

from analysis.captioned_figure import CaptionedFigure
from tests.analysis.synthetic import Made

NO_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
NO_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>\n'


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A complete all_reduce of three paths and three sizes on four ranks."""
    return Made().write(tmp_path / "r1")


@pytest.fixture
def real_png() -> None:
    """Figures are rendered, as PNG alone."""


@pytest.fixture
def real_svg() -> None:
    """Figures are rendered, as PNG and as SVG."""


@pytest.fixture(autouse=True)
def _no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {*request.fixturenames}
    if not asked & {"real_png", "real_svg"}:
        monkeypatch.setattr(CaptionedFigure, "png", lambda _: NO_PNG)
    if "real_svg" not in asked:
        monkeypatch.setattr(CaptionedFigure, "svg", lambda _: NO_SVG)

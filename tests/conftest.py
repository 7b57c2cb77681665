"""In: --soak on the command line. Out: what a test may ask about it. Owns nothing."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="more bytes, more frames, longer silences")


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether this is `make soak`: time does not matter."""
    return bool(request.config.getoption("--soak"))

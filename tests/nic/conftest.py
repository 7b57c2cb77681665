"""In: nothing. Out: a bench, whose buffers are counted after the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nic.bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    each = Bench()
    yield each
    each.settle()

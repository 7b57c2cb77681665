"""In: nothing. Out: payload whose references are counted when the test is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sock.payloads import Payloads


@pytest.fixture
def payloads() -> Iterator[Payloads]:
    each = Payloads(niovs=2048)
    yield each
    each.settle()

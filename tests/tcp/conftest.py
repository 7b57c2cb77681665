"""The ledger of payload references: settled after every test of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tcp.two_ends import Ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger()
    yield ledger
    ledger.settle()

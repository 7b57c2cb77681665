"""Fixtures: the ledger of payload references, settled after every test, and an established connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tcp.two_ends import Ledger, Scripted


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger()
    yield ledger
    ledger.settle()


@pytest.fixture
def peer(ledger: Ledger) -> Scripted:
    return Scripted(ledger).open()

"""How a program restores an RSS table that it is about to change."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.client.ethtool import Ethtool


class Nic(Ethtool):
    """Only the table and the number of queues."""

    def __init__(self, table: list[int], queues: int) -> None:
        self._table, self._queues = table, queues

    def do(self, operation: str, attributes: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        return {"rss-get": {"indir": self._table}, "channels-get": {"rx-count": self._queues}}[operation]


@pytest.mark.parametrize(
    ("table", "queues", "expected"),
    [
        ([0, 1, 2, 0, 1, 2, 0, 1], 3, []),  # the default stays the default
        ([0, 1, 2, 0, 1, 2, 0, 1], 4, [0, 1, 2, 0, 1, 2, 0, 1]),  # equal 3 of 4 queues
        ([3, 3, 3, 3], 4, [3, 3, 3, 3]),
    ],
)
def test_a_table_is_restored_and_a_default_stays_one(
    table: list[int], queues: int, expected: list[int]
) -> None:
    assert Nic(table, queues).rss_restoring() == {"indir": expected}

"""What `netdev --dmabuf` says has ended with it: what it made, and no more."""

from __future__ import annotations

import pytest

from commands.netdev import _taken_down


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("bind-rx", "the dma-buf of 4096 bytes and its binding 7 end"),
        ("bind-tx", "the dma-buf of 4096 bytes and its binding 7 end"),
        ("queue-get", "the dma-buf of 4096 bytes ends"),
        (None, "the dma-buf of 4096 bytes ends"),
    ],
)
def test_only_a_bind_has_a_binding_that_ends(operation: str | None, expected: str) -> None:
    assert _taken_down(operation, {"id": 7}, 4096) == expected

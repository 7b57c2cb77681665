"""Two hosts for a test; after it nothing of the memory may be missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.path.two_hosts import TwoHosts


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    two = TwoHosts()
    yield two
    assert_nothing_left(two)


def assert_nothing_left(two: TwoHosts) -> None:
    """Close all and count: bindings freed, pools drained, send pages back."""
    two.close()
    for host in (two.a, two.b):
        assert host.netdev.bindings == (), "a dma-buf is still held"
        assert host.stack.send_pages.inflight == 0, "a page for sending is still held"
        assert not host.stack.sockets(), "a connection lives on"
        assert host.stack.next_timeout() is None

"""What an application or an administrator may choose of our TCP, with Linux at the other end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nodes import uapi
from tests.system.network import MIB, Network
from tests.system.transfer import Peers
from topologies import shapes
from topologies.fabric import Fabric

pytestmark = pytest.mark.system


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Network]:
    """Hosts h1 and h2; h1 is Linux's."""
    directory = tmp_path / "run"
    directory.mkdir()
    with Fabric(shapes.build("star", 2), directory) as fabric:
        network = Network(fabric, directory, {})
        network.start("h1")
        yield network


def test_a_paced_stream_is_no_faster_than_its_rate(fabric: Network) -> None:
    """A link of many Gbit/s; the first ten segments are free."""
    fabric.start("h2")
    rate, size = 8 * MIB, 6 * MIB
    with ExitStack() as stack:
        stream = Peers(stack, fabric).we_connect()
        stream.ours.setsockopt(uapi.SOL_SOCKET, uapi.SO_MAX_PACING_RATE, rate)
        begun = time.monotonic()
        stream.sends(size)
        assert time.monotonic() - begun > 0.95 * size / rate

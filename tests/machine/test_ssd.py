"""An SSD moves the bytes that an accelerator would, by routes of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nodes.machine import ledger as routes
from nodes.machine.ledger import ROUTES, Ledger
from nodes.machine.memory import Region
from nodes.machine.ssd import Ssd

SIZE = 1 << 16


class Bench:
    def __init__(self) -> None:
        self.ledger, self.turns = Ledger(), list[tuple[int, ...]]()
        self.ssd = Ssd(self.ledger, lambda *counts: self.turns.append(counts))
        self.data = self.ssd.alloc(SIZE)

    def moved(self) -> dict[int, int]:
        return {ROUTES.index(each.route): each.bytes for each in self.ledger.snapshot()}


@pytest.fixture
def bench() -> Iterator[Bench]:
    found = Bench()
    yield found
    found.ssd.close()


def test_fragments_of_the_buffer_are_stored_on_the_media(bench: Bench) -> None:
    buffer: Region = bench.ssd.alloc(SIZE)
    buffer.view[:8] = b"abcdefgh"
    assert bench.ssd.unpack(bench.data, 100, buffer, [(6, 2), (0, 3)]) == 5
    assert bytes(bench.data.view[100:105]) == b"ghabc"
    assert bench.moved() == {routes.SSD_DEVICE_TO_MEDIA: 5}
    assert bench.turns == []


def test_what_a_nic_is_to_take_is_fetched_into_the_buffer(bench: Bench) -> None:
    bench.ssd.fetch(4096)
    assert bench.moved() == {routes.SSD_MEDIA_TO_DEVICE: 4096}


def test_host_memory_and_media_exchange_without_the_buffer(bench: Bench) -> None:
    bench.ssd.copy_to_device(memoryview(b"0123456789"), bench.data, 7)
    out = bytearray(4)
    bench.ssd.copy_to_host(bench.data, 9, memoryview(out))
    assert out == b"2345"
    assert bench.moved() == {routes.SSD_HOST_TO_MEDIA: 10, routes.SSD_MEDIA_TO_HOST: 4}
    assert bench.turns == [(10, 0, 10), (4, 4, 0)]


def test_data_are_put_and_compared_without_a_count(bench: Bench) -> None:
    values = np.arange(100, dtype=np.uint8)
    bench.ssd.fill(bench.data, 5, values)
    assert bench.ssd.compare(bench.data, 5, values) == 0
    assert bench.ssd.compare(bench.data, 6, values) == 100
    assert bench.moved() == {}

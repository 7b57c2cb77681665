"""The accelerator computes from fragments what numpy computes from the whole, wherever fragments end."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.machine import dmabuf
from nodes.machine.accelerator import Accelerator, Array, ByteRange, Operator, Slot
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.machine.routes import Place, Totals, totals

SIZE = 1 << 16


class Made:
    """An accelerator, its ledger, and what it called `turn` with."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.turns: list[tuple[int, int, int]] = []
        self.accelerator = Accelerator(self.ledger, lambda *counts: self.turns.append(counts))
        self.memory = self.accelerator.alloc(SIZE)
        self.source = self.accelerator.alloc(SIZE)

    @property
    def totals(self) -> Totals:
        return totals(self.ledger.snapshot())


@contextmanager
def made() -> Iterator[Made]:
    each = Made()
    yield each
    each.accelerator.close()


def scatter(region: Region, data: bytes, sizes: list[int], gap: int) -> list[ByteRange]:
    """Write `data` to `region` in fragments of `sizes`, `gap` bytes apart, from the end to the beginning."""
    frags, at = [], SIZE
    rest = data
    for size in [*sizes, len(data)]:
        piece, rest = rest[:size], rest[size:]
        at -= len(piece) + gap
        region.view[at : at + len(piece)] = piece
        frags.append((at, len(piece)))
    assert not rest
    return frags


def read(region: Region, offset: int, count: int, dtype: Any) -> Array:
    return np.frombuffer(bytes(region.view[offset:]), dtype, count)


sizes = st.lists(st.integers(0, 9), max_size=30)
DTYPES = [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int8), np.dtype(np.int32)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), sizes, st.integers(0, 7), st.sampled_from(DTYPES))
def test_a_reduction_of_fragments_equals_numpys_of_the_whole(
    seed: int, count: int, sizes: list[int], gap: int, dtype: np.dtype[Any]
) -> None:
    random = np.random.default_rng(seed)
    mine, theirs = (random.integers(-50, 50, count).astype(dtype) for _ in range(2))
    with made() as m:
        m.accelerator.fill(m.memory, 24, mine)
        frags = scatter(m.source, theirs.tobytes(), sizes, gap)
        before = m.totals
        reduction = m.accelerator.reduction(m.memory, 24, 24, Operator(dtype, np.add))
        for frag in frags:  # as separate calls of recvmsg return them
            assert reduction.add(m.source, [frag]) == frag[1]
        assert (read(m.memory, 24, count, dtype) == mine + theirs).all()
        assert not any(m.memory.view[:24])
        assert not any(m.memory.view[24 + mine.nbytes :])
        moved = m.totals.minus(before)
        assert (moved.device_read_bytes, moved.device_write_bytes) == (2 * mine.nbytes, mine.nbytes)
        assert m.turns == []


@pytest.mark.parametrize("cuts", [(2,), (1, 3), (1, 2, 3), (4,), (0, 4), (3, 5), (5, 6, 7, 11)])
@pytest.mark.parametrize("redop", [np.add, np.multiply, np.maximum, np.minimum])
def test_a_float_that_straddles_fragments_is_reduced_whole(cuts: tuple[int, ...], redop: np.ufunc) -> None:
    mine, theirs = np.array([1.5, -2, 8], np.float32), np.array([3.25, -7, 0.5], np.float32)
    with made() as m:
        m.accelerator.fill(m.memory, 0, mine)
        sizes = [b - a for a, b in zip((0, *cuts), cuts, strict=False)]
        frags = scatter(m.source, theirs.tobytes(), sizes, 13)
        operator = Operator(theirs.dtype, redop)
        assert m.accelerator.reduction(m.memory, 0, 0, operator).add(m.source, frags) == 12
        assert (read(m.memory, 0, 3, np.float32) == redop(mine, theirs)).all()


def test_a_result_may_go_elsewhere_than_the_operand_is() -> None:
    mine, theirs = np.array([1, 2, 3], np.int32), np.array([10, 20, 30], np.int32)
    with made() as m:
        m.accelerator.fill(m.memory, 8, mine)
        frags = scatter(m.source, theirs.tobytes(), [3, 6], 1)
        m.accelerator.reduction(m.memory, 100, 8, Operator(mine.dtype, np.multiply)).add(m.source, frags)
        assert read(m.memory, 100, 3, np.int32).tolist() == [10, 40, 90]
        assert read(m.memory, 8, 3, np.int32).tolist() == [1, 2, 3]


@pytest.mark.parametrize(("dtype", "quotient"), [(np.float32, 2.5), (np.int32, 2)])
def test_dividing_rounds_whole_numbers_down_and_stays_within_the_device(dtype: Any, quotient: float) -> None:
    with made() as m:
        m.accelerator.fill(m.memory, 4, np.array([5, 5, 5], dtype))
        before = m.totals
        m.accelerator.divide(m.memory, 4, 8, np.dtype(dtype), 2)
        assert read(m.memory, 4, 3, dtype).tolist() == [quotient, quotient, 5]
        assert m.totals.minus(before) == Totals(device_read_bytes=8, device_write_bytes=8)


def test_a_copy_within_the_device_does_not_touch_the_host() -> None:
    with made() as m:
        m.memory.view[:4] = b"data"
        m.accelerator.copy(m.memory, 0, 9, 4)
        assert bytes(m.memory.view[9:13]) == b"data"
        assert m.totals == Totals(device_read_bytes=4, device_write_bytes=4)
        assert m.turns == []


@given(st.binary(max_size=150), sizes, st.integers(0, 9))
def test_unpacking_joins_fragments_in_order(data: bytes, sizes: list[int], gap: int) -> None:
    with made() as m:
        frags = scatter(m.source, data, sizes, gap)
        assert m.accelerator.unpack(m.memory, 5, m.source, frags) == len(data)
        assert bytes(m.memory.view[5 : 5 + len(data)]) == data
        assert not any(m.memory.view[:5])
        assert not any(m.memory.view[5 + len(data) :])
        assert m.totals == Totals(device_read_bytes=len(data), device_write_bytes=len(data))


@given(st.integers(1, 50), st.sets(st.integers(0, 49)), st.integers(0, 9))
def test_comparing_counts_the_elements_that_differ(count: int, wrong: set[int], offset: int) -> None:
    expected = np.arange(count, dtype=np.float32)
    with made() as m:
        m.accelerator.fill(m.memory, offset, expected)
        spoilt = [each for each in wrong if each < count]
        for each in spoilt:
            m.memory.view[offset + 4 * each + 3] ^= 0x80
        different = sum(1 for each in spoilt if each)  # -0.0 equals 0.0
        assert m.accelerator.compare(m.memory, offset, expected) == different
        assert m.totals == Totals(device_write_bytes=4 * count, device_read_bytes=4 * count)


def test_nan_never_equals_the_expected_value() -> None:
    with made() as m:
        values = np.array([np.nan, 1], np.float32)
        m.accelerator.fill(m.memory, 0, values)
        assert m.accelerator.compare(m.memory, 0, values) == 1


def test_copies_to_and_from_the_host_wait_for_the_buses() -> None:
    with made() as m:
        host = bytearray(b"....")
        m.accelerator.copy_to_device(memoryview(b"data"), m.memory, 7)
        m.accelerator.copy_to_host(m.memory, 7, memoryview(host))
        assert bytes(host) == b"data"
        assert m.turns == [(4, 0, 4), (4, 4, 0)]
        found = m.totals
        assert (found.host_dram_read_bytes, found.host_dram_write_bytes, found.pcie_root_bytes) == (4, 4, 8)


def test_another_accelerators_memory_is_read_across_the_fabric() -> None:
    with made() as owner, made() as m:
        owner.memory.view[3:8] = b"hello"
        peer = dmabuf.attach_peer(os.dup(owner.memory.fd))
        assert m.accelerator.unpack(m.memory, 1, peer, [(3, 2), (5, 3)]) == 5
        assert bytes(m.memory.view[1:6]) == b"hello"
        assert m.totals == Totals(device_read_bytes=5, device_write_bytes=5, fabric_bytes=5)
        owner.accelerator.fill(owner.memory, 0, np.array([1, 2], np.float32))
        m.accelerator.fill(m.memory, 8, np.array([10, 20], np.float32))
        before = m.totals
        reduction = m.accelerator.reduction(m.memory, 8, 8, Operator(np.dtype(np.float32), np.add))
        assert reduction.add(peer, [(0, 3), (3, 5)]) == 8
        assert list(read(m.memory, 8, 2, np.float32)) == [11, 22]
        # Both operands are read, one of them from the peer, and the result is written.
        moved = Totals(device_read_bytes=16, device_write_bytes=8, fabric_bytes=8)
        assert m.totals.minus(before) == moved
        assert m.turns == []
        peer.close()


def test_memory_that_is_not_there_is_enomem_with_a_sentence() -> None:
    accelerator = Accelerator(Ledger(), slot=Slot("gpu0", "h1-eth0", 3 * SIZE))
    first = accelerator.alloc(2 * SIZE)
    with pytest.raises(OSError, match="gpu0 has 196608 bytes of memory, of which 131072 ") as caught:
        accelerator.alloc(2 * SIZE)
    assert caught.value.errno == errno.ENOMEM
    assert accelerator.alloc(SIZE).size == SIZE  # the whole of it
    assert dmabuf.attach(os.dup(first.fd), "h1-eth1").place is Place.FAR
    accelerator.close()
    accelerator.alloc(3 * SIZE)
    accelerator.close()


def test_close_closes_every_descriptor() -> None:
    each = Made()
    regions = [each.memory, each.source]
    assert all(region.fd >= 0 for region in regions)
    each.accelerator.close()
    assert [region.fd for region in regions] == [-1, -1]


@pytest.mark.parametrize("offset", [0, 3, 8])
@pytest.mark.parametrize("size", [300_000, 300_005, 600_001])
def test_every_wrong_byte_of_a_long_array_is_counted(size: int, offset: int) -> None:
    """Wherever it is: at either end, in a word or after the last one, at the end of a piece."""
    values = (np.arange(size) % 61 + 1).astype(np.uint8)
    accelerator = Accelerator(Ledger())
    memory = accelerator.alloc(1 << 20)
    accelerator.fill(memory, offset, values)
    assert accelerator.compare(memory, offset, values) == 0
    for wrong in ([0], [7], [size - 1], [262_143], [262_144], [size // 2, size - 3, 1]):
        for at in wrong:
            memory.view[offset + at] ^= 64
        assert accelerator.compare(memory, offset, values) == len(wrong), wrong
        for at in wrong:
            memory.view[offset + at] ^= 64
    accelerator.close()

"""Which bytes of a stream are compared, and that a wrong one among them is found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from workloads import expected
from workloads.stream_check import BLOCK_BYTES, EVERY, WHOLE_BYTES, StreamCheck

SEED = 7


@pytest.fixture
def accelerator() -> Iterator[Accelerator]:
    with closing(Accelerator(Ledger())) as made:
        yield made


def laid(accelerator: Accelerator, message: expected.Bytes, repeats: int) -> Region:
    memory = accelerator.alloc(-(-message.size * repeats // 4096) * 4096)
    accelerator.fill(memory, 0, np.tile(message, repeats))
    return memory


@pytest.mark.parametrize("size", [8, 100_001, 1 << 20])
def test_the_sample_is_the_same_however_a_stream_is_cut(accelerator: Accelerator, size: int) -> None:
    """The same memory again and again: 70 MiB and more of a stream in fragments of any length."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    repeats = max(1, (4 << 20) // size)
    memory = laid(accelerator, message := expected.message(1, size), repeats)
    total, checks = 0, (StreamCheck(message), StreamCheck(message))
    while total < WHOLE_BYTES + (6 << 20):
        checks[0].take(memory, 0, repeats * size)
        at = 0
        while at < repeats * size:
            count = min(chance.randrange(1, 70_000), repeats * size - at)
            checks[1].take(memory, at, count)
            at += count
        total += repeats * size
    assert [check.wrong_bytes for check in checks] == [0, 0]
    blocks = -(-(total - WHOLE_BYTES) // BLOCK_BYTES)
    assert checks[0].checked_bytes == checks[1].checked_bytes
    later = checks[0].checked_bytes - WHOLE_BYTES
    assert 0.5 < later / BLOCK_BYTES / (blocks / EVERY) < 2


def test_a_wrong_byte_anywhere_in_the_first_messages_is_found(accelerator: Accelerator) -> None:
    size, repeats = 10_007, 300
    memory = laid(accelerator, message := expected.message(1, size), repeats)
    for at in (0, 5, size * 150 + 77, size * repeats - 1):
        memory.view[at] ^= 0x80
        check = StreamCheck(message)
        for offset in range(0, size * repeats, 4096):
            check.take(memory, offset, min(4096, size * repeats - offset))
        memory.view[at] ^= 0x80
        assert (check.wrong_bytes, check.checked_bytes) == (1, size * repeats)


@pytest.mark.parametrize("size", [1 << 20, EVERY * BLOCK_BYTES], ids=["1 MiB", "a multiple of the step"])
def test_every_part_of_a_message_is_compared_in_time(accelerator: Accelerator, size: int) -> None:
    """After the first 64 MiB, too: the sample walks through the message."""
    memory = laid(accelerator, message := expected.message(1, size), 1)
    check = StreamCheck(message)
    for _ in range(WHOLE_BYTES // size):
        check.take(memory, 0, size)
    assert check.wrong_bytes == 0
    for block in range(size // BLOCK_BYTES):
        wrong, at = check.wrong_bytes, block * BLOCK_BYTES + 9
        memory.view[at] ^= 1
        for _ in range(20 * EVERY):
            check.take(memory, 0, size)
        memory.view[at] ^= 1
        assert check.wrong_bytes > wrong, block


def test_data_of_another_seed_is_nearly_all_wrong(accelerator: Accelerator) -> None:
    memory = laid(accelerator, expected.message(2, 1 << 16), 1)
    check = StreamCheck(expected.message(1, 1 << 16))
    check.take(memory, 0, 1 << 16)
    assert check.wrong_bytes > 0.9 * (1 << 16)

"""Compares a sample of a stream that repeats a message with that message, at a bounded cost, as it comes.

In: where in device memory the stream's next bytes lie. Out: how many bytes were compared, how many differ.
Owns the expected bytes. Compared is every byte of the first 64 MiB, and after them a 17th of the blocks of
64 KiB. A fixed seed chooses the blocks, at uneven distances, so that in time every part of a message of any
size is compared. What the comparison reads of device memory is no part of the workload: it goes to a ledger
that is thrown away.
"""

from __future__ import annotations

import random

from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from workloads.expected import Bytes

WHOLE_BYTES = 64 << 20
BLOCK_BYTES = 64 << 10
EVERY = 17


class StreamCheck:
    """`checked_bytes` and `wrong_bytes` so far."""

    def __init__(self, message: Bytes) -> None:
        # Short messages are repeated, so that a comparison is worth its call.
        import numpy as np

        self._expected = np.tile(message, -(-BLOCK_BYTES // message.size))
        self._accelerator = Accelerator(Ledger())
        self._random = random.Random(EVERY)
        self._position = 0  # in the stream, of the next byte
        self._start, self._stop = 0, WHOLE_BYTES  # the next positions to compare, none of them passed yet
        self.checked_bytes = self.wrong_bytes = 0

    def take(self, memory: Region, offset: int, size: int) -> None:
        """The stream's next `size` bytes lie in `memory` from byte `offset` on."""
        end = self._position + size
        while self._start < end:
            stop = min(self._stop, end)
            self._compare(memory, offset + self._start - self._position, stop)
            if stop == self._stop:
                block = stop // BLOCK_BYTES + self._random.randrange(2 * EVERY - 1)  # EVERY - 1 on average
                self._start, self._stop = block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES
        self._position = end

    def _compare(self, memory: Region, offset: int, stop: int) -> None:
        """Positions `_start` to `stop`; the first of them lies at `offset`."""
        while self._start < stop:
            at = self._start % self._expected.size
            expected = self._expected[at : at + stop - self._start]
            self.wrong_bytes += self._accelerator.compare(memory, offset, expected)
            self.checked_bytes += expected.size
            self._start, offset = self._start + expected.size, offset + expected.size

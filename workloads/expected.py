"""The data that every rank contributes, and the result that is expected of it, exact in float32.

In: a seed that differs for every iteration, a rank, a number of elements. Out: arrays. Owns nothing. Rank r
contributes r + 1 times a pattern of small integers. So sums are exact in any order; a missing, doubled or
misplaced contribution shows, and so does data left from an earlier iteration. The pattern is never 0, as
fresh memory is.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

ELEMENT_BYTES = 4
TYPE = "float"  # nccl-tests' name of float32
MAX_RANKS = 512  # 64 * 512 * 513 / 2 < 2 ** 24: above it float32 sums would no longer be exact

# Knuth's multiplicative hash, then murmur3's, and the seed between them: seeds' patterns are unrelated.
_GOLDEN = np.uint32(2654435761)
_MURMUR = np.uint32(0x85EBCA6B)


def seed_of(*parts: int | str) -> int:
    """A 32-bit seed from the values that identify an iteration; the same on every rank and every machine."""
    return zlib.crc32(repr(parts).encode())


def pattern(seed: int, count: int) -> NDArray[np.uint32]:
    """`count` integers from 1 to 64, by position and seed; shape (count,)."""
    values = np.arange(count, dtype=np.uint32)
    values *= _GOLDEN
    values ^= np.uint32(seed)
    values *= _MURMUR
    values >>= np.uint32(26)
    values += np.uint32(1)
    return values


def operand(seed: int, rank: int, count: int) -> Floats:
    """What `rank` contributes; shape (count,)."""
    return pattern(seed, count).astype(np.float32) * np.float32(rank + 1)


def reduced_sum(seed: int, nranks: int, count: int) -> Floats:
    """The sum over all ranks' operands; shape (count,)."""
    return pattern(seed, count).astype(np.float32) * np.float32(nranks * (nranks + 1) // 2)


def message(seed: int, size: int) -> Bytes:
    """The bytes of one stream message; shape (size,)."""
    return pattern(seed, size).astype(np.uint8)

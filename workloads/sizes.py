"""Sizes and rates as people write them: `1M`, `1M:16M:x4`, `1M:4M:+1M`, `8,64K`, `2GB/s`.

In: text. Out: bytes. Owns nothing. Sizes are binary (K = 1024) as in nccl-tests' -b and -e, rates decimal
(GB = 10^9 bytes) as vendors give them.
"""

from __future__ import annotations

import math
import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B/s", re.IGNORECASE)
_BINARY = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_DECIMAL = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_SIZES_MAX = 1000


class SizeError(ValueError):
    """Text that is not a size or a rate; str() is one sentence."""


def parse_size(text: str) -> int:
    """Bytes of one size such as `64K`. Raises SizeError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise SizeError(f"size {text!r} is not understood; write for example 64K, 1M or 1.5G")
    number = float(match[1]) * _BINARY[match[2].upper()]
    if not number.is_integer() or number <= 0:  # as is one too large for a float
        raise SizeError(f"size {text!r} is not a whole positive number of bytes; write for example 64K or 1M")
    return int(number)


def parse_sizes(text: str) -> list[int]:
    """Bytes of a list of sizes and ranges, ascending and without repetition. Raises SizeError."""
    return sorted({size for item in text.split(",") for size in _range(item)})


def parse_rate(text: str) -> float:
    """Bytes a second of a rate such as `2GB/s`. Raises SizeError."""
    match = _RATE.fullmatch(text.strip())
    if match is None or not 0 < float(match[1]) < math.inf:
        raise SizeError(f"rate {text!r} is not understood; write for example 2GB/s or 500MB/s")
    return float(match[1]) * _DECIMAL[match[2].upper()]


def _range(item: str) -> list[int]:
    parts = item.split(":")
    if len(parts) == 1:
        return [parse_size(item)]
    if len(parts) != 3 or parts[2][:1] not in ("x", "+"):
        raise SizeError(
            f"size range {item!r} is not understood; write from:to:x4 (factor) or from:to:+1M (step)"
        )
    size, last = parse_size(parts[0]), parse_size(parts[1])
    if size > last:
        raise SizeError(f"size range {item!r} runs downwards; write the smaller size first")
    grow = _growth(item, parts[2])
    found = [size]
    while (size := size * grow[0] + grow[1]) <= last:
        found.append(size)
        if len(found) > _SIZES_MAX:
            raise SizeError(f"size range {item!r} has more than {_SIZES_MAX} sizes; take a larger step")
    return found


def _growth(item: str, text: str) -> tuple[int, int]:
    """(factor, step) of `x4` or `+1M`."""
    if text[0] == "+":
        return 1, parse_size(text[1:])
    if not text[1:].isdecimal() or int(text[1:]) < 2:
        raise SizeError(f"the factor of size range {item!r} must be a whole number from 2 on, as in x4")
    return int(text[1:]), 0

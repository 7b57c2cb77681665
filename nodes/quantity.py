"""Sizes, rates and durations as people write them: `64K`, `1.5G`, `2GB/s`, `20ms`.

In: text. Out: bytes, bytes a second, or seconds. Owns nothing. Sizes are binary (K = 1024) as in nccl-tests'
-b and -e, rates decimal (GB = 10^9 bytes) as vendors give them.
"""

from __future__ import annotations

import math
import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B/s", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BINARY = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_DECIMAL = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


class QuantityError(ValueError):
    """Text that is no size, rate or duration; str() is one sentence that repeats the text."""


def parse_size(text: str) -> int:
    """Bytes of one size such as `64K`. Raises QuantityError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise QuantityError(f"size {text!r} is not understood; write for example 64K, 1M or 1.5G")
    number = float(match[1]) * _BINARY[match[2].upper()]
    if not number.is_integer() or number <= 0:  # a number too large for a float is no integer either
        raise QuantityError(
            f"size {text!r} is not a whole positive number of bytes; write for example 64K or 1M"
        )
    return int(number)


def parse_rate(text: str) -> float:
    """Bytes a second of a rate such as `2GB/s`. Raises QuantityError."""
    match = _RATE.fullmatch(text.strip())
    if match is None or not 0 < float(match[1]) < math.inf:
        raise QuantityError(f"rate {text!r} is not understood; write for example 2GB/s or 500MB/s")
    return float(match[1]) * _DECIMAL[match[2].upper()]


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `20ms`. Raises QuantityError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not 0 < float(match[1]) < math.inf:
        raise QuantityError(f"duration {text!r} is not understood; write for example 20ms or 1.5s")
    return float(match[1]) * _SECONDS[match[2]]

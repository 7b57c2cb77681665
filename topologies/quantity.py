"""Quantities of networks as people write them: `100Mbit`, `5us`, `1%`, `64K`, `2GB/s`.

In: text. Out: bits a second, seconds, a chance, loss in bursts, bytes, bytes a second. Owns nothing. Rates
are decimal, sizes binary (K = 1024), as everywhere here; a bit rate is written as tc(8) does, but `bps`,
which is bytes to tc and bits to most people, is not understood. `nodes.quantity` has the same sizes and byte
rates for the options of hosts.
"""

from __future__ import annotations

import math
import re

from topologies.link import GilbertElliott
from topologies.topology_error import TopologyError

_DECIMAL = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_BINARY = {"": 1.0, "k": 1024.0, "m": 1024.0**2, "g": 1024.0**3, "t": 1024.0**4}
_NUMBER = r"((?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*"
BIT_RATE = _NUMBER + r"([KkMGT]?)bit(?:/s)?"
DURATION = _NUMBER + r"(ns|us|ms|s)"
CHANCE = _NUMBER + r"(%?)"
SIZE = _NUMBER + r"([KkMGT]?)(?:i?B)?"
BYTE_RATE = _NUMBER + r"([KkMGT]?)B/s"
GEMODEL = "gemodel:"
_SECONDS = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}


def bit_rate(text: str) -> int:
    """Bits a second of `100Mbit`. Raises TopologyError, as all of these do."""
    number, unit = _parts("rate", text, BIT_RATE, "100Mbit or 2.5Gbit")
    return _whole("rate", text, number * _DECIMAL[unit.lower()], "bits a second")


def duration(text: str) -> float:
    """Seconds of `5us`; `0` is none."""
    if text.strip() == "0":
        return 0.0
    number, unit = _parts("time", text, DURATION, "50us, 1.5ms or 1s")
    return number / _SECONDS[unit]


def chance(text: str) -> float:
    """0 to 1, of `0.01` or `1%`."""
    number, unit = _parts("chance", text, CHANCE, "0.01 or 1%")
    value = number / 100 if unit else number
    if value > 1:
        raise TopologyError(f"chance {text!r} is more than 1; write for example 0.01 or 1%")
    return value


def gemodel(text: str) -> GilbertElliott:
    """Loss in bursts, of `gemodel:1%,30%`: p, and if it is said r, 1-h and 1-k."""
    words = text.strip().removeprefix(GEMODEL).split(",")
    if not text.strip().startswith(GEMODEL) or len(words) > 4:
        raise TopologyError(f"loss {text!r} is not gemodel:p,r,1-h,1-k; write for example gemodel:1%,30%")
    p, *more = (chance(word) for word in words)
    found = GilbertElliott(p, *(more or (1 - p,)))
    if obstacle := found.obstacle():
        raise TopologyError(f"loss {text!r}: {obstacle}")
    return found


def size(text: str) -> int:
    """Bytes of `64K`."""
    number, unit = _parts("size", text, SIZE, "64K, 1M or 16G")
    return _whole("size", text, number * _BINARY[unit.lower()], "bytes")


def byte_rate(text: str) -> float:
    """Bytes a second of `2GB/s`."""
    number, unit = _parts("rate", text, BYTE_RATE, "2GB/s or 500MB/s")
    return number * _DECIMAL[unit.lower()]


def _parts(what: str, text: str, pattern: str, examples: str) -> tuple[float, str]:
    match = re.fullmatch(pattern, text.strip())
    if match is None or math.isinf(float(match[1])):
        raise TopologyError(f"{what} {text!r} is not understood; write for example {examples}")
    return float(match[1]), match[2]


def _whole(what: str, text: str, value: float, unit: str) -> int:
    if round(value) < 1:
        raise TopologyError(f"{what} {text!r} is less than one of {unit}; write a larger one")
    return round(value)

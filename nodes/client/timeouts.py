"""How long a call may block.

In: a timeout as Python's sockets have it: seconds, None for ever, 0 not at all; the time. Out: when the call
has to end, and the exception that Python raises then. Owns nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

_MAX_S = 1 << 33  # what Python takes: nanoseconds in 64 bits


def check(timeout: float | None) -> None:
    """Refuse what Python refuses: ValueError, OverflowError."""
    if timeout is not None:
        if math.isnan(timeout):
            raise ValueError("Invalid value NaN (not a number)")
        if timeout < 0:
            raise ValueError(f"Timeout value out of range: {timeout} s is negative")
        if timeout > _MAX_S:
            raise OverflowError(f"timestamp out of range for platform time_t: {timeout} s")


@contextmanager
def timed(wait_s: float | None) -> Iterator[None]:
    """Raise TimeoutError when a call that was allowed to wait would still block."""
    try:
        yield
    except BlockingIOError:
        if wait_s:
            raise TimeoutError("timed out") from None
        raise


def deadline(now: float, wait_s: float | None) -> float:
    """When a call that begins now has to end."""
    return math.inf if wait_s is None else now + wait_s


def left_s(deadline: float, now: float) -> float | None:
    """The timeout of the rest of the call."""
    return None if deadline == math.inf else max(0.0, deadline - now)

"""This process's memory in pages of 2 MiB, where Linux has some.

In: nothing. Out: how much memory that is. Owns nothing. A simulation of many hosts visits the objects of all
of them in turns, more than the processor's table of 4 KiB pages (TLB) reaches: each visit would begin with a
walk of the page tables. Python itself asks for no huge pages, and Linux gives none unasked, as a rule.
Source: madvise(2), Documentation/admin-guide/mm/transhuge.rst.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path

HUGE_BYTES = 2 << 20
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_MAPS = Path("/proc/self/maps")


def collapse() -> int:
    """Put what the heap has now into huge pages; returns the bytes that lie in such. Without Linux 6.1
    (MADV_COLLAPSE) the kernel's own thread does it in a while, and the answer is 0."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    done = 0
    for begin, size in ranges(_MAPS.read_text().splitlines()):
        madvise(begin, size, _MADV_HUGEPAGE)
        done += size if madvise(begin, size, _MADV_COLLAPSE) == 0 else 0
    return done


def ranges(maps: Iterable[str]) -> list[tuple[int, int]]:
    """Of the lines of /proc/PID/maps: the whole huge pages, as (address, bytes), of the heap and of private
    memory without a name."""
    found = []
    for line in maps:
        span, access, _, _, _, *name = line.split()
        if access != "rw-p" or name not in ([], ["[heap]"]):
            continue
        first, last = (int(text, 16) for text in span.split("-"))
        begin, end = -(-first // HUGE_BYTES) * HUGE_BYTES, last // HUGE_BYTES * HUGE_BYTES
        if begin < end:
            found.append((begin, end - begin))
    return found

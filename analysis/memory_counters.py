"""A row of memory_counters.csv: what the machine's own memory moved in a trial, measured.

In: cells. Out: a checked record. Owns the file's columns and their ranges; analysis/rows.py reads it.
"""

import msgspec

from analysis.rows import Count, Seconds

NAME = "memory_counters.csv"


class MemoryUsage(msgspec.Struct, frozen=True):
    """Bytes that the memory controllers moved between the readings around the timed parts, `observed_s`
    apart, and payload that all ranks sent and received in the timed parts. None: only the sum is known."""

    path: str
    size_bytes: Count
    repetition: Count
    observed_s: Seconds
    payload_bytes: Count
    total_bytes: Count
    read_bytes: Count | None
    write_bytes: Count | None

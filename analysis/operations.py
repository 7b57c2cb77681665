"""A row of operations.csv: what a node of a trace did in one iteration of a rank.

In: cells. Out: a checked record. Owns the file's columns and their ranges; analysis/rows.py reads it.
"""

import msgspec

from analysis.rows import Count, Seconds

NAME = "operations.csv"


class OperationRow(msgspec.Struct, frozen=True):
    """Seconds since the iteration's first node of any rank. `kind`: compute, collective, send or receive."""

    path: str
    size_bytes: Count
    repetition: Count
    iteration: Count
    rank: Count
    node: Count
    kind: str
    bytes: Count
    begin_s: Seconds
    end_s: Seconds

"""A row of usage.csv: what a trial used of the machine and of the links that have a rate.

In: cells. Out: a checked record. Owns the file's columns and their ranges; analysis/rows.py reads it.
"""

from typing import Literal

import msgspec

from analysis.rows import Count, Seconds

NAME = "usage.csv"


class Usage(msgspec.Struct, frozen=True):
    """A process, a core or a link in one trial. Units are in the names; None: not about this kind.

    `timed_s`: the timed parts of its `iterations`, together; `observed_s`: between the readings around them,
    `readings` of which fell within. `busy_s`, `wait_s` (for a CPU) and `steal_s` are what was counted there.
    A link's `bytes` and `packets` left its interface; `burst_bytes` pass its token bucket at once.
    """

    path: str
    size_bytes: Count
    repetition: Count
    kind: Literal["process", "core", "link"]
    name: str
    timed_s: Seconds
    iterations: Count
    readings: Count
    observed_s: Seconds
    busy_s: Seconds | None
    wait_s: Seconds | None
    steal_s: Seconds | None
    bytes: Count | None
    packets: Count | None
    rate_bps: Count | None
    burst_bytes: Count | None
    mtu: Count | None

"""What background traffic got: the manifest's record of it, and a line.

In: a record. Out: its line. Owns the line's form, and the ranges of the numbers.
"""

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**18)]


class TrafficRecord(msgspec.Struct, frozen=True):
    """An entry of background traffic, and what it got, over all hosts. Flow completion times in seconds;
    None: no flow was completed, or its kind has flows without an end."""

    traffic: str
    kind: str
    seconds: Seconds
    flows: Count
    completed: Count
    failed: Count
    refused: Count
    offered_bytes: Count
    delivered_bytes: Count
    fct_p50_s: Seconds | None
    fct_p95_s: Seconds | None
    fct_p99_s: Seconds | None


def traffic_line(record: TrafficRecord) -> str:
    """Flows, bytes and completion times of an entry."""
    flows = f"{record.flows} flow{'' if record.flows == 1 else 's'}"
    of_flows = ((record.completed, "completed"), (record.failed, "failed"), (record.refused, "refused"))
    if told := [f"{count} {word}" for count, word in of_flows if count]:
        flows += f" ({', '.join(told)})"
    said = f"{flows}, {_megabytes(record.delivered_bytes)} of {_megabytes(record.offered_bytes)} MB"
    if record.seconds:
        said += f" in {record.seconds:.1f} s ({record.delivered_bytes * 8e-6 / record.seconds:.3g} Mbit/s)"
    times = (record.fct_p50_s, record.fct_p95_s, record.fct_p99_s)
    if all(each is not None for each in times):
        said += f", 50/95/99 %: {'/'.join(map(_milliseconds, times))} ms"
    return f"{record.traffic}: {said}"


def _milliseconds(seconds: float | None) -> str:
    found = 1e3 * (seconds or 0)
    return f"{found:.3g}" if found < 1000 else f"{found:.0f}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.4g}"

"""What a run's background traffic got: of all hosts' reports together.

In: reports, by host. Out: rows of traffic.csv, and a record for each entry, for the manifest. Owns the
file's columns. Times are those of completed flows alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec

from workloads.traffic.tally import Delivered, Offered, Report, Times, merged

CSV_NAME = "traffic.csv"


class TrafficRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of traffic.csv: flows of one class of sizes from one host to another. Its fields are the
    columns, in order."""

    traffic: Annotated[str, "", "the entry, as it was understood"]
    kind: Annotated[str, "", "constant, on-off or poisson"]
    source: Annotated[str, "", "host that sends"]
    destination: Annotated[str, "", "host that receives"]
    sizes: Annotated[
        str, "",
        "`small`: up to 100 KB (10^5 bytes), `medium`: up to 10 MB, `large`; `endless` of constant and on- "
        "off",
    ]
    seconds: Annotated[float, "s", "how long it sent"]
    flows: Annotated[int, "", "begun; a connection that had to be opened again counts again"]
    completed: Annotated[int, "", "whose last byte arrived"]
    failed: Annotated[int, "", "whose connection failed"]
    refused: Annotated[int, "", "not begun, since too many were under way; not in `offered_bytes`"]
    offered_bytes: Annotated[
        int, "B", "payload of flows that were begun, in full; of constant and on-off what the rate asks for"
    ]
    delivered_bytes: Annotated[int, "B", "payload that arrived, of flows that were not completed, too"]
    fct_p50_s: Annotated[
        float | None, "s",
        "flow completion time, median of the completed: from the attempt to connect until the last byte "
        "arrived; within 1 %",
    ]
    fct_p95_s: Annotated[float | None, "s", "of 95 % of them, at most"]
    fct_p99_s: Annotated[float | None, "s", "of 99 % of them, at most"]


class TrafficRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of --traffic or of a topology file, and what it got, over all hosts."""

    traffic: Annotated[str, "", "the entry, as it was written"]
    kind: Annotated[str, "", "as in traffic.csv"]
    seconds: Annotated[float, "s", "as in traffic.csv"]
    flows: Annotated[int, "", "begun"]
    completed: Annotated[int, "", "whose last byte arrived"]
    failed: Annotated[int, "", "whose connection failed"]
    refused: Annotated[int, "", "not begun, since too many were under way"]
    offered_bytes: Annotated[int, "B", "as in traffic.csv"]
    delivered_bytes: Annotated[int, "B", "as in traffic.csv"]
    fct_p50_s: Annotated[
        float | None, "s",
        "flow completion time, median; null: no flow was completed, or its kind has flows without an end",
    ]
    fct_p95_s: Annotated[float | None, "s", "of 95 % of them, at most"]
    fct_p99_s: Annotated[float | None, "s", "of 99 % of them, at most"]


class Entry(NamedTuple):
    text: str
    kind: str


class Outcome(NamedTuple):
    rows: tuple[TrafficRow, ...]
    records: tuple[TrafficRecord, ...]


def outcome(entries: Sequence[Entry], addresses: Mapping[str, str], reports: Mapping[str, Report]) -> Outcome:
    """`addresses`: hosts' names by the addresses that reports have; `reports`: by host."""
    sides = sorted(_sides(addresses, reports).items())
    rows = [
        TrafficRow(
            traffic=entries[entry].text, kind=entries[entry].kind, source=source, destination=destination,
            sizes=sizes, seconds=round(reports[source].seconds, 6),
            **_counts([offered], [delivered]),  # type: ignore[arg-type]
        )
        for (entry, source, destination, sizes), (offered, delivered) in sides
    ]  # fmt: skip
    records = []
    for number, entry in enumerate(entries):
        mine = [side for key, side in sides if key[0] == number]
        seconds = [reports[source].seconds for (of, source, _, _), _ in sides if of == number]
        records.append(
            TrafficRecord(
                traffic=entry.text, kind=entry.kind, seconds=round(max(seconds, default=0.0), 6),
                **_counts([each for each, _ in mine], [each for _, each in mine]),  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return Outcome(tuple(rows), tuple(records))


_Key = tuple[int, str, str, str]  # entry, source, destination, class of sizes


def _sides(
    addresses: Mapping[str, str], reports: Mapping[str, Report]
) -> dict[_Key, tuple[Offered, Delivered]]:
    """What the source says, and what the destination says of the same flows."""
    offered = {
        (each.entry, host, addresses[each.peer], each.sizes): each
        for host, report in reports.items()
        for each in report.offered
    }
    delivered = dict(_delivered(addresses, reports))
    return {
        key: (each, delivered.get(key, Delivered(each.entry, "", each.sizes)))
        for key, each in offered.items()
    }


def _delivered(
    addresses: Mapping[str, str], reports: Mapping[str, Report]
) -> Iterator[tuple[_Key, Delivered]]:
    for host, report in reports.items():
        for each in report.delivered:
            if each.peer in addresses:  # and not what a user sends there
                yield (each.entry, addresses[each.peer], host, each.sizes), each


def _counts(offered: Sequence[Offered], delivered: Sequence[Delivered]) -> dict[str, int | float | None]:
    times = merged(each.times for each in delivered)
    return {
        "flows": sum(each.flows for each in offered),
        "completed": times.count,
        "failed": sum(each.failed for each in offered),
        "refused": sum(each.refused for each in offered),
        "offered_bytes": sum(each.bytes for each in offered),
        "delivered_bytes": sum(each.bytes for each in delivered),
        "fct_p50_s": _percentile(times, 0.5),
        "fct_p95_s": _percentile(times, 0.95),
        "fct_p99_s": _percentile(times, 0.99),
    }


def _percentile(times: Times, share: float) -> float | None:
    found = times.percentile(share)
    return None if found is None else float(f"{found:.3g}")

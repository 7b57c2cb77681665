"""What this machine's own memory moved while a trial was timed: measured, beside what the ledger models.

In: readings of the memory controllers, taken while a trial ran; the trial's rows. Out: a row of
memory_counters.csv, or none where the machine does not tell; pure. Owns the file's columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from workloads.experiment.records import Sample, Trial
from workloads.experiment.usage import Reading, around, windows


class MemoryUsage(msgspec.Struct, frozen=True):
    """One row: bytes that the memory controllers moved between the readings around the timed parts, which
    are `observed_s` apart, and payload that all ranks sent and received in the timed parts, warm-up included.
    Its fields are the columns, in order. None: only the sum is known."""

    path: Annotated[str, "", "as in samples.csv"]
    size_bytes: Annotated[int, "B", "the trial's size; of a stream that of a message"]
    repetition: Annotated[int, "", "as in samples.csv"]
    observed_s: Annotated[float, "s", "between the readings around the timed parts"]
    payload_bytes: Annotated[
        int, "B", "payload that all ranks sent and received in the timed parts, warm-up included"
    ]
    total_bytes: Annotated[int, "B", "what the memory controllers moved between these readings"]
    read_bytes: Annotated[int | None, "B", "reads among it; empty with resctrl"]
    write_bytes: Annotated[int | None, "B", "writes among it; empty with resctrl"]


def memory_usage(trial: Trial, samples: Sequence[Sample], readings: Sequence[Reading]) -> list[MemoryUsage]:
    """The row of a trial. Everything that the machine did meanwhile is in it."""
    pairs = around(windows(samples), readings)
    known = [(a.memory, b.memory) for a, b in pairs if a.memory is not None and b.memory is not None]
    if not known or len(known) < len(pairs):
        return []
    payload = sum(sample.payload_sent_bytes + sample.payload_received_bytes for sample in samples)
    return [
        MemoryUsage(
            trial.path,
            trial.size_bytes,
            trial.repetition,
            sum(b.at_s - a.at_s for a, b in pairs),
            payload,
            round(sum(b.total - a.total for a, b in known)),
            _change([(a.read, b.read) for a, b in known]),
            _change([(a.written, b.written) for a, b in known]),
        )
    ]


def _change(ends: Sequence[tuple[float | None, float | None]]) -> int | None:
    changes = [after - before for before, after in ends if before is not None and after is not None]
    return round(sum(changes)) if len(changes) == len(ends) else None

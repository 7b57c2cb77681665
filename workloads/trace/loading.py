"""How long a rank's computations waited for batches of data: to begin with, and in the course of training.

In: a rank's trace, the spans of its nodes. Out: seconds; pure. Owns nothing. Setup is the time until the
first batch is there, and no part of the training loop. A later step stalls from when all else that it
depends on has ended, the step before it too, until its batch is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from workloads.trace.node import Compute, ReceiveFrom, Trace
from workloads.trace.streams import Span


class Loading(NamedTuple):
    """`setup_s`: from the start until the first computation's batch is there; `stalled_s`: how long the later
    ones waited for theirs."""

    setup_s: float
    stalled_s: float


def loading(trace: Trace, spans: Mapping[int, Span], start_s: float) -> Loading | None:
    """None for a rank whose computations depend on no batch."""
    batches = {node.id for node in trace.nodes if isinstance(node, ReceiveFrom) and node.batch}
    setup_s: float | None = None
    stalled_s, free_s = 0.0, start_s  # when the accelerator has nothing else to wait for
    for node in trace.nodes:
        if not isinstance(node, Compute):
            continue
        there_s = max((spans[dep].end_s for dep in node.deps if dep in batches), default=None)
        if there_s is not None and setup_s is None:
            setup_s = there_s - start_s
        elif there_s is not None:
            others_s = [spans[dep].end_s for dep in node.deps if dep not in batches]
            stalled_s += max(0.0, there_s - max([free_s, *others_s]))
        free_s = spans[node.id].end_s
    return None if setup_s is None else Loading(setup_s, stalled_s)

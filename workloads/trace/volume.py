"""How many bytes a collective of a trace moves, in closed form.

In: a collective, how many ranks take part, a rank's place among them. Out: bytes; pure. Owns nothing. Of most
collectives it is what nccl-tests' busbw counts, which is the busiest rank's. An all_to_allv has shares that
are drawn: each rank moves its own.
"""

from __future__ import annotations

from typing import NamedTuple

from workloads.bus_bandwidth import busbw_factor
from workloads.element_types import ELEMENT_TYPES
from workloads.schedules.direct import Lengths, skewed_lengths
from workloads.schedules.schedule import Call
from workloads.trace.node import Collective


class Moved(NamedTuple):
    """Bytes that a rank sends to others and receives from others."""

    sent: int
    received: int


def moved(node: Collective, nranks: int, place: int) -> Moved:
    """By the rank at that place."""
    if node.collective != "all_to_allv":
        size = round(busbw_factor(node.collective, nranks) * node.bytes)
        return Moved(size, size)
    lengths = exchanged(node, nranks)
    own = lengths[place][place]
    return Moved(sum(lengths[place]) - own, sum(row[place] for row in lengths) - own)


def busiest_bytes(node: Collective, nranks: int) -> int:
    """By the busiest rank, in its busier direction."""
    places = range(nranks) if node.collective == "all_to_allv" else (0,)
    return max(max(moved(node, nranks, place)) for place in places)


def exchanged(node: Collective, nranks: int) -> Lengths:
    """[i][j]: bytes that the rank at place i has for the one at place j in an all_to_allv."""
    element_bytes = ELEMENT_TYPES[node.dtype].bytes
    return skewed_lengths(
        Call(
            rank=0,
            nranks=nranks,
            count=node.bytes // element_bytes,
            element_bytes=element_bytes,
            scratch=0,
            seed=node.seed,
            transposed=node.transposed,
        )
    )

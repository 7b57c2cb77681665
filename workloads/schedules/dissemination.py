"""A barrier on the data plane: no rank ends before every rank has begun.

In: a rank's part of a collective. Out: its actions; pure. Owns nothing. In round k a rank tells the rank 2**k
places on that it, and all that it has heard of, have come: ceil(log2 n) rounds of one element. Source:
Hensgen, Finkel and Manber, "Two algorithms for barrier synchronization", 1988.
"""

from __future__ import annotations

from workloads.schedules.schedule import Action, Call, Chunk, receive, send


def barrier(call: Call) -> list[Action]:
    """Of the array one element is sent a round, whatever its size; it lands in scratch memory."""
    token = Chunk(0, call.element_bytes)
    actions: list[Action] = []
    distance = 1
    while distance < call.nranks:
        actions += send("barrier", (call.rank + distance) % call.nranks, token.at(call.input))
        actions += receive("barrier", (call.rank - distance) % call.nranks, token.at(call.scratch))
        distance *= 2
    return actions

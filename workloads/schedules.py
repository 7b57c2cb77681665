"""Who sends which bytes when: collectives as lists of steps.

In: rank, number of ranks, bytes, element size. Out: the steps of that rank, pure data; nothing here knows
a socket. In every step a rank sends one span to the next rank of the ring while it receives one from the
rank before. Source: the ring algorithm of NCCL (src/device/all_reduce.h) and Patarasuk & Yuan, 2009.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec


class Span(msgspec.Struct, frozen=True):
    """`length` bytes from byte `offset` on; length 0 where there are fewer elements than ranks."""

    offset: int
    length: int


class Step(msgspec.Struct, frozen=True):
    """Send `send`, receive into `receive`: added to what is there if `reduces`, else in its place.

    `overwrites` is the index of the earlier step whose sent bytes `receive` replaces (None for none): a
    zero-copy send of that step has to be complete first.
    """

    phase: str
    send: Span
    receive: Span
    reduces: bool
    overwrites: int | None = None


Schedule = Callable[[int, int, int, int], list[Step]]


def chunks(total_bytes: int, parts: int, element_bytes: int) -> list[Span]:
    """Cut into `parts` consecutive spans on element boundaries whose sizes differ by one element at most.

    Raises ValueError when `total_bytes` is no multiple of `element_bytes`.
    """
    count, rest = divmod(total_bytes, element_bytes)
    if rest:
        raise ValueError(f"{total_bytes} bytes are not a whole number of elements of {element_bytes} bytes")
    cuts = [count * part // parts * element_bytes for part in range(parts + 1)]
    return [Span(begin, end - begin) for begin, end in itertools.pairwise(cuts)]


def ring_all_reduce(rank: int, nranks: int, total_bytes: int, element_bytes: int) -> list[Step]:
    """2(n-1) steps: reduce-scatter, after which rank r has the whole sum of chunk r+1, then all-gather."""
    parts = chunks(total_bytes, nranks, element_bytes)
    turns = range(nranks - 1)
    scatter = [
        Step("reduce-scatter", parts[(rank - turn) % nranks], parts[(rank - turn - 1) % nranks], reduces=True)
        for turn in turns
    ]
    gather = [
        # The chunk that arrives now is the one this rank gave away, half summed, in the same turn above.
        Step(
            "all-gather",
            parts[(rank + 1 - turn) % nranks],
            parts[(rank - turn) % nranks],
            reduces=False,
            overwrites=turn,
        )
        for turn in turns
    ]
    return scatter + gather


SCHEDULES: dict[str, Schedule] = {"all_reduce": ring_all_reduce}

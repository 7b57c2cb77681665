"""Which rank sends which bytes to which peer, and when: collectives as lists of steps.

In: rank, number of ranks, bytes, element size. Out: the steps of that rank, pure data; nothing here knows a
socket. Owns nothing. tests/workloads/schedule_model.py runs the schedules of all ranks and finds deadlock and
incompleteness. Source of the ring: NCCL (src/device/all_reduce.h) and Patarasuk & Yuan, 2009.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec


class Chunk(msgspec.Struct, frozen=True):
    """`length` bytes of the data buffer from byte `offset` on. The length is 0 where there are fewer
    elements than ranks."""

    offset: int
    length: int


class Send(msgspec.Struct, frozen=True):
    """`chunk` goes to rank `peer`."""

    peer: int
    chunk: Chunk


class Receive(msgspec.Struct, frozen=True):
    """The next bytes from rank `peer` are added to `chunk` if `reduces`, else they replace it."""

    peer: int
    chunk: Chunk
    reduces: bool = False


class Step(msgspec.Struct, frozen=True):
    """Begin to send, then receive; the step ends when the receive is complete.

    Sends to one peer leave in the order of the steps, and no send waits for a send to another peer.
    `overwrites`: earlier steps, or this one, by index, whose sent bytes `receive` replaces. A zero-copy send
    still needs its bytes, so those sends have to be complete before `receive` begins.
    """

    phase: str
    send: Send | None = None
    receive: Receive | None = None
    overwrites: tuple[int, ...] = ()


Schedule = Callable[[int, int, int, int], list[Step]]


def chunks(total_bytes: int, parts: int, element_bytes: int) -> list[Chunk]:
    """Cut into `parts` consecutive chunks on element boundaries whose sizes differ by one element at most.

    Raises ValueError when `total_bytes` is no multiple of `element_bytes`.
    """
    count, rest = divmod(total_bytes, element_bytes)
    if rest:
        raise ValueError(f"{total_bytes} bytes are not a whole number of elements of {element_bytes} bytes")
    cuts = [count * part // parts * element_bytes for part in range(parts + 1)]
    return [Chunk(begin, end - begin) for begin, end in itertools.pairwise(cuts)]


def ring_all_reduce(rank: int, nranks: int, total_bytes: int, element_bytes: int) -> list[Step]:
    """2(n-1) steps: reduce-scatter, after which rank r has the whole sum of chunk r+1, then all-gather.

    In every step a rank sends one chunk to the next rank of the ring and receives one from the rank before.
    """
    parts = chunks(total_bytes, nranks, element_bytes)
    after, before = (rank + 1) % nranks, (rank - 1) % nranks
    turns = range(nranks - 1)
    scatter = [
        Step(
            "reduce-scatter",
            Send(after, parts[(rank - turn) % nranks]),
            Receive(before, parts[(rank - turn - 1) % nranks], reduces=True),
        )
        for turn in turns
    ]
    gather = [
        # The chunk received here is the one that this rank sent, partly summed, in the same turn above.
        Step(
            "all-gather",
            Send(after, parts[(rank + 1 - turn) % nranks]),
            Receive(before, parts[(rank - turn) % nranks]),
            overwrites=(turn,),
        )
        for turn in turns
    ]
    return scatter + gather

"""What each collective promises: where a rank's input lies, and what it ends with.

In: a rank's part of a collective. Out: ranges of its memory, and whose elements they hold in the end; pure.
Owns nothing. The definitions are MPI's and nccl-tests'. Ranks are filled by `inputs`, and checked by
`results`; the schedules are held against both by a model that runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from workloads.schedules.direct import placed, skewed_lengths
from workloads.schedules.schedule import Call, Chunk


class Result(msgspec.Struct, frozen=True):
    """In the end `chunk` holds the bytes of rank `source`'s input from byte `offset` on; without a source,
    those of all ranks' inputs, reduced."""

    chunk: Chunk
    source: int | None
    offset: int


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """`inputs`: where the rank's input lies before. `results`: what it ends with. `output_bytes`: the most
    that any rank ends with. `in_place`: whether the collective can replace its input. `rooted`: whether one
    rank is its root. `reduces`: whether it has a reduction."""

    inputs: Callable[[Call], Chunk]
    results: Callable[[Call], list[Result]]
    output_bytes: Callable[[Call], int] = lambda call: call.whole.length
    in_place: bool = True
    rooted: bool = False
    reduces: bool = False


def _whole_input(call: Call) -> Chunk:
    return call.whole.at(call.input)


def _roots_input(call: Call) -> Chunk:
    return call.whole.at(call.input) if call.rank == call.root else Chunk(call.input, 0)


def _own_input(call: Call) -> Chunk:
    own = call.parts()[call.rank]
    return own.at(call.output) if call.in_place else Chunk(call.input, own.length)


def _own_output(call: Call) -> Chunk:
    own = call.parts()[call.rank]
    return own.at(call.output) if call.in_place else Chunk(call.output, own.length)


def _reduced(call: Call) -> list[Result]:
    return [Result(call.whole.at(call.output), None, 0)]


def _reduced_at_root(call: Call) -> list[Result]:
    return _reduced(call) if call.rank == call.root else []


def _reduced_part(call: Call) -> list[Result]:
    return [Result(_own_output(call), None, call.parts()[call.rank].offset)]


def _gathered(call: Call) -> list[Result]:
    return [Result(part.at(call.output), rank, 0) for rank, part in enumerate(call.parts())]


def _gathered_at_root(call: Call) -> list[Result]:
    return _gathered(call) if call.rank == call.root else []


def _from_root(call: Call) -> list[Result]:
    return [Result(call.whole.at(call.output), call.root, 0)]


def _part_from_root(call: Call) -> list[Result]:
    return [Result(_own_output(call), call.root, call.parts()[call.rank].offset)]


def _from_before(call: Call) -> list[Result]:
    return [Result(call.whole.at(call.output), (call.rank - 1) % call.nranks, 0)]


def _exchanged(call: Call, lengths: Sequence[Sequence[int]]) -> list[Result]:
    came = placed([row[call.rank] for row in lengths])
    return [
        Result(chunk.at(call.output), rank, placed(lengths[rank])[call.rank].offset)
        for rank, chunk in enumerate(came)
    ]


def _evenly_exchanged(call: Call) -> list[Result]:
    return _exchanged(call, [[part.length for part in call.parts()]] * call.nranks)


def _skewed_input(call: Call) -> Chunk:
    return Chunk(call.input, sum(skewed_lengths(call)[call.rank]))


def _exchanged_bytes(call: Call) -> int:
    return call.nranks * max(part.length for part in call.parts())


def _skewed_bytes(call: Call) -> int:
    return max(sum(row[rank] for row in skewed_lengths(call)) for rank in range(call.nranks))


CONTRACTS: dict[str, Contract] = {
    "all_reduce": Contract(inputs=_whole_input, results=_reduced, reduces=True),
    "reduce_scatter": Contract(inputs=_whole_input, results=_reduced_part, reduces=True),
    "all_gather": Contract(inputs=_own_input, results=_gathered),
    "broadcast": Contract(inputs=_roots_input, results=_from_root, rooted=True),
    "reduce": Contract(inputs=_whole_input, results=_reduced_at_root, rooted=True, reduces=True),
    "gather": Contract(inputs=_own_input, results=_gathered_at_root, rooted=True),
    "scatter": Contract(inputs=_roots_input, results=_part_from_root, rooted=True),
    "all_to_all": Contract(
        inputs=_whole_input, results=_evenly_exchanged, output_bytes=_exchanged_bytes, in_place=False
    ),
    "all_to_allv": Contract(
        inputs=_skewed_input,
        results=lambda call: _exchanged(call, skewed_lengths(call)),
        output_bytes=_skewed_bytes,
        in_place=False,
    ),
    "sendrecv": Contract(inputs=_whole_input, results=_from_before, in_place=False),
    "barrier": Contract(inputs=_whole_input, results=lambda _: [], output_bytes=lambda _: 0, in_place=False),
}

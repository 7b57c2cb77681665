"""Collectives in which each rank exchanges with its peers directly: nothing passes through a third rank.

In: a rank's part of a collective. Out: its actions; pure. Owns nothing. Exchanges with all others go by
distance: in turn k with the rank k places on and the one k places before, so that no rank is everybody's
peer at the same time.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence

from workloads.schedules.schedule import Action, Call, Chunk, copy, receive, send

Lengths = tuple[tuple[int, ...], ...]

_SKEW = 1.5  # the shape of the Pareto distribution that all_to_allv draws shares from


def gather(call: Call) -> list[Action]:
    """The root ends with every rank's chunk, in order of ranks."""
    parts = call.parts()
    own = parts[call.rank]
    source = own.at(call.output) if call.in_place else Chunk(call.input, own.length)
    if call.rank != call.root:
        return _sent(call, "gather", call.root, source)
    actions = copy("copy", source.offset, own.at(call.output))
    for peer in _others(call):
        actions += _received(call, "gather", peer, parts[peer].at(call.output))
    return actions


def scatter(call: Call) -> list[Action]:
    """Rank r ends with chunk r of the root's array."""
    parts = call.parts()
    own = parts[call.rank]
    output = own.at(call.output) if call.in_place else Chunk(call.output, own.length)
    if call.rank != call.root:
        return _received(call, "scatter", call.root, output)
    actions = copy("copy", call.input + own.offset, output)
    for peer in _others(call):
        actions += _sent(call, "scatter", peer, parts[peer].at(call.input))
    return actions


def all_to_all(call: Call) -> list[Action]:
    """Every rank's array is cut into a chunk for each rank, and each gets its own, in order of senders."""
    return _exchanged(call, [[part.length for part in call.parts()]] * call.nranks)


def all_to_allv(call: Call) -> list[Action]:
    """As all_to_all, but the chunks are of unlike sizes, drawn from the seed."""
    return _exchanged(call, skewed_lengths(call))


def sendrecv(call: Call) -> list[Action]:
    """The whole array goes to the next rank, and the one before sends its own."""
    whole, after, before = call.whole, (call.rank + 1) % call.nranks, (call.rank - 1) % call.nranks
    if call.nranks == 1:
        return copy("copy", call.input, whole.at(call.output))
    actions: list[Action] = []
    for piece in call.pieces(whole):
        actions += send("sendrecv", after, piece.at(call.input))
    for piece in call.pieces(whole):
        actions += receive("sendrecv", before, piece.at(call.output))
    return actions


def skewed_lengths(call: Call) -> Lengths:
    """Bytes that rank i sends to rank j in all_to_allv; [i][j], the same on every rank. Each row sums up to
    the whole array. Shares follow a Pareto distribution, as those of a mixture of experts do: some of the
    ranks are asked for far more than others. Transposed, the columns do: everything goes back."""
    rows = _drawn(call.nranks, call.count, call.element_bytes, call.seed)
    return tuple(zip(*rows, strict=True)) if call.transposed else rows


@functools.cache
def _drawn(nranks: int, count: int, element_bytes: int, seed: int) -> Lengths:
    chance = random.Random(seed)
    popular = [chance.paretovariate(_SKEW) for _ in range(nranks)]
    rows = []
    for _ in range(nranks):
        shares = [each * chance.uniform(0.5, 1.5) for each in popular]
        ends = [round(count * upto / sum(shares)) for upto in itertools.accumulate(shares)]
        ends[-1] = count
        rows.append(tuple((end - begin) * element_bytes for begin, end in itertools.pairwise([0, *ends])))
    return tuple(rows)


def placed(lengths: Sequence[int]) -> list[Chunk]:
    """Consecutive chunks of these lengths, from offset 0 on."""
    ends = [0, *itertools.accumulate(lengths)]
    return [Chunk(begin, length) for begin, length in zip(ends, lengths, strict=False)]


def _exchanged(call: Call, lengths: Sequence[Sequence[int]]) -> list[Action]:
    mine = placed(lengths[call.rank])
    came = placed([row[call.rank] for row in lengths])
    actions = copy("copy", mine[call.rank].at(call.input).offset, came[call.rank].at(call.output))
    for distance in range(1, call.nranks):
        to, source = (call.rank + distance) % call.nranks, (call.rank - distance) % call.nranks
        actions += _sent(call, f"exchange {distance}", to, mine[to].at(call.input))
        actions += _received(call, f"exchange {distance}", source, came[source].at(call.output))
    return actions


def _others(call: Call) -> list[int]:
    """The other ranks, the next one first."""
    return [(call.rank + distance) % call.nranks for distance in range(1, call.nranks)]


def _sent(call: Call, phase: str, peer: int, chunk: Chunk) -> list[Action]:
    return [action for piece in call.pieces(chunk) for action in send(phase, peer, piece)]


def _received(call: Call, phase: str, peer: int, chunk: Chunk) -> list[Action]:
    return [action for piece in call.pieces(chunk) for action in receive(phase, peer, piece)]

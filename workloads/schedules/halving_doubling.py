"""Recursive halving, then recursive doubling: an all-reduce in 2 log2(n) exchanges.

In: a rank's part of a collective. Out: its actions; pure. Owns nothing. Fewer steps than a ring's 2 (n-1), so
it is latency's choice; the bytes are the ring's. Source: Thakur, Rabenseifner and Gropp, "Optimization of
Collective Communication Operations in MPICH", 2005. Where the number of ranks is no power of two, the first
ranks work in pairs: the even one gives all it has to the odd one, and gets the result.
"""

from __future__ import annotations

from workloads.schedules import ring
from workloads.schedules.schedule import Action, Call, Chunk, average, chunks, receive, send


def all_reduce(call: Call) -> list[Action]:
    """A rank sends (p-1)/p of the array twice, p being the largest power of two among the ranks."""
    if call.nranks == 1:
        return ring.alone(call.input, call.whole.at(call.output))
    power = 1 << (call.nranks.bit_length() - 1)
    pairs = call.nranks - power
    if call.rank < 2 * pairs and call.rank % 2 == 0:
        return [
            *_sent(call, "fold", call.rank + 1, call.whole.at(call.input)),
            *_received(call, "unfold", call.rank + 1, call.whole.at(call.output)),
        ]
    actions: list[Action] = []
    base = call.input
    if call.rank < 2 * pairs:
        actions += _received(call, "fold", call.rank - 1, call.whole.at(call.output), base)
        base = call.output
    actions += _exchanged(call, power, pairs, base)
    if call.rank < 2 * pairs:
        actions += _sent(call, "unfold", call.rank - 1, call.whole.at(call.output))
    return actions


def _exchanged(call: Call, power: int, pairs: int, base: int) -> list[Action]:
    """Among `power` ranks, whose input is at `base`: each exchange halves what a rank works on."""
    place = call.rank // 2 if call.rank < 2 * pairs else call.rank - pairs
    kept, exchanges = call.whole, []
    actions: list[Action] = []
    for bit in reversed(range(power.bit_length() - 1)):
        low, high = chunks(kept, 2, call.element_bytes)
        mine, theirs = (high, low) if place >> bit & 1 else (low, high)
        peer = _rank_at(place ^ 1 << bit, pairs)
        actions += _sent(call, "halving", peer, theirs.at(base))
        actions += _received(call, "halving", peer, mine.at(call.output), base + mine.offset)
        exchanges.append((peer, mine, theirs))
        kept, base = mine, call.output
    actions += average("halving", kept.at(call.output))
    for peer, mine, theirs in reversed(exchanges):
        actions += _sent(call, "doubling", peer, mine.at(call.output))
        actions += _received(call, "doubling", peer, theirs.at(call.output))
    return actions


def _rank_at(place: int, pairs: int) -> int:
    """The rank that is at that place among those which exchange."""
    return 2 * place + 1 if place < pairs else place + pairs


def _sent(call: Call, phase: str, peer: int, chunk: Chunk) -> list[Action]:
    return [action for piece in call.pieces(chunk) for action in send(phase, peer, piece)]


def _received(call: Call, phase: str, peer: int, chunk: Chunk, operand: int | None = None) -> list[Action]:
    """Piece by piece, so that a later exchange's sends need not wait for all of it."""
    return [
        action
        for piece in call.pieces(chunk)
        for action in receive(
            phase, peer, piece, None if operand is None else operand + piece.offset - chunk.offset
        )
    ]

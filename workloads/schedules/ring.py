"""Rings and chains: what each rank sends goes to the next one, what it receives comes from the one before.

In: a rank's part of a collective. Out: its actions; pure. Owns nothing. Every rank sends and receives as much
as any other, and no link carries a byte twice, which is why these are bandwidth's choice (Patarasu and Yuan,
2009, for the ring; NCCL's rings are the same). Chunks are cut into pieces: while one is received, the one
before is on its way to the next rank.
"""

from __future__ import annotations

from collections.abc import Sequence

from workloads.schedules.schedule import Action, Call, Chunk, average, copy, receive, send


def all_reduce(call: Call) -> list[Action]:
    """Reduce-scatter, after which rank r has the whole result of chunk r+1, then all-gather: 2 (n-1)/n of the
    array leaves each rank, and as much comes."""
    if call.nranks == 1:
        return alone(call.input, call.whole.at(call.output))
    rank, nranks = call.rank, call.nranks
    scattered = [(rank - turn) % nranks for turn in range(nranks)]
    gathered = [(rank + 1 - turn) % nranks for turn in range(nranks)]
    return [
        *reduced_around(call, scattered, call.output, call.output),
        *passed_around(call, gathered),
    ]


def reduce_scatter(call: Call) -> list[Action]:
    """Rank r ends with the result of chunk r: (n-1)/n of the array leaves each rank. In place, the result is
    where chunk r was."""
    rank, nranks, own = call.rank, call.nranks, call.parts()[call.rank]
    output = own.at(call.input) if call.in_place else Chunk(call.output, own.length)
    if nranks == 1:
        return alone(call.input, output)
    order = [(rank - 1 - turn) % nranks for turn in range(nranks)]
    return reduced_around(call, order, call.scratch, output.offset - own.offset)


def all_gather(call: Call) -> list[Action]:
    """Every rank ends with every chunk. In place, rank r's own is where chunk r of the output is."""
    own = call.parts()[call.rank]
    source = call.output + own.offset if call.in_place else call.input
    order = [(call.rank - turn) % call.nranks for turn in range(call.nranks)]
    return [*copy("copy", source, own.at(call.output)), *passed_around(call, order)]


def broadcast(call: Call) -> list[Action]:
    """The root's array goes down a chain of all ranks, piece by piece."""
    place = (call.rank - call.root) % call.nranks
    after, before = _neighbours(call)
    actions: list[Action] = []
    if place == 0:
        actions += copy("copy", call.input, call.whole.at(call.output))
    for piece in call.pieces(call.whole):
        if place > 0:
            actions += receive("broadcast", before, piece.at(call.output))
        if place < call.nranks - 1:
            # The root sends from its input, which does not wait for the copy.
            actions += send("broadcast", after, piece.at(call.output if place else call.input))
    return actions


def reduce(call: Call) -> list[Action]:
    """The sum comes down a chain that ends at the root. Ranks on the way sum up in scratch memory."""
    place = (call.rank - call.root - 1) % call.nranks
    after, before = _neighbours(call)
    last = place == call.nranks - 1
    into = call.output if last else call.scratch
    actions: list[Action] = []
    if last and call.nranks == 1:
        actions += copy("copy", call.input, call.whole.at(call.output))
    for piece in call.pieces(call.whole):
        own = call.input + piece.offset
        if place > 0:
            actions += receive("reduce", before, piece.at(into), own)
        if not last:
            actions += send("reduce", after, piece.at(into if place else call.input))
        else:
            actions += average("reduce", piece.at(into))
    return actions


def alone(source: int, result: Chunk) -> list[Action]:
    """A reduction over one rank; it may be the last step of one over more."""
    return [*copy("copy", source, result), *average("copy", result)]


def _neighbours(call: Call) -> tuple[int, int]:
    """The next rank, and the one before."""
    return (call.rank + 1) % call.nranks, (call.rank - 1) % call.nranks


def reduced_around(
    call: Call, order: Sequence[int], partial: int, result: int, averages: bool = True
) -> list[Action]:
    """n-1 turns: in turn t chunk order[t] is sent, and chunk order[t+1] received and reduced with the input.
    Partial results are at `partial`, the last one, a chunk's whole result, at `result`; `averages` makes it
    an average where that is asked for."""
    phase = "reduce-scatter"
    after, before = _neighbours(call)
    pieces = _pieces_of_parts(call)
    turns = call.nranks - 1
    actions: list[Action] = []
    for piece in pieces[order[0]]:
        actions += send(phase, after, piece.at(call.input))
    for turn in range(1, turns + 1):
        for piece in pieces[order[turn]]:
            last = turn == turns
            into = piece.at(result if last else partial)
            actions += receive(phase, before, into, call.input + piece.offset)
            if not last:
                actions += send(phase, after, into)
            elif averages:
                actions += average(phase, into)
    return actions


def passed_around(call: Call, order: Sequence[int]) -> list[Action]:
    """n-1 turns: in turn t chunk order[t] of the output is sent, and chunk order[t+1] received."""
    phase = "all-gather"
    after, before = _neighbours(call)
    pieces = _pieces_of_parts(call)
    turns = call.nranks - 1
    actions: list[Action] = []
    for piece in pieces[order[0]] if turns else ():
        actions += send(phase, after, piece.at(call.output))
    for turn in range(1, turns + 1):
        for piece in pieces[order[turn]]:
            into = piece.at(call.output)
            actions += receive(phase, before, into)
            if turn < turns:
                actions += send(phase, after, into)
    return actions


def _pieces_of_parts(call: Call) -> list[list[Chunk]]:
    """Each rank's chunk of the array, in pieces: of all chunks as many."""
    parts = call.parts()
    largest = max(part.length for part in parts)
    return [call.pieces(part, largest) for part in parts]

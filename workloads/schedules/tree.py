"""Binary trees: what is reduced goes up to the root, what is broadcast comes down, piece by piece.

In: a rank's part of a collective. Out: its actions; pure. Owns nothing. Depth is log2(n), so a small array
needs few steps. An all-reduce uses two trees that mirror each other, each for a half of the array: a leaf of
one works in the other, and every rank's lines are used both ways. Source: Sanders, Speck and Traff, "Two-tree
algorithms for full bandwidth broadcast, reduction and scan", 2009; NCCL's trees follow it.
"""

from __future__ import annotations

from collections.abc import Callable

from workloads.schedules import ring
from workloads.schedules.schedule import Action, Call, Chunk, average, chunks, copy, receive, send


class _Tree:
    """One rank's place in a tree whose places are numbered as a heap's are: the root is 0."""

    def __init__(self, call: Call, rank_at: Callable[[int], int]) -> None:
        place = next(place for place in range(call.nranks) if rank_at(place) == call.rank)
        children = [child for child in (2 * place + 1, 2 * place + 2) if child < call.nranks]
        self.children = [rank_at(child) for child in children]
        self.parent = rank_at((place - 1) // 2) if place else None


def all_reduce(call: Call) -> list[Action]:
    """Both trees at once. What two ranks send to each other in both arrives in one order, so every rank does
    the same things in the same order: a piece goes up each tree, and one comes down that has had the time to
    reach the root."""
    if call.nranks == 1:
        return ring.alone(call.input, call.whole.at(call.output))
    first, second = chunks(call.whole, 2, call.element_bytes)
    trees = [
        (_Tree(call, lambda place: place), call.pieces(first, second.length)),
        (_Tree(call, lambda place: call.nranks - 1 - place), call.pieces(second)),
    ]
    count, depth = len(trees[0][1]), call.nranks.bit_length() - 1
    actions: list[Action] = []
    for turn in range(count + depth):
        for tree, pieces in trees:
            if turn < count:
                actions += _up(call, tree, pieces[turn], call.output)
        for tree, pieces in trees:
            if turn >= depth:
                actions += _down(call, tree, pieces[turn - depth], call.output)
    return actions


def broadcast(call: Call) -> list[Action]:
    """From the root down."""
    tree = _Tree(call, lambda place: (place + call.root) % call.nranks)
    actions: list[Action] = []
    if tree.parent is None:
        actions += copy("copy", call.input, call.whole.at(call.output))
    source = call.input if tree.parent is None else call.output
    for piece in call.pieces(call.whole):
        actions += _down(call, tree, piece, source)
    return actions


def reduce(call: Call) -> list[Action]:
    """Up to the root. Ranks on the way sum up in scratch memory."""
    if call.nranks == 1:
        return ring.alone(call.input, call.whole.at(call.output))
    tree = _Tree(call, lambda place: (place + call.root) % call.nranks)
    into = call.output if tree.parent is None else call.scratch
    return [action for piece in call.pieces(call.whole) for action in _up(call, tree, piece, into)]


def _up(call: Call, tree: _Tree, piece: Chunk, into: int) -> list[Action]:
    """Children's results are added to this rank's input, and go on to the parent."""
    actions: list[Action] = []
    base = call.input
    for child in tree.children:
        actions += receive("reduce", child, piece.at(into), base + piece.offset)
        base = into
    if tree.parent is None:
        return [*actions, *average("reduce", piece.at(into))]
    return [*actions, *send("reduce", tree.parent, piece.at(base))]


def _down(call: Call, tree: _Tree, piece: Chunk, source: int) -> list[Action]:
    """The parent's result goes on to the children."""
    actions: list[Action] = []
    if tree.parent is not None:
        actions += receive("broadcast", tree.parent, piece.at(call.output))
    for child in tree.children:
        actions += send("broadcast", child, piece.at(source))
    return actions

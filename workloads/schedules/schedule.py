"""What a schedule is: the actions of one rank in a collective, each naming the peer that it is done with.

In: a rank's part of a collective. Out: records. Owns nothing; pure. A schedule is a list of actions, done in
order: a send begins and does not wait, a receive or a local action ends before the next begins. What one rank
sends to another arrives in the order of the sends, so the k-th receive from a peer takes the k-th send of
that peer, and both have the same length. Offsets are those of the rank's data memory.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import msgspec


class Chunk(msgspec.Struct, frozen=True):
    """A range of the data in bytes. Empty chunks occur when there are fewer elements than ranks."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The byte behind the last one."""
        return self.offset + self.length

    def overlaps(self, other: Chunk) -> bool:
        """Whether both have a byte in common."""
        return max(self.offset, other.offset) < min(self.end, other.end)

    def at(self, base: int) -> Chunk:
        """The same range, counted from `base`."""
        return Chunk(base + self.offset, self.length)


class Send(msgspec.Struct, frozen=True):
    """`chunk` goes to rank `peer`. Sends to different peers do not wait for each other."""

    phase: str
    peer: int
    chunk: Chunk


class Receive(msgspec.Struct, frozen=True):
    """The next bytes from rank `peer` replace `chunk`. With `operand`, the offset of as many bytes, `chunk`
    becomes their reduction with what is there; that may be `chunk` itself."""

    phase: str
    peer: int
    chunk: Chunk
    operand: int | None = None


class Copy(msgspec.Struct, frozen=True):
    """The bytes at offset `source` replace `chunk`, within the accelerator."""

    phase: str
    source: int
    chunk: Chunk


class Average(msgspec.Struct, frozen=True):
    """The elements of `chunk`, which is a sum over all ranks, are divided by the number of ranks. Nothing is
    done for any other reduction than an average."""

    phase: str
    chunk: Chunk


Action = Send | Receive | Copy | Average


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One rank's part of one collective.

    `count`: elements of the whole array, as nccl-tests counts it: for all_gather and gather of what is
    received in all, for reduce_scatter, scatter and all_to_all of what each rank contributes.
    `input`, `output`, `scratch`: where each begins; apart from each other, or `input` and `output` overlap as
    they do in place. `pipeline_bytes`: the largest piece that is sent or received in one action.
    `host_of`: each rank's host, by number. `seed`: of skewed sizes. `transposed`: what they say of i and j is
    of j and i.
    """

    rank: int
    nranks: int
    count: int
    element_bytes: int
    input: int = 0
    output: int = 0
    scratch: int
    root: int = 0
    pipeline_bytes: int = 1 << 62
    host_of: tuple[int, ...] = ()
    seed: int = 0
    transposed: bool = False

    @property
    def in_place(self) -> bool:
        """Whether the result replaces the input where it lies."""
        return self.output == self.input

    @property
    def whole(self) -> Chunk:
        """All elements, from offset 0 on."""
        return Chunk(0, self.count * self.element_bytes)

    def parts(self) -> list[Chunk]:
        """The whole array, cut into a chunk for each rank."""
        return chunks(self.whole, self.nranks, self.element_bytes)

    def pieces(self, chunk: Chunk, largest: int | None = None) -> list[Chunk]:
        """`chunk`, cut for the pipeline into as many pieces as one of `largest` bytes needs (by default
        itself). Cuts that two ranks have to agree on need the same `largest` on both."""
        longest = chunk.length if largest is None else largest
        pipeline_bytes = max(self.element_bytes, self.pipeline_bytes)
        return chunks(chunk, max(1, -(-longest // pipeline_bytes)), self.element_bytes)


Schedule = Callable[[Call], list[Action]]


def chunks(whole: Chunk, parts: int, element_bytes: int) -> list[Chunk]:
    """Cut into `parts` consecutive chunks on element boundaries whose sizes differ by one element at most.

    Raises ValueError when the length is no multiple of `element_bytes`.
    """
    count, rest = divmod(whole.length, element_bytes)
    if rest:
        raise ValueError(f"{whole.length} bytes are not a whole number of elements of {element_bytes} bytes")
    cuts = [whole.offset + count * part // parts * element_bytes for part in range(parts + 1)]
    return [Chunk(begin, end - begin) for begin, end in itertools.pairwise(cuts)]


def overwrites(actions: Sequence[Action], flows: int = 1) -> list[tuple[int, ...]]:
    """For each action, the earlier sends, by index, that have to be complete before it may begin.

    A zero-copy send needs its bytes until they are acknowledged, so what replaces them has to wait. Sends to
    a peer take `flows` connections in turns and complete in order on each: of each only the last one counts.
    """
    found: list[tuple[int, ...]] = []
    sends: dict[tuple[int, int], _LastSends] = defaultdict(_LastSends)
    turns: Counter[int] = Counter()
    for index, action in enumerate(actions):
        if isinstance(action, Send):
            found.append(())
            flow = action.peer, turns[action.peer] % flows
            turns[action.peer] += 1
            sends[flow].add(action.chunk, index)
            continue
        latest = (sent.of(action.chunk) for sent in sends.values())
        found.append(tuple(sorted(each for each in latest if each is not None)))
    return found


class _LastSends:
    """The last send of each byte, by index: ranges in order, apart from each other. So each action is looked
    up in the time of a search, however many sends there were."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._sends: list[int] = []

    def of(self, chunk: Chunk) -> int | None:
        """The latest send that has a byte of `chunk`."""
        return max(self._sends[self._touched(chunk)], default=None)

    def add(self, chunk: Chunk, index: int) -> None:
        """A later send than all so far."""
        if not chunk.length:
            return
        at, kept = self._touched(chunk), [(chunk.offset, chunk.end, index)]
        if at.start < at.stop:
            first, last = at.start, at.stop - 1
            if self._begins[first] < chunk.offset:
                kept.insert(0, (self._begins[first], chunk.offset, self._sends[first]))
            if self._ends[last] > chunk.end:
                kept.append((chunk.end, self._ends[last], self._sends[last]))
        self._begins[at], self._ends[at], self._sends[at] = map(list, zip(*kept, strict=True))

    def _touched(self, chunk: Chunk) -> slice:
        """The ranges that have a byte of `chunk`."""
        if not chunk.length:
            return slice(0, 0)
        return slice(bisect_right(self._ends, chunk.offset), bisect_left(self._begins, chunk.end))


def among(members: Sequence[int], actions: Sequence[Action]) -> list[Action]:
    """The actions of a schedule whose ranks are places in `members`, with the ranks at those places."""
    return [
        msgspec.structs.replace(action, peer=members[action.peer])
        if isinstance(action, Send | Receive)
        else action
        for action in actions
    ]


def send(phase: str, peer: int, chunk: Chunk) -> list[Action]:
    """A send, or nothing where the chunk is empty: the peer knows that, too."""
    return [Send(phase, peer, chunk)] if chunk.length else []


def receive(phase: str, peer: int, chunk: Chunk, operand: int | None = None) -> list[Action]:
    """A receive, or nothing where the chunk is empty."""
    return [Receive(phase, peer, chunk, operand)] if chunk.length else []


def copy(phase: str, source: int, chunk: Chunk) -> list[Action]:
    """A copy, or nothing where the bytes are there already."""
    return [Copy(phase, source, chunk)] if chunk.length and source != chunk.offset else []


def average(phase: str, chunk: Chunk) -> list[Action]:
    """A division, or nothing where the chunk is empty."""
    return [Average(phase, chunk)] if chunk.length else []

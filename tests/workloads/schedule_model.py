"""Runs the schedules of all ranks on paper, where every element knows which contributions it sums up.

In: a list of actions a rank, and each rank's memory. Out: every rank's memory at the end. Raises Deadlock or
Incomplete. The network is the worst that a transport allows: it buffers nothing, so a send is complete only
when its peer receives it, and its bytes are read no earlier than then. Sends to one peer stay in order;
different peers do not wait for each other. So a schedule that ends here ends on any network, and a chunk that
is overwritten too early shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence

from workloads.schedules.schedule import Action, Average, Chunk, Copy, Receive, Send, overwrites

# How often each (rank, element of its input) is summed up, and ("average", 1) for each division.
Element = Counter[tuple[int | str, int]]
Memory = list[Element]


class Deadlock(Exception):
    """No rank can go on; says what each waits for."""


class Incomplete(Exception):
    """Something was sent and never received, or is of another length than expected."""


class Model:
    """`plans`: the actions of rank 0, 1, ...; `memory`: each rank's elements, changed by `run`."""

    def __init__(self, plans: Sequence[Sequence[Action]], memory: list[Memory], element_bytes: int) -> None:
        self._plans = plans
        self._waits = [overwrites(plan) for plan in plans]
        self._element_bytes = element_bytes
        self.memory = memory
        self._next = [0] * len(plans)  # the action that each rank is at
        self._queues: dict[tuple[int, int], deque[tuple[int, Chunk]]] = defaultdict(deque)
        self._complete: set[tuple[int, int]] = set()  # (rank, action) of sends that have been received

    def run(self) -> list[Memory]:
        while any([self._advance(rank) for rank in range(len(self._plans))]):  # noqa: C419  each in its turn
            pass
        stuck = [rank for rank, plan in enumerate(self._plans) if self._next[rank] < len(plan)]
        if stuck:
            raise Deadlock("; ".join(self._waits_for(rank) for rank in stuck))
        left = [f"{source} to {peer}" for (source, peer), queue in self._queues.items() if queue]
        if left:
            raise Incomplete(f"sent and never received: {', '.join(left)}")
        return self.memory

    def _advance(self, rank: int) -> bool:
        """Whether the rank could end the action it is at."""
        number = self._next[rank]
        if number == len(self._plans[rank]):
            return False
        if any((rank, earlier) not in self._complete for earlier in self._waits[rank][number]):
            return False
        if not self._done(rank, number, self._plans[rank][number]):
            return False
        self._next[rank] = number + 1
        return True

    def _done(self, rank: int, number: int, action: Action) -> bool:
        memory = self.memory[rank]
        match action:
            case Send(_, peer, chunk):
                self._queues[rank, peer].append((number, chunk))
            case Receive():
                return self._receive(rank, action)
            case Copy(_, source, chunk):
                memory[self._slice(chunk)] = memory[self._slice(Chunk(source, chunk.length))]
            case Average(_, chunk):
                there = self._slice(chunk)
                memory[there] = [element + Counter({("average", 1): 1}) for element in memory[there]]
        return True

    def _receive(self, rank: int, receive: Receive) -> bool:
        queue = self._queues[receive.peer, rank]
        if not queue:
            return False
        number, chunk = queue.popleft()
        self._complete.add((receive.peer, number))
        if chunk.length != receive.chunk.length:
            raise Incomplete(
                f"rank {receive.peer} sends {chunk.length} bytes in action {number}, rank {rank} expects "
                f"{receive.chunk.length}"
            )
        came = self.memory[receive.peer][self._slice(chunk)]
        if receive.operand is not None:
            there = self.memory[rank][self._slice(Chunk(receive.operand, chunk.length))]
            came = [old + new for old, new in zip(there, came, strict=True)]
        self.memory[rank][self._slice(receive.chunk)] = came
        return True

    def _slice(self, chunk: Chunk) -> slice:
        size = self._element_bytes
        assert chunk.offset % size == chunk.length % size == 0, "chunks are on element boundaries"
        assert chunk.offset >= 0, "chunks are within the memory"
        return slice(chunk.offset // size, (chunk.offset + chunk.length) // size)

    def _waits_for(self, rank: int) -> str:
        number = self._next[rank]
        action = self._plans[rank][number]
        unsent = [n for n in self._waits[rank][number] if (rank, n) not in self._complete]
        if unsent:
            return f"rank {rank} in action {number} waits for its send of action {unsent[0]}"
        assert isinstance(action, Receive)
        return f"rank {rank} in action {number} waits for rank {action.peer}"

"""Runs the schedules of all ranks on paper, where every element is the set of contributions that it sums up.

In: a list of steps a rank. Out: every rank's memory at the end. Raises Deadlock or Incomplete. The network is
the worst that a transport allows: it buffers nothing, so a send is complete only when its peer receives it,
and its bytes are read no earlier than then. Sends to one peer stay in order; different peers do not wait for
each other. So a schedule that ends here ends on any network, and a chunk that is overwritten too early shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence

from workloads.schedules import Chunk, Receive, Step

Element = Counter[int]
Memory = list[Element]


class Deadlock(Exception):
    """No rank can go on; says what each waits for."""


class Incomplete(Exception):
    """Something was sent and never received, or is of another length than expected."""


class Model:
    """`plans`: the steps of rank 0, 1, ...; `count` elements a rank; element i of rank r starts as {r: 1}."""

    def __init__(self, plans: Sequence[Sequence[Step]], count: int, element_bytes: int) -> None:
        self._plans = plans
        self._element_bytes = element_bytes
        self.memory: list[Memory] = [[Counter({rank: 1}) for _ in range(count)] for rank in range(len(plans))]
        self._next = [0] * len(plans)  # the step that each rank is at
        self._begun = [False] * len(plans)  # its send has been queued
        self._queues: dict[tuple[int, int], deque[tuple[int, Chunk]]] = defaultdict(deque)
        self._complete: set[tuple[int, int]] = set()  # (rank, step) of sends that have been received

    def run(self) -> list[Memory]:
        while any(self._advance(rank) for rank in range(len(self._plans))):
            pass
        stuck = [rank for rank, plan in enumerate(self._plans) if self._next[rank] < len(plan)]
        if stuck:
            raise Deadlock("; ".join(self._waits_for(rank) for rank in stuck))
        left = [f"{source} to {peer}" for (source, peer), queue in self._queues.items() if queue]
        if left:
            raise Incomplete(f"sent and never received: {', '.join(left)}")
        return self.memory

    def _advance(self, rank: int) -> bool:
        """Whether the rank could end the step it is at."""
        number = self._next[rank]
        if number == len(self._plans[rank]):
            return False
        step = self._plans[rank][number]
        if step.send is not None and not self._begun[rank]:
            self._queues[rank, step.send.peer].append((number, step.send.chunk))
        self._begun[rank] = True
        if any((rank, earlier) not in self._complete for earlier in self._overwritten(rank, step)):
            return False
        if step.receive is not None and not self._receive(rank, step.receive):
            return False
        self._next[rank], self._begun[rank] = number + 1, False
        return True

    def _overwritten(self, rank: int, step: Step) -> list[int]:
        return [earlier for earlier in step.overwrites if self._plans[rank][earlier].send is not None]

    def _receive(self, rank: int, receive: Receive) -> bool:
        queue = self._queues[receive.peer, rank]
        if not queue:
            return False
        number, chunk = queue.popleft()
        self._complete.add((receive.peer, number))
        if chunk.length != receive.chunk.length:
            raise Incomplete(
                f"rank {receive.peer} sends {chunk.length} bytes in step {number}, rank {rank} expects "
                f"{receive.chunk.length}"
            )
        came = [element.copy() for element in self.memory[receive.peer][self._slice(chunk)]]
        there = self.memory[rank][self._slice(receive.chunk)]
        merged = [old + new for old, new in zip(there, came, strict=True)] if receive.reduces else came
        self.memory[rank][self._slice(receive.chunk)] = merged
        return True

    def _slice(self, chunk: Chunk) -> slice:
        size = self._element_bytes
        assert chunk.offset % size == chunk.length % size == 0, "chunks are on element boundaries"
        return slice(chunk.offset // size, (chunk.offset + chunk.length) // size)

    def _waits_for(self, rank: int) -> str:
        number = self._next[rank]
        step = self._plans[rank][number]
        unsent = [n for n in self._overwritten(rank, step) if (rank, n) not in self._complete]
        if unsent:
            return f"rank {rank} in step {number} waits for its send of step {unsent[0]}"
        assert step.receive is not None
        return f"rank {rank} in step {number} waits for rank {step.receive.peer}"

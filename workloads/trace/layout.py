"""Where in a rank's data memory a trace's arrays and messages lie, and what they hold.

In: every rank's trace. Out: for each node of one rank the places of its bytes; of messages also their
content's key, which sender and receiver know. Owns nothing; pure. A collective has memory of its own.
Messages with one tag share theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from workloads.element_types import ELEMENT_TYPES
from workloads.schedules.contract import CONTRACTS
from workloads.schedules.schedule import Call, Chunk
from workloads.trace.node import Collective, ReceiveFrom, SendTo, Trace

_ALIGNED_BYTES = 4096


class Layout:
    """Of one rank. `calls`: of each collective, by node; `contents`: the seed parts of its data, the same on
    all of its ranks. `messages`: the place of each message, by node; `keys`: what its content is made from.
    `bytes`: of all. `hosts`: each rank's host, by number."""

    def __init__(self, traces: Sequence[Trace], rank: int, pipeline_bytes: int, hosts: Sequence[int]) -> None:
        self._own = traces[rank]
        self._pipeline_bytes = pipeline_bytes
        self._hosts = hosts
        self.bytes = 0
        self.calls: dict[int, Call] = {}
        self.contents: dict[int, tuple[int | str, ...]] = {}
        self.messages: dict[int, Chunk] = {}
        self.keys: dict[int, tuple[int | str, ...]] = {}
        self._lay_out_collectives()
        self._lay_out_messages(traces)

    def _lay_out_collectives(self) -> None:
        among: Counter[tuple[int, ...]] = Counter()
        for node in self._own.nodes:
            if isinstance(node, Collective):
                members = self._own.members(node)
                self.calls[node.id] = self._call(node, members)
                self.contents[node.id] = ("collective", *members, among[members])
                among[members] += 1

    def _call(self, node: Collective, members: tuple[int, ...]) -> Call:
        element_bytes = ELEMENT_TYPES[node.dtype].bytes
        size = max(node.bytes, len(members) * element_bytes)
        call = Call(
            rank=members.index(self._own.rank),
            nranks=len(members),
            count=node.bytes // element_bytes,
            element_bytes=element_bytes,
            input=self._place(size).offset,
            scratch=self._place(size).offset,
            output=self.bytes,
            root=node.root,
            pipeline_bytes=self._pipeline_bytes,
            host_of=tuple(self._hosts[member] for member in members),
            seed=node.seed,
        )
        self._place(CONTRACTS[node.collective].output_bytes(call))
        return call

    def _lay_out_messages(self, traces: Sequence[Trace]) -> None:
        sizes: Counter[tuple[str, int, int]] = Counter()
        for node in self._own.nodes:
            if isinstance(node, SendTo | ReceiveFrom):
                shared = type(node).__name__, node.peer, node.tag
                sizes[shared] = max(sizes[shared], node.bytes)
        places = {shared: self._place(size).offset for shared, size in sizes.items()}
        arriving = {peer: iter(_sent(trace, self._own.rank)) for peer, trace in enumerate(traces)}
        for node in self._own.nodes:
            if not isinstance(node, SendTo | ReceiveFrom):
                continue
            self.messages[node.id] = Chunk(places[type(node).__name__, node.peer, node.tag], node.bytes)
            if isinstance(node, SendTo):
                self.keys[node.id] = (self._own.rank, node.peer, node.tag)
            else:
                self.keys[node.id] = (node.peer, self._own.rank, next(arriving[node.peer]).tag)

    def _place(self, size: int) -> Chunk:
        chunk = Chunk(self.bytes, size)
        self.bytes += -(-size // _ALIGNED_BYTES) * _ALIGNED_BYTES
        return chunk


def _sent(trace: Trace, peer: int) -> list[SendTo]:
    return [node for node in trace.nodes if isinstance(node, SendTo) and node.peer == peer]

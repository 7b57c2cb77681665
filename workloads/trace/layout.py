"""Where in a rank's data memory a trace's arrays and messages lie, and what they hold.

In: every rank's trace. Out: for each node of one rank the places of its bytes; of messages also what
their content is made from, which sender and receiver know. Owns nothing; pure. A collective has memory of its
own. Messages with one tag share theirs. It has room for them at several places: what follows in the same
memory is sent from another place than what was before, so a message that never came shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from workloads.element_types import ELEMENT_TYPES
from workloads.schedules.contract import CONTRACTS
from workloads.schedules.schedule import Call, Chunk
from workloads.trace.node import Collective, ReceiveFrom, SendTo, Trace

_ALIGNED_BYTES = 4096
_PLACES = 16  # of messages in one memory, a page apart

Key = tuple[int, int, int]  # sender, receiver, the sender's tag


class Message(NamedTuple):
    """Where it lies: in its sender's memory, or where it is received. Its content is that of `key`, from byte
    `start` on."""

    chunk: Chunk
    key: Key
    start: int


class Layout:
    """Of one rank. `calls`: of each collective, by node; `contents`: the seed parts of its data, the same on
    all of its ranks. `messages`: by node. `sent`: the memory that messages are sent from, by key. `bytes`: of
    all. `hosts`: each rank's host, by number."""

    def __init__(self, traces: Sequence[Trace], rank: int, pipeline_bytes: int, hosts: Sequence[int]) -> None:
        self._own = traces[rank]
        self._pipeline_bytes = pipeline_bytes
        self._hosts = hosts
        self.bytes = 0
        self.calls: dict[int, Call] = {}
        self.contents: dict[int, tuple[int | str, ...]] = {}
        self.messages: dict[int, Message] = {}
        self.sent: dict[Key, Chunk] = {}
        self._lay_out_collectives()
        self._lay_out_sent()
        self._lay_out_received(traces)

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
        size, contract = max(node.bytes, len(members) * element_bytes), CONTRACTS[node.collective]
        call = Call(
            rank=members.index(self._own.rank),
            nranks=len(members),
            count=node.bytes // element_bytes,
            element_bytes=element_bytes,
            output=1,  # apart from the input
            scratch=0,
            root=node.root,
            pipeline_bytes=self._pipeline_bytes,
            host_of=tuple(self._hosts[member] for member in members),
            seed=node.seed,
            transposed=node.transposed,
        )
        return msgspec.structs.replace(
            call,
            input=self._place(max(size, contract.inputs(call).length)).offset,
            scratch=self._place(size).offset,
            output=self._place(contract.output_bytes(call)).offset,
        )

    def _lay_out_sent(self) -> None:
        sends = [node for node in self._own.nodes if isinstance(node, SendTo)]
        sizes: dict[Key, int] = {}
        for node, key, start in _numbered(sends, self._own.rank):
            sizes[key] = max(sizes.get(key, 0), start + node.bytes)
        self.sent = {key: self._place(size) for key, size in sizes.items()}
        for node, key, start in _numbered(sends, self._own.rank):
            self.messages[node.id] = Message(Chunk(self.sent[key].offset + start, node.bytes), key, start)

    def _lay_out_received(self, traces: Sequence[Trace]) -> None:
        receives = [node for node in self._own.nodes if isinstance(node, ReceiveFrom)]
        sizes: Counter[tuple[int, int]] = Counter()
        for node in receives:
            sizes[node.peer, node.tag] = max(sizes[node.peer, node.tag], node.bytes)
        places = {shared: self._place(size).offset for shared, size in sizes.items()}
        arriving = {
            peer: _numbered(_sent(traces[peer], self._own.rank), peer)
            for peer in dict.fromkeys(node.peer for node in receives)
        }
        for node in receives:
            _, key, start = next(arriving[node.peer])
            chunk = Chunk(places[node.peer, node.tag], node.bytes)
            self.messages[node.id] = Message(chunk, key, start)

    def _place(self, size: int) -> Chunk:
        chunk = Chunk(self.bytes, size)
        self.bytes += -(-size // _ALIGNED_BYTES) * _ALIGNED_BYTES
        return chunk


def _sent(trace: Trace, peer: int) -> list[SendTo]:
    return [node for node in trace.nodes if isinstance(node, SendTo) and node.peer == peer]


def _numbered(sends: Sequence[SendTo], rank: int) -> Iterator[tuple[SendTo, Key, int]]:
    """Each of a rank's sends, its key, and where in the key's content it begins."""
    turns: Counter[Key] = Counter()
    for node in sends:
        key = rank, node.peer, node.tag
        yield node, key, turns[key] % _PLACES * _ALIGNED_BYTES
        turns[key] += 1

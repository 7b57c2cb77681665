"""Runs the traces of all ranks on paper: finds what does not match or never ends, and predicts the time.

In: every rank's trace, a model of network and accelerators. Out: how long each rank takes and is busy, or
TraceError, one sentence that names rank and node. Owns nothing; pure. The model is LogGP's (Alexandrov et
al., 1995): a message takes `latency_s`, and `s_per_byte` of its sender's and of its receiver's line, where it
waits for its turn; a collective takes its steps' latencies and its share of the array's bytes, apart from
messages.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Sequence

import msgspec

from workloads.trace.check import TraceError, check, named
from workloads.trace.node import Collective, Compute, Node, ReceiveFrom, SendTo, Stream, Trace, stream_of
from workloads.trace.volume import busiest_bytes


class Model(msgspec.Struct, frozen=True):
    """`latency_s` of a message; `s_per_byte` of a line, 0 for one that is infinitely fast."""

    latency_s: float = 0.0
    s_per_byte: float = 0.0

    def collective_s(self, node: Collective, nranks: int) -> float:
        """Of the bandwidth-optimal algorithm: n-1 steps a phase."""
        if nranks == 1:
            return 0.0
        name = node.collective
        phases = 2 if name == "all_reduce" else 1
        steps = math.ceil(math.log2(nranks)) if name == "barrier" else phases * (nranks - 1)
        return steps * self.latency_s + busiest_bytes(node, nranks) * self.s_per_byte


class Outcome(msgspec.Struct, frozen=True):
    """Of one rank, in seconds and bytes: when its last node ended, how long its accelerator computed, and
    what it sent as messages and gave to collectives."""

    time_s: float
    compute_s: float
    message_bytes: int
    collective_bytes: int


def dry_run(traces: Sequence[Trace], model: Model = Model()) -> list[Outcome]:  # noqa: B008  frozen
    """Every rank's outcome, in the order of ranks."""
    for trace in traces:
        check(trace, len(traces))
    return _DryRun(traces, model).run()


class _DryRun:
    """Sends take their turns at the lines in the order of time; all else ends as soon as it can be known."""

    def __init__(self, traces: Sequence[Trace], model: Model) -> None:
        self._traces = traces
        self._model = model
        self._streams: list[dict[Stream, deque[Node]]] = []
        for trace in traces:
            streams: dict[Stream, deque[Node]] = defaultdict(deque)
            for node in trace.nodes:
                streams[stream_of(node)].append(node)
            self._streams.append(streams)
        self._ended: list[dict[int, float]] = [{} for _ in traces]  # by rank, of each node
        self._free: list[dict[Stream, float]] = [defaultdict(float) for _ in traces]
        self._messages: dict[tuple[int, int], deque[tuple[SendTo, float]]] = defaultdict(deque)
        self._line_out, self._line_in = [0.0] * len(traces), [0.0] * len(traces)  # when each is free
        self._sends: list[tuple[float, int, Stream]] = []  # that can begin: a heap
        self._queued: set[tuple[int, int]] = set()

    def run(self) -> list[Outcome]:
        for rank in range(len(self._traces)):
            self._advance(rank)
        while self._sends:
            begin, rank, stream = heapq.heappop(self._sends)
            node = self._streams[rank][stream][0]
            assert isinstance(node, SendTo)
            self._send(rank, node, begin)
            self._advance(rank)
            self._advance(node.peer)
        self._check_ended()
        return [self._outcome(trace) for trace in self._traces]

    def _advance(self, rank: int) -> None:
        """Whatever can end on that rank now ends, and what follows from it on others."""
        changed = [rank]
        while changed:
            each = changed.pop()
            for stream in self._streams[each]:
                while (others := self._step(each, stream)) is not None:
                    changed += others

    def _step(self, rank: int, stream: Stream) -> Sequence[int] | None:
        """The ranks on which more may be possible now; None if the stream's next node could not end."""
        nodes = self._streams[rank][stream]
        if not nodes or (begin := self._ready(rank, nodes[0])) is None:
            return None
        node = nodes[0]
        if isinstance(node, Collective):
            return self._meet(rank, node)
        if isinstance(node, SendTo):
            if (rank, node.id) not in self._queued:
                self._queued.add((rank, node.id))
                heapq.heappush(self._sends, (begin, rank, stream))
            return None
        if isinstance(node, ReceiveFrom):
            waiting = self._messages[node.peer, rank]
            if not waiting:
                return None
            message, arrival = waiting.popleft()
            _check_message(rank, node, message)
            self._end(rank, node, max(begin, arrival))
        else:
            self._end(rank, node, begin + node.duration_us / 1e6)
        return (rank,)

    def _send(self, rank: int, node: SendTo, begin: float) -> None:
        """It occupies its sender's line, and a latency later its receiver's."""
        took = node.bytes * self._model.s_per_byte
        left = max(begin, self._line_out[rank])
        came = max(left + self._model.latency_s, self._line_in[node.peer])
        self._line_out[rank], self._line_in[node.peer] = left + took, came + took
        self._messages[rank, node.peer].append((node, came + took))
        self._end(rank, node, left + took)

    def _ready(self, rank: int, node: Node) -> float | None:
        """When the node can begin; None if that is not known yet."""
        ended = self._ended[rank]
        if any(dep not in ended for dep in node.deps):
            return None
        return max([self._free[rank][stream_of(node)], *(ended[dep] for dep in node.deps)])

    def _meet(self, rank: int, node: Collective) -> Sequence[int] | None:
        """The collective's ranks if all of them have come to it, which ends it on all."""
        members = self._traces[rank].members(node)
        heads: list[tuple[int, Collective, float]] = []
        for member in members:
            nodes = self._streams[member][stream_of(node)]
            if not nodes or (begin := self._ready(member, nodes[0])) is None:
                return None
            head = nodes[0]
            assert isinstance(head, Collective)
            heads.append((member, head, begin))
        if any(rank not in self._traces[member].members(head) for member, head, _ in heads):
            return None  # it is busy with others first
        for member, head, _ in heads:
            _check_same(rank, node, member, head, members == self._traces[member].members(head))
        took = self._model.collective_s(node, len(members))
        end = max(begin for _, _, begin in heads) + took
        for member, head, _ in heads:
            self._end(member, head, end)
        return members

    def _end(self, rank: int, node: Node, at_s: float) -> None:
        stream = stream_of(node)
        self._streams[rank][stream].popleft()
        self._ended[rank][node.id] = self._free[rank][stream] = at_s

    def _check_ended(self) -> None:
        for rank, streams in enumerate(self._streams):
            for nodes in streams.values():
                if nodes and (waits := self._waits(rank, nodes[0])):
                    raise TraceError(f"{named(rank, nodes[0])} never ends: {waits}")
        for (source, peer), waiting in self._messages.items():
            if waiting:
                node = waiting[0][0]
                raise TraceError(f"{named(source, node)} is never received: rank {peer} has no node for it")

    def _waits(self, rank: int, node: Node) -> str:
        """What a stream's next node waits for in another rank; "" if that is another node of its own."""
        if self._ready(rank, node) is None:
            missing = next(dep for dep in node.deps if dep not in self._ended[rank])
            if any(nodes and nodes[0].id == missing for nodes in self._streams[rank].values()):
                return ""
            return f"it waits for node {missing}, which is behind a node that never ends"
        if isinstance(node, ReceiveFrom):
            unsent = self._streams[node.peer].get(("send", rank))
            return (
                f"rank {node.peer} cannot come to its node {unsent[0].id}, the send"
                if unsent
                else f"rank {node.peer} has no send for it"
            )
        assert isinstance(node, Collective)
        late = [
            member
            for member in self._traces[rank].members(node)
            if not (nodes := self._streams[member][stream_of(node)])
            or self._ready(member, nodes[0]) is None
            or rank not in self._traces[member].members(nodes[0])  # type: ignore[arg-type]
        ]
        return f"rank {late[0]} does not come to it" if late else "its ranks wait for each other"

    def _outcome(self, trace: Trace) -> Outcome:
        computed = sum(node.duration_us for node in trace.nodes if isinstance(node, Compute)) / 1e6
        sent = sum(node.bytes for node in trace.nodes if isinstance(node, SendTo))
        given = sum(node.bytes for node in trace.nodes if isinstance(node, Collective))
        return Outcome(max(self._ended[trace.rank].values(), default=0.0), computed, sent, given)


def _check_message(rank: int, node: ReceiveFrom, message: SendTo) -> None:
    if message.bytes != node.bytes:
        raise TraceError(
            f"{named(rank, node)} expects {node.bytes} bytes, and rank {node.peer}'s node {message.id} "
            f"sends {message.bytes}"
        )


def _check_same(rank: int, node: Collective, member: int, head: Collective, same_members: bool) -> None:
    for field in ("collective", "bytes", "dtype", "redop", "root", "algorithm", "seed", "transposed"):
        ours, theirs = getattr(node, field), getattr(head, field)
        if ours != theirs:
            raise TraceError(
                f"{named(rank, node)} has {field} {ours}, and rank {member}'s node {head.id} has {theirs}"
            )
    if not same_members:
        raise TraceError(f"{named(rank, node)} and rank {member}'s node {head.id} are among other ranks")

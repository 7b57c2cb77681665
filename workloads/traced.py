"""A trace over a transport: its nodes done when their time has come, and what is there in the end checked.

In: every rank's trace, a seed. Out: what was moved in which time, how much of the communication was exposed,
how many bytes are wrong. Owns nothing but the order. Collectives have connections of their own, apart from
those of messages: both may be under way to one peer at the same time. A message is compared before another
one is received into its memory, by the thread that receives and when the message's time has been taken; the
last one when the clock has stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from workloads import expected
from workloads.collective_data import CollectiveData
from workloads.element_types import ELEMENT_TYPES
from workloads.executor import Executor, Plan
from workloads.machine import Machine
from workloads.options import TracedOptions
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.schedule import Chunk, among
from workloads.trace.layout import Key, Layout
from workloads.trace.loading import loading
from workloads.trace.node import Collective, Compute, Node, ReceiveFrom, SendTo, Trace, bytes_of, kind_of
from workloads.trace.overlap import overlapped_s
from workloads.trace.streams import Span, Streams
from workloads.trace.volume import Moved, moved
from workloads.transports.rails import Flow
from workloads.transports.transport import Ticket, Transport
from workloads.workload import UNCHECKED, CheckResult, Iteration, IterationResult, NodeTime

MESSAGES = 1  # the channel of messages; that of collectives is 0
_PIECE_MIN_BYTES, _PIECE_MAX_BYTES = 64 << 10, 4 << 20  # of a message over several connections


class Traced:
    """One rank's part. As workload.Workload. `size_bytes`: what the row's size is; 0 for the bytes of the
    busiest rank."""

    def __init__(
        self,
        machine: Machine,
        transport: Transport[Any],
        traces: Sequence[Trace],
        layout: Layout,
        size_bytes: int,
    ) -> None:
        options = machine.config.options_as(TracedOptions)
        self._machine = machine
        self._transport = transport
        self._own = traces[machine.place.rank]
        self._layout = layout
        self._size = size_bytes or busiest_bytes(traces)
        self._checks = not options.no_check
        self._keeps_times = options.operations
        self._flows = options.flows
        self._data = {
            node.id: CollectiveData(
                node.collective, ELEMENT_TYPES[node.dtype], node.redop, layout.calls[node.id].nranks
            )
            for node in self._of(Collective)
        }
        self._plans = {node.id: self._plan(node) for node in self._of(Collective)}
        self._executor = Executor(machine, transport)
        plans = self._plans.values()
        targets = [*(peer for plan in plans for peer in plan.send_to), *self._peers(SendTo)]
        sources = [*(peer for plan in plans for peer in plan.receive_from), *self._peers(ReceiveFrom)]
        self.send_to = tuple(dict.fromkeys(targets))
        self.receive_from = tuple(dict.fromkeys(sources))
        self._computing = machine.accelerator_of(machine.ledger)  # its stream's thread alone uses it
        self._sent: dict[Flow, Ticket] = {}  # the last send of each connection
        self._last = {(node.peer, node.tag): node for node in self._of(ReceiveFrom)}  # in each memory
        self._expected: dict[Key, expected.Bytes] = {}  # of messages that are not the last ones
        self._compared: dict[int, CheckResult] = {}  # by node, on the way
        # What a comparison reads of device memory is no part of the workload.
        self._judge = Accelerator(Ledger())
        self._streams = Streams(self._own, self._do, machine.runtime, machine.progress, self._done)

    @property
    def phase(self) -> str:
        doing = self._streams.doing.values()
        return ", ".join(f"node {node.id} ({node.name})" for node in doing if not isinstance(node, Compute))

    def fill(self, iteration: Iteration) -> None:
        machine, layout = self._machine, self._layout
        for node in self._of(Collective):
            self._data[node.id].fill(machine, layout.calls[node.id], self._seed(iteration, node))
        for key, chunk in layout.sent.items():
            values = self._content(iteration, key, chunk.length)
            machine.accelerator.fill(machine.data, chunk.offset, values)
        sizes: dict[Key, int] = {}
        for node in self._of(ReceiveFrom):
            _, key, start = layout.messages[node.id]
            if self._checks and not self._is_last(node):
                sizes[key] = max(sizes.get(key, 0), start + node.bytes)
        self._expected = {key: self._content(iteration, key, size) for key, size in sizes.items()}
        self._compared = {}

    def run(self, iteration: Iteration) -> IterationResult:  # noqa: ARG002  the data is there
        runtime = self._machine.runtime
        began, start_s = runtime.cpu(), runtime.monotonic()
        spans = self._streams.run()
        end_s, used = runtime.monotonic(), runtime.cpu().since(began)
        for ticket in self._sent.values():
            self._transport.wait_reusable(ticket)
        self._executor.settle()
        computing = [spans[node.id] for node in self._of(Compute)]
        others = [spans[node.id] for node in self._own.nodes if not isinstance(node, Compute)]
        loaded = loading(self._own, spans, start_s)
        messages = [node.bytes for node in self._of(SendTo)], [node.bytes for node in self._of(ReceiveFrom)]
        return IterationResult(
            size_bytes=self._size,
            time_s=end_s - start_s,
            app_cpu_s=used.total_s,
            app_system_cpu_s=used.system_s,
            sent_bytes=sum(plan.sent_bytes for plan in self._plans.values()) + sum(messages[0]),
            received_bytes=sum(plan.received_bytes for plan in self._plans.values()) + sum(messages[1]),
            compute_s=sum(span.end_s - span.begin_s for span in computing) if computing else None,
            overlapped_s=overlapped_s(computing, others) if computing else None,
            setup_s=loaded and loaded.setup_s,
            stalled_s=loaded and loaded.stalled_s,
            latencies_s=tuple(
                _latency_s(spans, node, start_s) for node in self._of(ReceiveFrom) if node.operation
            ),
            nodes=tuple(_time_of(node, spans[node.id]) for node in self._own.nodes if self._keeps_times),
        )

    def check(self, iteration: Iteration) -> CheckResult:
        if not self._checks:
            return UNCHECKED
        machine, layout = self._machine, self._layout
        found = [
            self._data[node.id].check(machine, layout.calls[node.id], self._seed(iteration, node))
            for node in self._of(Collective)
        ]
        found += self._compared.values()
        for node in self._last.values():
            chunk, key, start = layout.messages[node.id]
            values = self._content(iteration, key, node.bytes, start)
            wrong = machine.accelerator.compare(machine.data, chunk.offset, values)
            found.append(CheckResult(values.nbytes, wrong))
        return CheckResult(sum(each.bytes for each in found), sum(each.wrong_elements or 0 for each in found))

    def _do(self, node: Node) -> None:
        match node:
            case Compute():
                self._machine.compute(node.duration_us / 1e6, self._computing)
            case Collective():
                self._executor.run(self._plans[node.id])
            case SendTo():
                tickets = [
                    self._transport.send(node.peer, piece.offset, piece.length, MESSAGES)
                    for piece in self._pieces(node)
                ]
                self._sent |= {ticket.flow: ticket for ticket in tickets}
                for ticket in tickets:
                    self._transport.wait_accepted(ticket)
            case ReceiveFrom():
                for piece in self._pieces(node):
                    self._transport.receive_into(node.peer, piece.offset, piece.length, MESSAGES)

    def _done(self, node: Node) -> None:
        """Its time has been taken, and nothing of its stream has begun yet."""
        if self._checks and isinstance(node, ReceiveFrom) and not self._is_last(node):
            chunk, key, start = self._layout.messages[node.id]
            values = self._expected[key][start : start + node.bytes]
            wrong = self._judge.compare(self._machine.data, chunk.offset, values)
            self._compared[node.id] = CheckResult(values.nbytes, wrong)

    def _is_last(self, node: ReceiveFrom) -> bool:
        return self._last[node.peer, node.tag] is node

    def _pieces(self, node: SendTo | ReceiveFrom) -> list[Chunk]:
        """As both ends cut it: for each connection one, unless that is too short or too long."""
        chunk = self._layout.messages[node.id].chunk
        if self._flows == 1:
            return [chunk]
        size = min(max(-(-node.bytes // self._flows), _PIECE_MIN_BYTES), _PIECE_MAX_BYTES)
        return [
            Chunk(chunk.offset + at, min(size, node.bytes - at)) for at in range(0, max(1, node.bytes), size)
        ]

    def _plan(self, node: Collective) -> Plan:
        schedule = ALGORITHMS[node.collective][node.algorithm or next(iter(ALGORITHMS[node.collective]))]
        actions = among(self._own.members(node), schedule(self._layout.calls[node.id]))
        data = self._data[node.id]
        return Plan(actions, data.operator, data.average_over, self._flows)

    def _seed(self, iteration: Iteration, node: Collective) -> int:
        """The same on all of its ranks."""
        return expected.seed_of(iteration.seed, *self._layout.contents[node.id])

    def _content(self, iteration: Iteration, key: Key, size: int, start: int = 0) -> expected.Bytes:
        """The same at both ends."""
        return expected.message(expected.seed_of(iteration.seed, "message", *key), size, start)

    def _of(self, kind: type[Any]) -> list[Any]:
        return [node for node in self._own.nodes if isinstance(node, kind)]

    def _peers(self, kind: type[Any]) -> list[int]:
        return [node.peer for node in self._of(kind)]


def busiest_bytes(traces: Sequence[Trace]) -> int:
    """Payload of the rank that sends or receives the most, in its busier direction: what a bandwidth that is
    compared with a link's is of."""
    return max(max(_payload(trace)) for trace in traces)


def _payload(trace: Trace) -> Moved:
    sent = received = 0
    for node in trace.nodes:
        if isinstance(node, Collective):
            members = trace.members(node)
            of_it = moved(node, len(members), members.index(trace.rank))
            sent, received = sent + of_it.sent, received + of_it.received
        elif isinstance(node, SendTo):
            sent += node.bytes
        elif isinstance(node, ReceiveFrom):
            received += node.bytes
    return Moved(sent, received)


def _time_of(node: Node, span: Span) -> NodeTime:
    return NodeTime(node.id, node.name, kind_of(node), bytes_of(node), span.begin_s, span.end_s)


def _latency_s(spans: Mapping[int, Span], node: Node, start_s: float) -> float:
    """From when the operation could begin."""
    return spans[node.id].end_s - max((spans[dep].end_s for dep in node.deps), default=start_s)

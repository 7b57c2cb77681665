"""Does the actions of a rank's schedule over its transport and on its accelerator.

In: plans. Out: nothing but the effect. Owns the tickets of the last sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodes.machine.accelerator import Operator
from workloads.machine import Machine
from workloads.schedules.schedule import Action, Average, Copy, Receive, Send, overwrites
from workloads.transports.rails import Flow
from workloads.transports.transport import Ticket, Transport


class Plan:
    """Actions in order, and for each the earlier sends that it has to wait for, and the receive, by index,
    with which its call may be joined. `average_over`: what an average's sum is divided by, 0 where sums stay
    sums. `operator`: None of a schedule that reduces nothing."""

    def __init__(
        self,
        actions: Sequence[Action],
        operator: Operator | None = None,
        average_over: int = 0,
        flows: int = 1,
    ) -> None:
        self.operator = operator
        self.average_over = average_over
        self.actions = tuple(actions)
        self.waits = overwrites(actions, flows)
        self.next_receive = [_next_receive(self.actions, number) for number in range(len(actions))]
        self.sent_bytes = sum(each.chunk.length for each in actions if isinstance(each, Send))
        self.received_bytes = sum(each.chunk.length for each in actions if isinstance(each, Receive))
        self.send_to = _each_once(each.peer for each in actions if isinstance(each, Send))
        self.receive_from = _each_once(each.peer for each in actions if isinstance(each, Receive))


class Executor:
    """`phase` says at any time what is being done."""

    def __init__(self, machine: Machine, transport: Transport[Any]) -> None:
        self._machine = machine
        self._transport = transport
        self._last: dict[Flow, Ticket] = {}  # the last send of each connection
        self.phase = ""

    def run(self, plan: Plan) -> None:
        """Until everything is received and reduced. What was sent may be needed for retransmission a little
        longer: see `settle`."""
        tickets = list[Ticket | None]()
        for number, (action, waits) in enumerate(zip(plan.actions, plan.waits, strict=True)):
            self.phase = f"{action.phase} step {number + 1} of {len(plan.actions)}"
            for earlier in waits:
                if overwritten := tickets[earlier]:
                    self._transport.wait_reusable(overwritten)
            tickets.append(self._do(plan, action, self._next_from(plan, number, tickets)))

    def settle(self) -> None:
        """Until the memory of every send may be changed."""
        self.phase = "completion of the last sends"
        for ticket in self._last.values():
            self._transport.wait_reusable(ticket)

    def _next_from(self, plan: Plan, number: int, tickets: Sequence[Ticket | None]) -> int | None:
        """The peer of the receive that the action's call may be joined with: nothing is waited for before
        it, as far as is known now. A send that is put off must not wait for another one, and neither must
        memory that is to be given back."""
        after = plan.next_receive[number]
        if after is None or any(earlier >= number for earlier in plan.waits[after]):
            return None
        waits = [ticket for earlier in plan.waits[after] if (ticket := tickets[earlier])]
        receive = plan.actions[after]
        assert isinstance(receive, Receive), "next_receive is of receives"
        return receive.peer if all(map(self._transport.is_reusable, waits)) else None

    def _do(self, plan: Plan, action: Action, next_from: int | None) -> Ticket | None:
        transport, accelerator, data = self._transport, self._machine.accelerator, self._machine.data
        chunk = action.chunk
        match action:
            case Send():
                ticket = transport.send(action.peer, chunk.offset, chunk.length, then_from=next_from)
                self._last[ticket.flow] = ticket
                return ticket
            case Receive(operand=int(operand)) if plan.operator:
                more = next_from == action.peer
                transport.receive_reduce(
                    action.peer, chunk.offset, chunk.length, operand, plan.operator, more
                )
            case Receive():
                more = next_from == action.peer
                transport.receive_into(action.peer, chunk.offset, chunk.length, more=more)
            case Copy():
                accelerator.copy(data, action.source, chunk.offset, chunk.length)
            case Average() if plan.average_over and plan.operator:
                dtype = plan.operator.dtype
                accelerator.divide(data, chunk.offset, chunk.length, dtype, plan.average_over)
        return None


def _next_receive(actions: Sequence[Action], number: int) -> int | None:
    """The receive, by index, that follows a send at once, or a receive with at most an average and a send
    between."""
    at = number + 1
    if isinstance(actions[number], Receive):
        at += at < len(actions) and isinstance(actions[at], Average)
        at += at < len(actions) and isinstance(actions[at], Send)
    elif not isinstance(actions[number], Send):
        return None
    return at if at < len(actions) and isinstance(actions[at], Receive) else None


def _each_once(peers: Any) -> tuple[int, ...]:
    """In the order of their first action."""
    return tuple(dict.fromkeys(peers))

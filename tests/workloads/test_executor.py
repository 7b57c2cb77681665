"""Which calls of a schedule are joined: a send with the receive behind it, tokens with the next receive."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from nodes.machine.accelerator import Operator
from workloads.executor import Executor, Plan
from workloads.schedules import ring
from workloads.schedules.schedule import Action, Average, Call, Chunk, Copy, Receive, Send
from workloads.transports.rails import Flow
from workloads.transports.transport import Ticket

SUM = Operator(np.dtype(np.float32), np.add)
AHEAD, BEHIND = 1, 3


class Recorder:
    """A transport of which the first `reusable` sends are complete."""

    def __init__(self, reusable: int = 0) -> None:
        self.reusable = reusable
        self.sends = 0
        self.calls: list[str] = []

    def send(self, _peer: int, _offset: int, _length: int, then_from: int | None) -> Ticket:
        self.sends += 1
        self.calls.append("send" if then_from is None else f"send, then from {then_from}")
        return Ticket(Flow(AHEAD, 0), self.sends)

    def receive_reduce(
        self, _peer: int, _offset: int, _length: int, _operand: int, _operator: Operator, more: bool
    ) -> None:
        self.calls.append("reduce, more" if more else "reduce")

    def receive_into(self, _peer: int, _offset: int, _length: int, more: bool) -> None:
        self.calls.append("receive, more" if more else "receive")

    def is_reusable(self, ticket: Ticket) -> bool:
        return ticket.number <= self.reusable

    def wait_reusable(self, ticket: Ticket) -> None:
        if not self.is_reusable(ticket):
            self.calls.append(f"wait {ticket.number}")


def run(actions: list[Action], reusable: int = 0) -> list[str]:
    machine = cast(Any, type("Machine", (), {"accelerator": None, "data": None}))
    transport = Recorder(reusable)
    Executor(machine, cast(Any, transport)).run(Plan(actions, SUM))
    return transport.calls


def all_reduce(in_place: bool) -> list[Action]:
    output = 0 if in_place else 4096
    return ring.all_reduce(Call(rank=0, nranks=4, count=64, element_bytes=4, output=output, scratch=8192))


def test_a_message_of_a_ring_is_one_call_and_its_tokens_go_with_the_next() -> None:
    calls = run(all_reduce(in_place=False), reusable=6)
    reduces = ["send, then from 3", "reduce, more"] * 3
    assert calls == reduces + ["send, then from 3", "receive, more"] * 2 + ["send, then from 3", "receive"]


def test_nothing_is_put_off_to_a_receive_that_has_to_wait() -> None:
    """For a send that may not have completed: the one put off might be what its peer waits for."""
    calls = run(all_reduce(in_place=True))
    assert calls[:4] == ["send, then from 3", "reduce, more"] * 2
    assert calls[4:] == [
        "send, then from 3", "reduce", "send", "wait 1", "receive", "send", "wait 2", "receive", "send",
        "wait 3", "receive",
    ]  # fmt: skip


def test_only_the_action_before_a_receive_goes_with_it() -> None:
    first, second = Chunk(0, 4), Chunk(4, 4)
    assert run([Send("", AHEAD, first), Send("", AHEAD, second), Receive("", BEHIND, Chunk(8, 4))]) == [
        "send", f"send, then from {BEHIND}", "receive",
    ]  # fmt: skip
    receives: list[Action] = [Receive("", BEHIND, first), Receive("", AHEAD, second)]
    assert run(receives) == ["receive", "receive"], "tokens go back to the connection that they came from"
    assert run([receives[0], Average("", first), receives[0]]) == ["receive, more", "receive"]
    assert Plan([receives[0], Copy("", 4, first), receives[0]]).next_receive == [None, None, None]
    assert Plan([Send("", AHEAD, first), Copy("", 4, first)]).next_receive == [None, None]


def test_a_send_that_is_what_the_receive_overwrites_does_not_go_with_it() -> None:
    chunk = Chunk(0, 4)
    assert run([Send("", AHEAD, chunk), Receive("", BEHIND, chunk)]) == ["send", "wait 1", "receive"]
    around = [Receive("", BEHIND, chunk), Send("", AHEAD, chunk), Receive("", BEHIND, chunk)]
    assert run(cast(Any, around))[0] == "receive"

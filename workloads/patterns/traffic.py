"""Plain patterns of messages, as traces: many to one, one to many, pairs, remote procedure calls.

In: a rank, the number of ranks, options. Out: the rank's trace of one iteration; pure. Owns nothing.
"""

from __future__ import annotations

from typing import Annotated

from nodes.option import Option
from nodes.quantity import parse_size
from workloads.options import TracedOptions
from workloads.trace.node import Program, Trace


class MessagesOptions(TracedOptions, frozen=True):
    """How many messages of --size bytes."""

    messages: Annotated[int, Option("Messages to each peer in an iteration.", min=1, max=100_000)] = 4


class CallsOptions(TracedOptions, frozen=True):
    """Remote procedure calls of --size bytes."""

    calls: Annotated[int, Option("Calls in an iteration.", min=1, max=100_000)] = 100
    answer_bytes: Annotated[int, Option("Bytes of an answer.", flag="answer", parse=parse_size)] = 64


def incast(rank: int, nranks: int, size: int, options: MessagesOptions, seed: int) -> Trace:  # noqa: ARG001
    """All others send to rank 0 at once."""
    program = Program(rank, nranks)
    for number in range(options.messages):
        if rank:
            program.send(f"message {number}", 0, size, tag=0)
        for peer in range(1, nranks) if rank == 0 else ():
            program.receive(f"message {number} of rank {peer}", peer, size, tag=0)
    return program.trace()


def outcast(rank: int, nranks: int, size: int, options: MessagesOptions, seed: int) -> Trace:  # noqa: ARG001
    """Rank 0 sends to all others at once."""
    program = Program(rank, nranks)
    for number in range(options.messages):
        if rank:
            program.receive(f"message {number}", 0, size, tag=0)
        for peer in range(1, nranks) if rank == 0 else ():
            program.send(f"message {number} to rank {peer}", peer, size, tag=0)
    return program.trace()


def pairwise(rank: int, nranks: int, size: int, options: MessagesOptions, seed: int) -> Trace:  # noqa: ARG001
    """Ranks 0 and 1, 2 and 3, ... exchange messages both ways at once; an odd last rank does nothing."""
    program, peer = Program(rank, nranks), rank ^ 1
    for number in range(options.messages) if peer < nranks else ():
        program.send(f"message {number}", peer, size, tag=0)
        program.receive(f"message {number}", peer, size, tag=0)
    return program.trace()


def rpc(rank: int, nranks: int, size: int, options: CallsOptions, seed: int) -> Trace:  # noqa: ARG001
    """Rank 0 calls rank 1 with `size` bytes, one call after the other; others do nothing."""
    program = Program(rank, nranks)
    answered: tuple[int, ...] = ()
    for number in range(options.calls) if rank < 2 else ():
        if rank == 0:
            program.send(f"call {number}", 1, size, *answered, tag=0)
            answered = (program.completion(f"answer {number}", 1, options.answer_bytes, *answered, tag=0),)
        else:
            called = program.receive(f"call {number}", 0, size, tag=0)
            program.send(f"answer {number}", 0, options.answer_bytes, called, tag=0)
    return program.trace()

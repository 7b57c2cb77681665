"""Plain patterns of messages, as traces: many to one, one to many, pairs, remote procedure calls.

In: a rank, the number of ranks, options. Out: the rank's trace of one iteration; pure. Owns nothing. A window
of messages is what the OSU micro-benchmarks (osu_bw) call so: sent one behind the other, and answered once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from nodes.option import Option
from nodes.quantity import parse_size
from workloads.options import TracedOptions
from workloads.trace.node import Program, Trace

ANSWER_BYTES = 4  # to a window, as osu_bw's


class MessagesOptions(TracedOptions, frozen=True):
    """How many messages of --size bytes, and how many at a time."""

    messages: Annotated[int, Option("Messages to each peer in an iteration.", min=1, max=100_000)] = 4
    window: Annotated[
        int,
        Option(
            "So many messages to a peer, then its answer is waited for (OSU's window).",
            min=0, max=100_000, default="all messages",
        ),
    ] = 0  # fmt: skip


class CallsOptions(TracedOptions, frozen=True):
    """Remote procedure calls of --size bytes."""

    calls: Annotated[int, Option("Calls in an iteration.", min=1, max=100_000)] = 100
    answer_bytes: Annotated[int, Option("Bytes of an answer.", flag="answer", parse=parse_size)] = 64


def incast(rank: int, nranks: int, size: int, options: MessagesOptions, seed: int) -> Trace:  # noqa: ARG001
    """All others send to rank 0 at once."""
    others = range(1, nranks)
    to, of = ((), others) if rank == 0 else ((0,), ())
    return _exchange(rank, nranks, size, options, to=to, of=of)


def outcast(rank: int, nranks: int, size: int, options: MessagesOptions, seed: int) -> Trace:  # noqa: ARG001
    """Rank 0 sends to all others at once."""
    others = range(1, nranks)
    to, of = (others, ()) if rank == 0 else ((), (0,))
    return _exchange(rank, nranks, size, options, to=to, of=of)


def pairwise(rank: int, nranks: int, size: int, options: MessagesOptions, seed: int) -> Trace:  # noqa: ARG001
    """Ranks 0 and 1, 2 and 3, ... exchange messages both ways at once; an odd last rank does nothing."""
    peers = (rank ^ 1,) if rank ^ 1 < nranks else ()
    return _exchange(rank, nranks, size, options, to=peers, of=peers)


def _exchange(
    rank: int, nranks: int, size: int, options: MessagesOptions, *, to: Iterable[int], of: Iterable[int]
) -> Trace:
    """Messages to the ranks `to`, and from the ranks `of`."""
    program, window = Program(rank, nranks), options.window or options.messages
    for number in range(options.messages):
        for peer in to:
            after: tuple[int, ...] = ()
            if number and number % window == 0:
                after = (program.receive(f"window taken by rank {peer}", peer, ANSWER_BYTES, tag=1),)
            program.send(f"message {number} to rank {peer}", peer, size, *after, tag=0)
        for peer in of:
            came = program.receive(f"message {number} of rank {peer}", peer, size, tag=0)
            if (number + 1) % window == 0 and number + 1 < options.messages:
                program.send(f"window of rank {peer} taken", peer, ANSWER_BYTES, came, tag=1)
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

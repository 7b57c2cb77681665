"""A schedule's messages as a trace, for a prediction: what is sent and received, and what waits for what.

In: one rank's actions. Out: its trace. Owns nothing; pure. A send waits for the receives before it, since its
bytes may be theirs; what the accelerator does in between takes no time.
"""

from __future__ import annotations

from collections.abc import Iterable

from workloads.schedules.schedule import Action, Receive, Send
from workloads.trace.node import Program, Trace


def messages(actions: Iterable[Action], rank: int, nranks: int) -> Trace:
    """Nodes in the order of the actions."""
    program = Program(rank, nranks)
    last: tuple[int, ...] = ()
    for action in actions:
        if isinstance(action, Send):
            program.send(action.phase, action.peer, action.chunk.length, *last, tag=0)
        elif isinstance(action, Receive):
            last = (program.receive(action.phase, action.peer, action.chunk.length, *last, tag=0),)
    return program.trace()

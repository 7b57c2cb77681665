"""Whether a rank's trace is one in itself: ids, dependencies, peers, and collectives that there are.

In: a trace. Out: nothing, or TraceError, one sentence that names rank and node. Owns nothing; pure. Whether
the traces of all ranks go together is found by the dry run.
"""

from __future__ import annotations

import functools
from collections.abc import Collection

from workloads.element_types import ELEMENT_TYPES, REDUCTIONS
from workloads.expected import Contributions
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.contract import CONTRACTS
from workloads.trace.node import Collective, Node, ReceiveFrom, SendTo, Trace

_KNOWN: dict[str, Collection[str]] = {"dtype": ELEMENT_TYPES, "redop": REDUCTIONS}


class TraceError(ValueError):
    """Traces that cannot be replayed; str() is one sentence that names rank and node."""


def named(rank: int, node: Node) -> str:
    return f"rank {rank}, node {node.id}" + (f" ({node.name})" if node.name else "")


def check(trace: Trace, nranks: int) -> None:
    """The trace is one in itself. Raises TraceError."""
    if trace.nranks != nranks:
        raise TraceError(f"rank {trace.rank}'s trace is of {trace.nranks} ranks, and {nranks} are there")
    seen: set[int] = set()
    for node in trace.nodes:
        who = named(trace.rank, node)
        if node.id in seen:
            raise TraceError(f"{who} has an id that another node has")
        unknown = [dep for dep in node.deps if dep not in seen]
        if unknown:
            raise TraceError(f"{who} depends on node {unknown[0]}, which is not before it")
        seen.add(node.id)
        if isinstance(node, SendTo | ReceiveFrom):
            if node.peer >= nranks or node.peer == trace.rank:
                raise TraceError(f"{who} names rank {node.peer}, which is not another of {nranks} ranks")
        elif isinstance(node, Collective):
            _check_collective(who, trace, node)


def _check_collective(who: str, trace: Trace, node: Collective) -> None:
    members = trace.members(node)
    if node.collective not in CONTRACTS:
        raise TraceError(
            f"{who}: there is no collective {node.collective!r}; known are {', '.join(CONTRACTS)}"
        )
    if len(set(members)) != len(members) or max(members) >= trace.nranks:
        raise TraceError(f"{who} is among ranks {members}, which are not {trace.nranks} ranks' own")
    if trace.rank not in members:
        raise TraceError(f"{who} is among ranks {members}, and rank {trace.rank} is none of them")
    if node.root >= len(members):
        raise TraceError(f"{who} has root {node.root}, and {len(members)} ranks take part")
    for field, known in _KNOWN.items():
        if (found := getattr(node, field)) not in known:
            raise TraceError(f"{who} has {field} {found!r}; known are {', '.join(known)}")
    known_algorithms = ALGORITHMS[node.collective]
    if node.algorithm and node.algorithm not in known_algorithms:
        raise TraceError(
            f"{who}: {node.collective} has no algorithm {node.algorithm!r}; known are "
            f"{', '.join(known_algorithms)}"
        )
    element = ELEMENT_TYPES[node.dtype]
    if node.bytes % element.bytes:
        raise TraceError(f"{who} has {node.bytes} bytes, which are no whole elements of {node.dtype}")
    if node.transposed and node.collective != "all_to_allv":
        raise TraceError(f"{who} is transposed, and only an all_to_allv can be")
    if CONTRACTS[node.collective].reduces and (reason := _inexact(node.dtype, node.redop, len(members))):
        raise TraceError(f"{who}: {reason}")


@functools.cache
def _inexact(dtype: str, redop: str, nranks: int) -> str:
    """Why such a reduction cannot be checked; "" if it can."""
    try:
        Contributions(ELEMENT_TYPES[dtype], redop, nranks)
    except ValueError as reason:
        return str(reason)
    return ""

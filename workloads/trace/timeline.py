"""Traces as a timeline that chrome://tracing and Perfetto show: a process a rank, a thread a stream.

In: traces whose nodes have times. Out: JSON in the Trace Event Format (complete events, microseconds). Owns
nothing; pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from workloads.trace.node import Node, Trace, bytes_of, kind_of, stream_of


def timeline(traces: Sequence[Trace]) -> bytes:
    """Nodes without times are left out."""
    return msgspec.json.encode(
        {"traceEvents": [event for trace in traces for event in _events(trace)], "displayTimeUnit": "ms"}
    )


def _events(trace: Trace) -> list[dict[str, Any]]:
    streams = {stream: number for number, stream in enumerate(dict.fromkeys(map(stream_of, trace.nodes)))}
    events = [_name("process_name", trace.rank, 0, f"rank {trace.rank}")]
    for (kind, peer), number in streams.items():
        shown = f"{kind} {peer}" if kind in ("send", "receive") else kind
        events.append(_name("thread_name", trace.rank, number, shown))
    timed = [node for node in trace.nodes if node.began_us is not None and node.took_us is not None]
    return events + [_event(trace.rank, streams[stream_of(node)], node) for node in timed]


def _event(rank: int, thread: int, node: Node) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": node.name or kind_of(node),
        "cat": kind_of(node),
        "pid": rank,
        "tid": thread,
        "ts": node.began_us,
        "dur": node.took_us,
        "args": {"node": node.id, "bytes": bytes_of(node)},
    }


def _name(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}

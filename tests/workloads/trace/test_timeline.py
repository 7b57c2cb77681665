"""A timeline has a process a rank, a thread a stream, and an event for each node that was done."""

from __future__ import annotations

import msgspec

from workloads.trace.node import Program
from workloads.trace.timeline import timeline


def test_every_node_that_was_done_is_an_event_of_its_stream() -> None:
    program = Program(2, 4)
    program.compute("step", 5)
    program.send("x", 3, 100)
    program.send("", 1, 7)
    trace = program.trace()
    times = [(10.0, 5.0), (20.0, 2.5), (None, None)]
    nodes = tuple(
        msgspec.structs.replace(node, began_us=began, took_us=took)
        for node, (began, took) in zip(trace.nodes, times, strict=True)
    )
    found = msgspec.json.decode(timeline([msgspec.structs.replace(trace, nodes=nodes)]))["traceEvents"]
    names = {each["tid"]: each["args"]["name"] for each in found if each["name"] == "thread_name"}
    assert names == {0: "compute", 1: "send 3", 2: "send 1"}
    assert [each["args"] for each in found if each["name"] == "process_name"] == [{"name": "rank 2"}]
    assert [each for each in found if each["ph"] == "X"] == [
        {"ph": "X", "name": "step", "cat": "compute", "pid": 2, "tid": 0, "ts": 10.0, "dur": 5.0,
         "args": {"node": 0, "bytes": 0}},
        {"ph": "X", "name": "x", "cat": "send", "pid": 2, "tid": 1, "ts": 20.0, "dur": 2.5,
         "args": {"node": 1, "bytes": 100}},
    ]  # fmt: skip

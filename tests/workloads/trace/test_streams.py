"""Streams keep their order, nodes wait for what they depend on, and one failure ends all."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from nodes.client.runtime import MACHINE
from workloads.progress import Progress
from workloads.trace.node import Node, Program
from workloads.trace.streams import Streams


def program() -> Program:
    return Program(0, 3)


def test_nodes_begin_after_what_they_depend_on_and_streams_keep_their_order() -> None:
    made = program()
    first = made.compute("", 1)
    sent = made.send("", 1, 1, first)
    made.receive("", 1, 1)
    made.receive("", 2, 1, sent)
    made.compute("", 1, sent)
    trace, order, lock = made.trace(), list[int](), threading.Lock()

    def do(node: Node) -> None:
        with lock:
            order.append(node.id)

    with closing(Progress(MACHINE, 5.0)) as progress:
        streams = Streams(trace, do, MACHINE, progress)
        for _ in range(3):
            order.clear()
            spans = streams.run()
            assert sorted(order) == sorted(spans) == [0, 1, 2, 3, 4]
            assert order.index(0) < order.index(1) < min(order.index(3), order.index(4))
            for node in trace.nodes:
                assert all(spans[dep].end_s <= spans[node.id].begin_s for dep in node.deps)


def test_streams_run_at_the_same_time() -> None:
    made = program()
    for peer in (1, 2):
        made.receive("", peer, 1)
    both = threading.Barrier(2, timeout=5)
    with closing(Progress(MACHINE, 5.0)) as progress:
        Streams(made.trace(), lambda _: void(both.wait()), MACHINE, progress).run()


def test_what_follows_a_node_delays_the_next_of_its_stream_and_nothing_else() -> None:
    made = program()
    first = made.receive("first", 1, 1)
    made.receive("second", 1, 1)
    made.compute("other", 1, first)
    other, order = threading.Event(), list[str]()

    def do(node: Node) -> None:
        order.append(node.name)
        if node.name == "other":
            other.set()

    def done(node: Node) -> None:
        if node.name == "first":
            assert other.wait(5.0), "it begins when the first has ended"
            time.sleep(0.05)
            order.append("compared")

    with closing(Progress(MACHINE, 10.0)) as progress:
        spans = Streams(made.trace(), do, MACHINE, progress, done).run()
    assert order == ["first", "other", "compared", "second"]
    assert spans[0].end_s <= spans[2].begin_s < spans[1].begin_s


def void(_: object) -> None:
    """The value is not wanted."""


def test_a_failure_ends_all_streams_and_is_raised() -> None:
    made = program()
    bad = made.compute("bad", 1)
    made.send("", 1, 1, bad)
    made.receive("", 2, 1)

    def do(node: Node) -> None:
        if node.name == "bad":
            raise ConnectionError("gone")

    with closing(Progress(MACHINE, 60.0)) as progress, pytest.raises(ConnectionError, match="gone"):
        Streams(made.trace(), do, MACHINE, progress).run()


def test_waiting_for_a_stream_ends_when_nothing_moves_any_more() -> None:
    made = program()
    made.send("", 1, 1, made.compute("long", 1))

    def do(node: Node) -> None:
        if node.name == "long":
            time.sleep(2.0)

    with (
        closing(Progress(MACHINE, 0.6)) as progress,
        pytest.raises(TimeoutError, match="what it depends on has not ended"),
    ):
        Streams(made.trace(), do, MACHINE, progress).run()

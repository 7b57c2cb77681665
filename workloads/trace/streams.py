"""Does a rank's nodes: a thread for each stream, and each node when what it depends on has ended.

In: a trace, a function that does a node, one to call when it is done. Out: when each node began and ended.
Owns the threads while they run. The first failure ends all streams, and is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nodes.client.runtime import Runtime
from workloads.progress import Progress
from workloads.trace.node import Node, Stream, Trace, stream_of

_LOOK_S = 0.5  # how often a stream that waits for another one sees whether the experiment still moves


class Span(NamedTuple):
    """Seconds of the runtime's clock in which a node was done; what it waited for is not in it."""

    begin_s: float
    end_s: float


class Streams:
    """`run` may be called again and again. `done` is called by the node's stream and delays its next node
    alone. `doing`: what each stream does now, for messages."""

    def __init__(
        self,
        trace: Trace,
        do: Callable[[Node], None],
        runtime: Runtime,
        progress: Progress,
        done: Callable[[Node], None] = lambda _: None,
    ) -> None:
        self._do = do
        self._done = done
        self._runtime = runtime
        self._progress = progress
        self._changed = runtime.condition()
        self._nodes: dict[Stream, list[Node]] = {}
        for node in trace.nodes:
            self._nodes.setdefault(stream_of(node), []).append(node)
        self._left = 0
        self._failure: BaseException | None = None
        self._spans: dict[int, Span] = {}
        self.doing: dict[Stream, Node] = {}

    def run(self) -> dict[int, Span]:
        """Until every node has ended; each node's span, by id."""
        self._spans, self._failure, self._left = {}, None, len(self._nodes)
        threads = [
            self._runtime.spawn(lambda nodes=nodes: self._work(nodes), f"{kind} {peer}")  # type: ignore[misc]
            for (kind, peer), nodes in self._nodes.items()
        ]
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        return self._spans

    def _work(self, nodes: Sequence[Node]) -> None:
        try:
            for node in nodes:
                self._progress.wait(self._wait_for, node.deps)
                begin_s = self._runtime.monotonic()
                self.doing[stream_of(node)] = node
                self._do(node)
                with self._changed:
                    self._spans[node.id] = Span(begin_s, self._runtime.monotonic())
                    self._changed.notify_all()
                self._done(node)
        except BaseException as failure:
            with self._changed:
                self._failure = self._failure or failure
                self._changed.notify_all()

    def _wait_for(self, deps: Sequence[int]) -> None:
        """Raises TimeoutError now and then, so that `progress` decides whether to go on."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._failure or all(dep in self._spans for dep in deps), _LOOK_S
            ):
                raise TimeoutError("what it depends on has not ended")
            if self._failure is not None:
                raise self._failure

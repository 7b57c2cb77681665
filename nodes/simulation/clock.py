"""The simulated clock: events in the order of their time, and of their making where times are equal.

In: actions, each with the nanosecond at which it is due. Out: calls of them, one after the other; the time is
that of the action being called. Owns the heap. Nothing here or above reads the clock of the machine: a run is
the same each time, on any machine. Time is a whole number of nanoseconds; below `nodes.host` it is told in
seconds, as on a real machine.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

NS_PER_S = 1_000_000_000
Action = Callable[[], None]


class Event:
    """An action that is due. `cancel` makes it void."""

    __slots__ = ("action", "at_ns")

    def __init__(self, at_ns: int, action: Action | None) -> None:
        self.at_ns = at_ns
        self.action = action

    def cancel(self) -> None:
        self.action = None


class Clock:
    """`now_ns` only grows. It begins with a second: to the stack 0 means "never"."""

    __slots__ = ("_heap", "_made", "events", "now_ns")

    def __init__(self) -> None:
        self.now_ns = NS_PER_S
        self.events = 0  # actions called so far
        self._heap: list[tuple[int, int, Event]] = []
        self._made = 0

    def seconds(self) -> float:
        """Now, as the stack is told it."""
        return self.now_ns / NS_PER_S

    def at(self, at_ns: int, action: Action) -> Event:
        """Call `action` at that time, at once if it has passed: after all that is due before and all that was
        asked for earlier."""
        event = Event(max(at_ns, self.now_ns), action)
        self._made += 1
        heapq.heappush(self._heap, (event.at_ns, self._made, event))
        return event

    def step(self) -> bool:
        """Call the next action; False if there is none."""
        while self._heap:
            at_ns, _, event = heapq.heappop(self._heap)
            action = event.action
            if action is not None:
                event.action = None
                self.now_ns = at_ns
                self.events += 1
                action()
                return True
        return False

    @property
    def next_ns(self) -> int | None:
        """When the next action is due, void ones included; None if there is none."""
        return self._heap[0][0] if self._heap else None


def ns(seconds: float) -> int:
    """The first nanosecond that is not before `seconds`: a timer is never early."""
    return math.ceil(seconds * NS_PER_S)

"""The simulated clock: events in the order of their time, and of their making where times are equal.

In: actions, each with the nanosecond at which it is due. Out: calls of them, one after the other; the time is
that of the action being called. Owns the heap. Nothing here or above reads the clock of the machine: a run is
the same each time, on any machine. Time is a whole number of nanoseconds; below `nodes.host` it is told in
seconds, as on a real machine.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush

NS_PER_S = 1_000_000_000
_VOID_MAX = 64  # void events that are kept in addition to as many as are due
Action = Callable[[], None]


class Event:
    """Something that is due; `Clock.cancel` makes it void. What happens with each frame has a subclass of its
    own, which the compiler calls without a detour."""

    __slots__ = ("at_ns", "is_due")

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns
        self.is_due = True  # neither has it happened, nor was it cancelled

    def happen(self) -> None:
        raise NotImplementedError


class _Call(Event):
    """A call of any action."""

    __slots__ = ("_action",)

    def __init__(self, at_ns: int, action: Action) -> None:
        super().__init__(at_ns)
        self._action = action

    def happen(self) -> None:
        self._action()


class Clock:
    """`now_ns` only grows. It begins with a second: to the stack 0 means "never". An action may set
    `paused`, which ends `run` behind it."""

    __slots__ = ("_due_now", "_heap", "_made", "_void", "events", "now_ns", "paused")

    def __init__(self) -> None:
        self.now_ns = NS_PER_S
        self.events = 0  # actions called so far
        self.paused = False
        self._heap: list[tuple[int, int, Event]] = []
        self._due_now: deque[Event] = deque()  # asked for in this nanosecond, behind what the heap has for it
        self._made = 0
        self._void = 0  # cancelled events that are still kept

    def seconds(self) -> float:
        """Now, as the stack is told it."""
        return self.now_ns / NS_PER_S

    def at(self, at_ns: int, action: Action) -> Event:
        """Call `action` at that time, at once if it has passed: after all that is due before and all that was
        asked for earlier."""
        event = _Call(at_ns, action)
        self.put(event)
        return event

    def put(self, event: Event) -> None:
        """The same for any event."""
        at_ns = event.at_ns
        if at_ns <= self.now_ns:
            event.at_ns = self.now_ns
            self._due_now.append(event)
            return
        self._made += 1
        heappush(self._heap, (at_ns, self._made, event))

    def cancel(self, event: Event) -> None:
        """Void ones are dropped as soon as they outnumber the others: a timer that is moved with each packet
        would else leave the heap larger with each."""
        if not event.is_due:
            return
        event.is_due = False
        self._void += 1
        if self._void > len(self._heap) // 2 + _VOID_MAX:
            self._heap = [entry for entry in self._heap if entry[2].is_due]
            heapify(self._heap)
            self._void = sum(not each.is_due for each in self._due_now)

    @property
    def kept(self) -> int:
        """Events that are kept, void ones included."""
        return len(self._heap) + len(self._due_now)

    def step(self) -> bool:
        """Call the next action; False if there is none."""
        due_now = self._due_now
        while True:
            heap = self._heap
            if heap and (not due_now or heap[0][0] <= self.now_ns):
                event = heappop(heap)[2]
            elif due_now:
                event = due_now.popleft()
            else:
                return False
            if event.is_due:
                event.is_due = False
                self.now_ns = event.at_ns
                self.events += 1
                event.happen()
                return True
            self._void -= 1

    def run(self, count: int) -> bool:
        """Call the next actions, at most `count` of them, until one sets `paused`; False if there is none
        left."""
        self.paused = False
        for _ in range(count):
            if not self.step():
                return False
            if self.paused:
                break
        return True


def ns(seconds: float) -> int:
    """The first nanosecond that is not before `seconds`: a timer is never early."""
    return math.ceil(seconds * NS_PER_S)

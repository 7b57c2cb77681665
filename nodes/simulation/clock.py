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
from typing import Final

NS_PER_S: Final = 1_000_000_000
_NOWHERE: Final = -1  # the place of an event that is not in the heap
Action = Callable[[], None]


class Event:
    """Something that is due; `Clock.cancel` makes it void. What happens with each frame has a subclass of its
    own, which the compiler calls without a detour. `is_due`: it was put, has not happened, and was not
    cancelled. `made` orders events of one nanosecond. `place`: its index in the heap."""

    __slots__ = ("at_ns", "is_due", "made", "place")

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns
        self.is_due = False
        self.made = 0
        self.place: int = _NOWHERE

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

    __slots__ = ("_due_now", "_heap", "_made", "events", "now_ns", "paused")

    def __init__(self) -> None:
        self.now_ns: int = NS_PER_S
        self.events = 0  # actions called so far
        self.paused = False
        # A binary heap whose events know their places. heapq would compare tuples, for three times as long,
        # and could neither move a timer nor take one out: most timers of hosts are moved with each packet.
        self._heap: list[Event] = []
        self._due_now: deque[Event] = deque()  # asked for in this nanosecond, behind what the heap has for it
        self._made = 0

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
        """The same for any event that is not due."""
        event.is_due = True
        if event.at_ns <= self.now_ns:
            event.at_ns = self.now_ns
            self._due_now.append(event)
            return
        self._made += 1
        event.made = self._made
        self._heap.append(event)
        self._rise(event, len(self._heap) - 1)

    def cancel(self, event: Event) -> None:
        """One that is due in this very nanosecond is kept until its turn comes."""
        event.is_due = False
        place = event.place
        if place == _NOWHERE:
            return
        event.place = _NOWHERE
        heap = self._heap
        last = heap.pop()
        if last is not event:
            self._settle(last, place)

    @property
    def kept(self) -> int:
        """Events that are kept."""
        return len(self._heap) + len(self._due_now)

    def step(self) -> bool:
        """Call the next action; False if there is none."""
        due_now = self._due_now
        while True:
            heap = self._heap
            if heap and (not due_now or heap[0].at_ns <= self.now_ns):
                event = heap[0]
                self.cancel(event)
            elif due_now:
                event = due_now.popleft()
                if not event.is_due:
                    continue
                event.is_due = False
            else:
                return False
            self.now_ns = event.at_ns
            self.events += 1
            event.happen()
            return True

    def run(self, count: int) -> bool:
        """Call the next actions, at most `count` of them, until one sets `paused`; False if there is none
        left."""
        self.paused = False
        left = count
        while left > 0 and not self.paused:
            if not self.step():
                return False
            left -= 1
        return True

    def _settle(self, event: Event, place: int) -> None:
        """Put `event` where `place` is vacant: first the smaller children go up, down to a leaf, for most
        events that are moved here come from one."""
        heap = self._heap
        size = len(heap)
        child = 2 * place + 1
        while child < size:
            first = heap[child]
            if child + 1 < size:
                second = heap[child + 1]
                if _is_before(second, first):
                    first = second
                    child += 1
            heap[place] = first
            first.place = place
            place = child
            child = 2 * place + 1
        self._rise(event, place)

    def _rise(self, event: Event, place: int) -> None:
        """The same, but only parents that are later go down."""
        heap = self._heap
        while place > 0:
            above = (place - 1) // 2
            parent = heap[above]
            if not _is_before(event, parent):
                break
            heap[place] = parent
            parent.place = place
            place = above
        heap[place] = event
        event.place = place


def _is_before(one: Event, other: Event) -> bool:
    return one.at_ns < other.at_ns or (one.at_ns == other.at_ns and one.made < other.made)


def ns(seconds: float) -> int:
    """The first nanosecond that is not before `seconds`: a timer is never early."""
    return math.ceil(seconds * NS_PER_S)

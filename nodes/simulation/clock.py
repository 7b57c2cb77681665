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

from librt.vecs import append, vec
from mypy_extensions import i64

NS_PER_S: Final = 1_000_000_000
_NONE: Final = -1  # in place of a slot: there is none
Action = Callable[[], None]


class Event:
    """Something that is due; `Clock.cancel` makes it void. What happens with each frame has a subclass of its
    own, which the compiler calls without a detour. `is_due`: it was put, has not happened, and was not
    cancelled. `slot`: where the clock keeps it."""

    __slots__ = ("at_ns", "is_due", "slot")

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns
        self.is_due = False
        self.slot: int = _NONE

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

    __slots__ = (
        "_at_ns", "_due_now", "_events", "_free", "_heap", "_made", "_order", "_place", "_size", "events",
        "now_ns", "paused",
    )  # fmt: skip

    def __init__(self) -> None:
        self.now_ns: int = NS_PER_S
        self.events = 0  # actions called so far
        self.paused = False
        # A binary heap of slots, of which the first `_size` are in use. heapq would compare tuples, for
        # longer, and could neither move a timer nor take one out: most timers of hosts are moved with each
        # packet. By slot: the event, its time, its number, and its place in the heap; of a free slot, the
        # next free one. Times and numbers lie side by side: events are all over the memory, and with many
        # hosts in no cache.
        self._heap = vec[i64]()
        self._size: i64 = 0
        self._events: list[Event | None] = []
        self._at_ns = vec[i64]()
        self._order = vec[i64]()
        self._place = vec[i64]()
        self._free: i64 = _NONE
        self._due_now: deque[Event] = deque()  # asked for in this nanosecond, behind what the heap has for it
        self._made: i64 = 0

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
        if self._free == _NONE:
            self._add_slot()
        slot = self._free
        self._free = self._place[slot]
        self._events[slot] = event
        event.slot = slot
        self._made += 1
        self._at_ns[slot] = event.at_ns
        self._order[slot] = self._made
        self._size += 1
        self._rise(slot, self._size - 1)

    def cancel(self, event: Event) -> None:
        """One that is due in this very nanosecond is kept until its turn comes."""
        event.is_due = False
        if event.slot == _NONE:
            return
        slot: i64 = event.slot
        event.slot = _NONE
        self._events[slot] = None
        place = self._place[slot]
        self._place[slot] = self._free
        self._free = slot
        self._size -= 1
        last = self._heap[self._size]
        if last != slot:
            self._settle(last, place)

    @property
    def kept(self) -> int:
        """Events that are kept."""
        return int(self._size) + len(self._due_now)

    def step(self) -> bool:
        """Call the next action; False if there is none."""
        due_now = self._due_now
        while True:
            if self._size and (not due_now or self._at_ns[self._heap[0]] <= self.now_ns):
                first = self._events[self._heap[0]]
                assert first is not None
                event = first
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

    def _add_slot(self) -> None:
        """One more, which is free."""
        slot: i64 = len(self._events)
        self._events.append(None)
        self._heap = append(self._heap, slot)
        self._at_ns = append(self._at_ns, 0)
        self._order = append(self._order, 0)
        self._place = append(self._place, self._free)
        self._free = slot

    def _settle(self, slot: i64, place: i64) -> None:
        """Put `slot` where `place` is vacant: first the smaller children go up, down to a leaf, for most
        that are moved here come from one."""
        heap, places, size = self._heap, self._place, self._size
        child = 2 * place + 1
        while child < size:
            if child + 1 < size and self._is_before(heap[child + 1], heap[child]):
                child += 1
            first = heap[child]
            heap[place] = first
            places[first] = place
            place = child
            child = 2 * place + 1
        self._rise(slot, place)

    def _rise(self, slot: i64, place: i64) -> None:
        """The same, but only parents that are later go down."""
        heap, places = self._heap, self._place
        while place > 0:
            above = (place - 1) >> 1
            parent = heap[above]
            if not self._is_before(slot, parent):
                break
            heap[place] = parent
            places[parent] = place
            place = above
        heap[place] = slot
        places[slot] = place

    def _is_before(self, one: i64, other: i64) -> bool:
        at_ns, order = self._at_ns, self._order
        return at_ns[one] < at_ns[other] or (at_ns[one] == at_ns[other] and order[one] < order[other])


def ns(seconds: float) -> int:
    """The first nanosecond that is not before `seconds`: a timer is never early."""
    return math.ceil(seconds * NS_PER_S)

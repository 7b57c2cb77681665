"""Timers of many items, each with one deadline that moves often and mostly to a later time.

In: an item and its deadline, in seconds of the caller's clock; `now`. Out: the items whose deadline has come.
Owns the heap; asks no clock.
A deadline that moves to a later time, or goes, costs no heap operation: the item's entry stays where it is,
comes up early, and is then put back at the deadline of that moment. Entries of cancelled items are void: they
are deleted when they come up, or all together as soon as they outnumber the others.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

_T = TypeVar("_T")
_VOID_MAX = 64  # void entries that are tolerated in addition to as many as there are items


def earlier(one: float | None, other: float | None) -> float | None:
    """The first of two deadlines; None is never."""
    if one is None:
        return other
    return one if other is None or one <= other else other


class _Timer(Generic[_T]):
    """`deadline` may be later than `entry_at`, the time of the item's only valid heap entry, whose number is
    `entry`."""

    __slots__ = ("deadline", "entry", "entry_at", "item")
    __deletable__ = ("item",)  # tells the compiler of forget_item

    def __init__(self, item: _T) -> None:
        self.item = item
        self.deadline: float | None = None
        self.entry_at = 0.0
        self.entry = 0

    def forget_item(self) -> None:
        """Make every entry void; a void entry keeps no item alive."""
        self.entry = 0
        del self.item


class TimerHeap(Generic[_T]):
    """Items must be hashable. `len` counts the items that have an entry."""

    def __init__(self) -> None:
        self._timers: dict[_T, _Timer[_T]] = {}
        # Invariant: the first entry is valid. The number orders equal times, and tells a valid entry.
        self._heap: list[tuple[float, int, _Timer[_T]]] = []
        self._entries = 0  # made so far: the next one's number

    def __len__(self) -> int:
        return len(self._timers)

    def schedule(self, item: _T, at: float | None) -> None:
        """Set the deadline of `item`. None takes it away and keeps the entry: cheap for an item that will
        soon get another deadline."""
        timer = self._timers.get(item)
        if timer is not None and (at is None or at >= timer.entry_at):
            timer.deadline = at
            return
        if at is None:
            return
        if timer is None:
            timer = self._timers[item] = _Timer(item)
        timer.deadline = at
        self._push(timer, at)
        if len(self._heap) > 2 * len(self._timers) + _VOID_MAX:
            self._heap = [(each.entry_at, each.entry, each) for each in self._timers.values()]
            heapq.heapify(self._heap)

    def _push(self, timer: _Timer[_T], at: float) -> None:
        """Give `timer` an entry at `at`, which makes its earlier one void."""
        self._entries += 1
        timer.entry, timer.entry_at = self._entries, at
        heapq.heappush(self._heap, (at, timer.entry, timer))

    def cancel(self, item: _T) -> None:
        """Forget `item`, if it is there."""
        timer = self._timers.pop(item, None)
        if timer is not None:
            timer.forget_item()
            self._drop_void()

    def next_timeout(self) -> float | None:
        """When to call `pop_due`: no later than the first deadline. None without any entry."""
        return self._heap[0][0] if self._heap else None

    def first(self) -> _T | None:
        """The item of the first entry."""
        return self._heap[0][2].item if self._heap else None

    def pop_due(self, now: float) -> _T | None:
        """Take out an item whose deadline is `now` or earlier; None when there is none. Call it until it
        returns None; in between, items may be scheduled and cancelled."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            timer = heapq.heappop(heap)[2]
            deadline = timer.deadline
            if deadline is not None and deadline > now:
                self._push(timer, deadline)
                self._drop_void()
                continue
            item = timer.item
            del self._timers[item]
            timer.forget_item()
            self._drop_void()
            if deadline is not None:
                return item
        return None

    def _drop_void(self) -> None:
        heap = self._heap
        while heap and heap[0][2].entry != heap[0][1]:
            heapq.heappop(heap)

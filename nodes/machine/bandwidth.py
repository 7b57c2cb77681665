"""A bandwidth limit as arithmetic: a server with a fixed rate that serves requests first come, first served.

In: bytes to move and `now`. Out: the time at which the caller may continue. Owns one number, the time when
all requests so far are served. No clock, no lock, no file: a simulated machine uses BandwidthLimit as it is,
`ceilings.Bus` shares the number between processes.
"""

from __future__ import annotations

# Write buffers and posted DMA let a machine run ahead of its memory by so much. Without them the memory would
# idle while its users compute, and no workload would reach the bandwidth that was set.
QUEUE_S = 2e-3


def served_at(free_at: float, count: int, bytes_per_second: float, now: float) -> float:
    """When `count` bytes are served that are requested at `now`, if earlier requests are served at `free_at`.
    Idle time is not saved up."""
    return max(free_at, now) + count / bytes_per_second


class BandwidthLimit:
    """Times are seconds of any clock that never goes back."""

    def __init__(self, bytes_per_second: float) -> None:
        self.bytes_per_second = bytes_per_second
        self._free_at = 0.0

    def reserve(self, count: int, now: float) -> float:
        """Request `count` bytes; returns when the caller may continue, which may be before `now`."""
        self._free_at = served_at(self._free_at, count, self.bytes_per_second, now)
        return self._free_at - QUEUE_S

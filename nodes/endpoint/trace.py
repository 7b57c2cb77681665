"""Trace events of page pools, one JSON object a line: `--trace FILE`.

In: netmems that come from a memory provider and that go back to it; the time, from a clock that is passed in.
Out: lines with `time_s` (seconds of that clock), `event`, `pool`, the kind of the netmem, its dmabuf_id, its
offset in bytes, and the pool's hold or release count. Owns nothing; the caller that opened the file closes
it. Source for the names: include/trace/events/page_pool.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from nodes.netmem.netmem import Netmem


class PoolEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the file. `hold` or `release`: the pool's count, this event included."""

    time_s: float
    event: str
    pool: int
    netmem: str
    dmabuf_id: int
    offset: int
    hold: int | None = None
    release: int | None = None


class LineFile(Protocol):
    """Where lines go, one `write` each."""

    def write(self, line: bytes, /) -> object: ...


class TraceFile:
    """Satisfies netmem.page_pool.PoolTrace. Page pool ids are unique in a host, so all NICs of a host may
    share a file. `clock`: seconds, CLOCK_MONOTONIC for an endpoint."""

    def __init__(self, file: LineFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode

    def state_hold(self, pool_id: int, netmem: Netmem, count: int) -> None:
        self._write(self._event("page_pool_state_hold", pool_id, netmem, hold=count))

    def state_release(self, pool_id: int, netmem: Netmem, count: int) -> None:
        self._write(self._event("page_pool_state_release", pool_id, netmem, release=count))

    def _event(
        self, name: str, pool_id: int, netmem: Netmem, hold: int | None = None, release: int | None = None
    ) -> PoolEvent:
        kind = "net_iov" if netmem.is_net_iov else "page"
        return PoolEvent(
            self._clock(), name, pool_id, kind, netmem.dmabuf_id, netmem.offset, hold, release
        )

    def _write(self, event: PoolEvent) -> None:
        self._file.write(self._encode(event) + b"\n")

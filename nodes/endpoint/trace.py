"""Trace events of page pools, one JSON object a line: `--trace FILE`.

In: netmems that come from a memory provider and go back. Out: lines with `time_s` (CLOCK_MONOTONIC), `event`,
`pool`, the netmem's kind, dmabuf_id and offset in bytes, and the pool's count. Owns nothing: who opened the
file closes it. The names are those of include/trace/events/page_pool.h.
"""

from __future__ import annotations

import time
from typing import BinaryIO

import msgspec

from nodes.netmem.netmem import Netmem


class PoolEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """`hold` or `release`: the pool's count with this event."""

    time_s: float
    event: str
    pool: int
    netmem: str
    dmabuf_id: int
    offset: int
    hold: int | None = None
    release: int | None = None


class TraceFile:
    """Satisfies netmem.page_pool.PoolTrace."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encode = msgspec.json.Encoder().encode

    def state_hold(self, pool_id: int, netmem: Netmem, count: int) -> None:
        self._write(_event("page_pool_state_hold", pool_id, netmem, hold=count))

    def state_release(self, pool_id: int, netmem: Netmem, count: int) -> None:
        self._write(_event("page_pool_state_release", pool_id, netmem, release=count))

    def _write(self, event: PoolEvent) -> None:
        self._file.write(self._encode(event) + b"\n")


def _event(
    name: str, pool_id: int, netmem: Netmem, hold: int | None = None, release: int | None = None
) -> PoolEvent:
    kind = "net_iov" if netmem.is_net_iov else "page"
    now = time.monotonic()
    return PoolEvent(now, name, pool_id, kind, netmem.dmabuf_id, netmem.offset, hold, release)

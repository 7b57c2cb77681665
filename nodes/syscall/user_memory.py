"""Host memory that processes have registered with the host, by numbers that cannot be guessed.

In: sealed memfds. Out: views of the spans that a system call names (access_ok in the kernel). Owns the
mappings.
"""

from __future__ import annotations

import errno
import secrets
from typing import Final

from nodes.machine.memory import Region
from nodes.machine.routes import Place
from nodes.uapi.syscalls import NO_MEMORY, USER_MEMORY_NAME, Span

EMPTY: Final = memoryview(bytearray())


class UserMemory:
    """One for all processes of the host: a number serves the process that was told it. `counted`: it has no
    content."""

    def __init__(self, counted: bool = False) -> None:
        self._counted = counted
        self._regions: dict[int, Region] = {}

    def register(self, fd: int) -> int:
        """Map the memfd, whose descriptor is taken over; returns its number. Raises OSError as
        Region.mapped."""
        memory = secrets.randbits(62)
        self._regions[memory] = Region.mapped(fd, USER_MEMORY_NAME, Place.HOST, self._counted)
        return memory

    def drop(self, memory: int) -> bool:
        """Unmap; returns whether there was such memory."""
        region = self._regions.pop(memory, None)
        if region is not None:
            region.close()
        return region is not None

    def view(self, span: Span) -> memoryview:
        """The bytes of `span`. EFAULT when it does not lie inside registered memory."""
        if span == NO_MEMORY:
            return EMPTY
        region = self._regions.get(span.memory)
        if region is None or span.offset < 0 or span.length < 0 or span.offset + span.length > region.size:
            raise OSError(errno.EFAULT, f"{span.length} bytes at {span.offset} are not registered memory")
        return region.view[span.offset : span.offset + span.length]

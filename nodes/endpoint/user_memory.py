"""Host memory that processes have registered, by unguessable numbers.

In: sealed memfds. Out: views of the spans that a call names. Owns the mappings.
"""

from __future__ import annotations

import errno
import secrets

from nodes.machine.ledger import Place
from nodes.machine.memory import Region
from nodes.uapi.syscalls import NO_MEMORY, Span

USER_MEMORY_NAME = "user-memory"
EMPTY = memoryview(bytearray())


class UserMemory:
    def __init__(self) -> None:
        self._regions: dict[int, Region] = {}

    def register(self, fd: int) -> int:
        """Map the memfd, which is taken over; returns its number. Raises OSError as Region.mapped."""
        memory = secrets.randbits(62)  # nobody can guess another process's
        self._regions[memory] = Region.mapped(fd, USER_MEMORY_NAME, Place.HOST)
        return memory

    def drop(self, memory: int) -> bool:
        """Unmap; whether there was such memory."""
        region = self._regions.pop(memory, None)
        if region is not None:
            region.close()
        return region is not None

    def view(self, span: Span) -> memoryview:
        """Registered memory; EFAULT when the span is not inside any."""
        if span == NO_MEMORY:
            return EMPTY
        region = self._regions.get(span.memory)
        if region is None or span.offset < 0 or span.length < 0 or span.offset + span.length > region.size:
            raise OSError(errno.EFAULT, f"{span.length} bytes at {span.offset} are not registered memory")
        return region.view[span.offset : span.offset + span.length]

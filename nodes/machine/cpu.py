"""The CPU's copies: the kernel's to and from user memory, and its reads and writes of headers.

In: host regions and user memory. Out: copied bytes. Owns nothing; adds every access to the ledger. One of the
three places where payload is accessed, for host pages only: device memory raises, as a kernel that touches an
unreadable fragment faults. Source: copy_to_iter and copy_from_iter (lib/iov_iter.c).
"""

from __future__ import annotations

from typing import Final

from nodes.machine import routes
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.machine.routes import Place

_COPY: Final = routes.CPU_HOST_TO_HOST
_HEADER_READ: Final = routes.CPU_HEADER_READ
_HEADER_WRITE: Final = routes.CPU_HEADER_WRITE


class UnreadableMemory(Exception):
    """The CPU was to access device memory: a broken invariant, never an error of a user."""


class Cpu:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def copy(self, source: Region, at: int, destination: memoryview) -> None:
        """Copy len(destination) bytes of the host region `source`, from byte `at` on, to user memory."""
        if source.place is not Place.HOST:
            raise UnreadableMemory(f"the CPU may not read {source.place.value} memory at {at}")
        count = len(destination)
        if not source.counted:
            destination[:] = source.view[at : at + count]
        self._ledger.record(_COPY, count)

    def copy_in(self, source: memoryview, destination: Region, at: int) -> None:
        """Copy all of `source`, which is user memory, to the host region `destination` at byte `at`."""
        if destination.place is not Place.HOST:
            raise UnreadableMemory(f"the CPU may not write {destination.place.value} memory at {at}")
        if not destination.counted:
            destination.view[at : at + len(source)] = source
        self._ledger.record(_COPY, len(source))

    def read_header(self, count: int, wire_packets: int) -> None:
        """The stack has read a header of `count` bytes, of a packet that stands for `wire_packets`."""
        self._ledger.record_header(_HEADER_READ, count, wire_packets)

    def write_header(self, count: int, wire_packets: int) -> None:
        """The stack has written a header of `count` bytes, of a packet that stands for `wire_packets`."""
        self._ledger.record_header(_HEADER_WRITE, count, wire_packets)

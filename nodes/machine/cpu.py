"""The CPU's copies: the kernel's to and from user memory, and what it reads and writes of headers.

One of the three doors to payload, and only for host pages: device memory raises here, as a kernel
that touched an unreadable fragment would fault. Source: copy_to_iter/copy_from_iter (lib/iov_iter.c).
"""

from __future__ import annotations

from nodes.machine import ledger as routes
from nodes.machine.ledger import Ledger, Place
from nodes.machine.memory import Region


class UnreadableMemory(RuntimeError):
    """The CPU was asked to touch device memory: a broken invariant, never a user's mistake."""


class Cpu:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def copy(self, source: Region, at: int, destination: memoryview) -> None:
        """Copy len(destination) bytes of the host region `source` from `at` on into host memory."""
        if source.place is not Place.HOST:
            raise UnreadableMemory(f"the CPU may not read {source.place.value} memory at {at}")
        count = len(destination)
        destination[:] = source.view[at : at + count]
        self._ledger.record(routes.CPU_HOST_TO_HOST, count)

    def copy_in(self, source: memoryview, destination: Region, at: int) -> None:
        """Copy all of `source` (host memory) into the host region `destination` from `at` on."""
        if destination.place is not Place.HOST:
            raise UnreadableMemory(f"the CPU may not write {destination.place.value} memory at {at}")
        destination.view[at : at + len(source)] = source
        self._ledger.record(routes.CPU_HOST_TO_HOST, len(source))

    def read_header(self, count: int, wire_packets: int) -> None:
        """The stack read a header of `count` bytes from host memory."""
        self._ledger.record_header(routes.CPU_HEADER_READ, count, wire_packets)

    def write_header(self, count: int, wire_packets: int) -> None:
        """The stack wrote a header of `count` bytes to host memory for the NIC to fetch."""
        self._ledger.record_header(routes.CPU_HEADER_WRITE, count, wire_packets)

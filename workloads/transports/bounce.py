"""Paths that stage payload in host memory: `bounce` over the endpoint's stack, and what `kernel` has of it.

In and out: as Transport. Owns one staging buffer a direction. Sending: the accelerator's copy engine writes
the staging buffer, the stack copies from it. Receiving: the stack copies into it, the copy engine reads it.
The application's own copies are recorded here, and those of the endpoint's stack there.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import closing
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from nodes.client.socket import Socket
from workloads.experiment.records import Address
from workloads.machine import STAGING_BYTES
from workloads.stream_check import StreamCheck
from workloads.transports.transport import Arrived, Stream, Transport, ended

_FLOAT = np.dtype(np.float32)

class ByteStream(Stream, Protocol):
    """What staged paths need of a socket."""

    def sendall(self, data: memoryview, /) -> Any: ...
    def recv_into(self, buffer: memoryview, /) -> int: ...


B = TypeVar("B", bound=ByteStream)


class Staged(Transport[B], Generic[B]):
    """Payload goes through `_staging(...)`, a chunk at a time; the copy out of it is done when sendall is."""

    @abstractmethod
    def _staging(self) -> memoryview:
        """A new host buffer of STAGING_BYTES that this path's stack can use."""

    def staged_bytes(self, sent: int, received: int) -> int:
        return sent + received

    def _moved_out(self, count: int, remaining: int) -> None:
        """`count` bytes left the staging buffer for the wire, of the `remaining` ones of a message."""

    def _moved_in(self, count: int, remaining: int) -> None:
        """`count` bytes came from the wire into the staging buffer, of the `remaining` ones of a message."""

    def connect(self, next_rank: Address) -> None:
        self._sent_from = self._staging()
        self._received_to = self._staging()
        super().connect(next_rank)

    def receive_into(self, offset: int, length: int) -> None:
        while length:
            count = self._receive(length)
            if not count:
                raise ended(length)
            self._machine.accelerator.copy_to_device(self._received_to[:count], self._machine.data, offset)
            offset, length = offset + count, length - count

    def receive_reduce(self, offset: int, length: int) -> None:
        """The copy engine can only copy: payload lands in device memory first, and is reduced there."""
        accelerator, landing = self._machine.accelerator, self._machine.landing
        reduction = accelerator.reduction(self._machine.data, offset, _FLOAT, np.add)
        while length:
            count = self._receive(length)
            if not count:
                raise ended(length)
            accelerator.copy_to_device(self._received_to[:count], landing, 0)
            reduction.add(landing, [(0, count)])
            length -= count

    def receive_stream(self, offset: int, period: int, check: StreamCheck) -> Arrived:
        total, last_at_s = 0, time.monotonic()
        while count := self._receive(period - total % period):
            at = offset + total % period
            self._machine.accelerator.copy_to_device(self._received_to[:count], self._machine.data, at)
            last_at_s = time.monotonic()
            check.take(self._machine.data, at, count)
            total += count
        return Arrived(total, last_at_s)

    def _receive(self, remaining: int) -> int:
        """What is there of a message's remaining bytes, at most a buffer full; 0 at the stream's end."""
        count = self._incoming.recv_into(self._received_to[: min(remaining, STAGING_BYTES)])
        self._moved_in(count, remaining)
        return count

    def _transmit(self, offset: int, length: int) -> None:
        while length:
            chunk = self._sent_from[: min(length, STAGING_BYTES)]
            self._machine.accelerator.copy_to_host(self._machine.data, offset, chunk)
            self._outgoing.sendall(chunk)
            self._moved_out(len(chunk), length)
            offset, length = offset + len(chunk), length - len(chunk)


class Bounce(Staged[Socket]):
    description = "the endpoint's stack with staging: payload crosses host memory four times"

    def _socket(self) -> Socket:
        return self._machine.host.socket()

    def _address(self) -> str:
        return self._machine.host.address

    def _staging(self) -> memoryview:
        memory = self._undo.enter_context(closing(self._machine.host.memory(STAGING_BYTES)))
        return memory.view

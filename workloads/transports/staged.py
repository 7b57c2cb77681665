"""Sending and receiving through a staging buffer in host memory: what `bounce` and `kernel` have in common.

In: a connected socket and a staging buffer of its stack. Out: as data_path.Sender and Receiver. Owns nothing.
Sending: the accelerator's copy engine writes the staging buffer, the stack copies from it. Receiving: the
stack copies into it, the copy engine reads it. The application's own copies are recorded here, those of the
endpoint's stack there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nodes.machine.accelerator import Operator
from nodes.machine.ledger import Ledger
from workloads.machine import Machine
from workloads.stream_check import StreamCheck
from workloads.transports.data_path import ReceivedStream, Receiver, TcpSocket, closed_early

# (count, remaining): `count` bytes crossed the socket, of the `remaining` ones of a message.
OnMoved = Callable[[int, int], None]


class ByteStream(TcpSocket, Protocol):
    """What a staging buffer is sent from and received into."""

    def send(self, data: memoryview, /) -> int: ...
    def recv_into(self, buffer: memoryview, /) -> int: ...


def ignore_moved(count: int, remaining: int) -> None:
    """For a stack that keeps its own ledger."""


class StagedSender:
    """A chunk at a time: what `send` has taken the stack has copied, and that part of the buffer is free."""

    def __init__(
        self,
        machine: Machine,
        sock: ByteStream,
        ledger: Ledger,
        staging: memoryview,
        on_moved: OnMoved = ignore_moved,
    ) -> None:
        self._data = machine.data
        self._progress = machine.progress
        self._accelerator = machine.accelerator_of(ledger)
        self._sock = sock
        self._staging = staging
        self._on_moved = on_moved

    def begin(self, offset: int, length: int) -> int:  # noqa: ARG002
        """Nothing goes without a copy."""
        return 0

    def link(self, offset: int, length: int, receiver: Receiver, told: Callable[[int], object]) -> bool:  # noqa: ARG002
        """Likewise."""
        return False

    def transmit(self, offset: int, length: int) -> None:
        size = len(self._staging)
        while length:
            chunk = self._staging[: min(length, size)]
            self._accelerator.copy_to_host(self._data, offset, chunk)
            offset += len(chunk)
            while chunk:
                sent = self._progress.wait(self._sock.send, chunk)
                self._on_moved(sent, length)
                chunk, length = chunk[sent:], length - sent

    def job_ended(self) -> None:
        """Nothing is kept of a send."""

    def is_reusable(self, ticket: int) -> bool:  # noqa: ARG002
        """The stack has its own copy."""
        return True

    def wait_reusable(self, ticket: int) -> None:
        """Likewise."""


class StagedReceiver:
    """Payload comes through the staging buffer, at most a buffer full at a time."""

    def __init__(
        self,
        machine: Machine,
        sock: ByteStream,
        ledger: Ledger,
        staging: memoryview,
        on_moved: OnMoved = ignore_moved,
    ) -> None:
        self._machine = machine
        self._accelerator = machine.accelerator_of(ledger)
        self._sock = sock
        self._staging = staging
        self._on_moved = on_moved

    def receive_into(self, offset: int, length: int, more: bool = False) -> None:  # noqa: ARG002
        while length:
            count = self._receive(length)
            if not count:
                raise closed_early(length)
            self._accelerator.copy_to_device(self._staging[:count], self._machine.data, offset)
            offset, length = offset + count, length - count

    def receive_reduce(
        self, offset: int, length: int, operand: int, operator: Operator, more: bool = False  # noqa: ARG002
    ) -> None:  # fmt: skip
        """The copy engine can only copy: payload lands in device memory first, and is reduced there."""
        accelerator, landing = self._accelerator, self._machine.landing
        reduction = accelerator.reduction(self._machine.data, offset, operand, operator)
        while length:
            count = self._receive(length)
            if not count:
                raise closed_early(length)
            accelerator.copy_to_device(self._staging[:count], landing, 0)
            reduction.add(landing, [(0, count)])
            length -= count

    def receive_stream(self, offset: int, period: int, check: StreamCheck) -> ReceivedStream:
        now = self._machine.runtime.monotonic
        total, last_at_s = 0, now()
        while count := self._receive(period - total % period):
            at = offset + total % period
            self._accelerator.copy_to_device(self._staging[:count], self._machine.data, at)
            last_at_s = now()
            check.take(self._machine.data, at, count)
            total += count
        return ReceivedStream(total, last_at_s)

    def _receive(self, remaining: int) -> int:
        """Receive some of a message's remaining bytes; returns how many, 0 at the end of the stream."""
        into = self._staging[: min(remaining, len(self._staging))]
        count = self._machine.progress.wait(self._sock.recv_into, into)
        self._on_moved(count, remaining)
        return count

"""Between two ranks of one host: from accelerator to accelerator over a fabric of their own, like NVLink.

In and out: as DataPath. Owns the mapping of the peer's memory. No NIC, no PCIe switch and no host memory is
passed, whichever path the ranks take between hosts, as with NCCL's peer-to-peer transport
(src/transport/p2p.cc). The sender exports its data dma-buf once, and then tells where the bytes lie; the
receiving accelerator reads them from there. Beside the emulated network, as the barrier: the ranks' local
connection carries these places, and a byte back for each that has been read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import ClassVar

from nodes.client.host import HostStats
from nodes.client.runtime import LocalSocket
from nodes.machine import dmabuf
from nodes.machine.accelerator import Operator
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from workloads.experiment.records import NicPlace
from workloads.machine import Machine
from workloads.progress import Progress
from workloads.stream_check import StreamCheck
from workloads.transports.counters import PacketCounters, StackCounters
from workloads.transports.data_path import ReceivedStream, Receiver, Sender, closed_early

_PLACE = struct.Struct("=QQ")  # offset and length of bytes in the sender's data dma-buf
_UNREAD_MAX = 8


class FabricSender:
    """Its methods, the first greeting aside, run in the sending thread, which alone hears what was read."""

    def __init__(self, sock: LocalSocket, data: Region, progress: Progress) -> None:
        self._sock = sock
        self._progress = progress
        sock.send_descriptor(data.fd)
        self._unread = 0

    def begin(self, offset: int, length: int) -> int:  # noqa: ARG002
        """Only the sending thread hears what was read."""
        return 0

    def link(self, offset: int, length: int, receiver: Receiver, told: Callable[[int], object]) -> bool:  # noqa: ARG002
        """Likewise."""
        return False

    def transmit(self, offset: int, length: int) -> None:
        if length:
            self._wait_until_unread(_UNREAD_MAX - 1)
            self._progress.wait(self._sock.send, _PLACE.pack(offset, length))
            self._unread += 1

    def job_ended(self) -> None:
        """A job ends when the peer has read everything."""
        self._wait_until_unread(0)

    def is_reusable(self, ticket: int) -> bool:  # noqa: ARG002
        """The job has ended."""
        return True

    def wait_reusable(self, ticket: int) -> None:
        """Likewise."""

    def _wait_until_unread(self, places: int) -> None:
        while self._unread > places:
            if not self._progress.wait(self._sock.recv, 1):
                raise ConnectionError("the peer closed the connection before it had read everything")
            self._unread -= 1


class FabricReceiver:
    def __init__(self, machine: Machine, sock: LocalSocket, ledger: Ledger, undo: ExitStack) -> None:
        self._machine = machine
        self._accelerator = machine.accelerator_of(ledger)
        self._sock = sock
        fd = machine.progress.wait(sock.receive_descriptor)
        if fd is None:
            raise closed_early(1)
        self._peer = dmabuf.attach_peer(fd, self._machine.runtime.counted)
        undo.callback(self._peer.close)
        self._place = (0, 0)  # what is left of the last one

    def receive_into(self, offset: int, length: int, more: bool = False) -> None:  # noqa: ARG002
        machine = self._machine
        for place in self._places(length):
            offset += self._accelerator.unpack(machine.data, offset, self._peer, [place])

    def receive_reduce(
        self, offset: int, length: int, operand: int, operator: Operator, more: bool = False  # noqa: ARG002
    ) -> None:  # fmt: skip
        reduction = self._accelerator.reduction(self._machine.data, offset, operand, operator)
        for place in self._places(length):
            reduction.add(self._peer, [place])

    def receive_stream(self, offset: int, period: int, check: StreamCheck) -> ReceivedStream:
        machine, now = self._machine, self._machine.runtime.monotonic
        total, last_at_s = 0, now()
        while place := self._next(period - total % period):
            at = offset + total % period
            total += self._accelerator.unpack(machine.data, at, self._peer, [place])
            last_at_s = now()
            check.take(machine.data, at, place[1])
            self._used(place)
        return ReceivedStream(total, last_at_s)

    def _places(self, length: int) -> Iterator[tuple[int, int]]:
        """Where the next `length` bytes lie in the peer's memory; each place is used before the next one."""
        while length:
            place = self._next(length)
            if place is None:
                raise closed_early(length)
            yield place
            self._used(place)
            length -= place[1]

    def _next(self, at_most: int) -> tuple[int, int] | None:
        """The next bytes, at most so many; None at the end."""
        if not self._place[1]:
            record = self._machine.progress.wait(self._sock.recv, _PLACE.size)
            if not record:
                return None
            self._place = _PLACE.unpack(record)
        offset, length = self._place
        return offset, min(length, at_most)

    def _used(self, place: tuple[int, int]) -> None:
        """The sender may change these bytes when it hears that the whole place has been read."""
        offset, length = self._place
        self._place = offset + place[1], length - place[1]
        if not self._place[1]:
            self._sock.send(b"\0")


class Fabric:
    """Not a path of --path: every path has it between ranks of one host."""

    description: ClassVar[str] = "from accelerator to accelerator within a host"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def open_socket(self) -> LocalSocket:
        return self._machine.runtime.local_socket()

    def address(self, nic: NicPlace) -> str:  # noqa: ARG002  it has none
        return ""

    def prepare_nic(self, nic: NicPlace, undo: ExitStack) -> None:
        """No NIC is passed."""

    def prepare(self, ports: Mapping[NicPlace, Sequence[int]], undo: ExitStack) -> None:
        """Likewise."""

    def sender(self, sock: LocalSocket, ledger: Ledger, undo: ExitStack) -> Sender:  # noqa: ARG002
        return FabricSender(sock, self._machine.data, self._machine.progress)

    def receiver(self, sock: LocalSocket, ledger: Ledger, undo: ExitStack) -> FabricReceiver:
        return FabricReceiver(self._machine, sock, ledger, undo)

    def staged_bytes(self, sent: int, received: int) -> int:  # noqa: ARG002
        return 0

    def counters(self, stats: HostStats) -> StackCounters:  # noqa: ARG002  the endpoint carries nothing
        return StackCounters((), PacketCounters())

"""The two paths that stage payload in host memory: `bounce` over the endpoint's stack, `kernel` over Linux's.

In and out: as Transport. Owns one staging buffer a direction. Sending: the accelerator's copy engine writes
the staging buffer, the stack copies from it. Receiving: the stack copies into it, the copy engine reads it.
The application's own copies are recorded here, and those of the endpoint's stack there; Linux keeps no
ledger, so what it moves is derived in closed form: a copy between user and kernel memory and the NIC's DMA
for every payload byte. Its headers are not derived: how Linux coalesced them is not known per connection.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from abc import abstractmethod
from contextlib import closing
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from nodes import uapi
from nodes.client.host import HostStats
from nodes.client.socket import Socket
from nodes.machine import ledger as routes
from nodes.machine.ledger import Moved
from workloads.machine import STAGING_BYTES, Machine
from workloads.records import Address
from workloads.stream_check import StreamCheck
from workloads.transport import Arrived, Packets, Stream, Transport, ended

_FLOAT = np.dtype(np.float32)

# struct tcp_info (include/uapi/linux/tcp.h): tcpi_total_retrans, then tcpi_segs_out and tcpi_segs_in, which
# count wire packets; and how much of it has to be asked for.
_TOTAL_RETRANS = struct.Struct("=100xI")
_SEGS = struct.Struct("=136xII")
_TCP_INFO_BYTES = 192


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

    def _moved_out(self, count: int) -> None:
        """`count` bytes left the staging buffer for the wire."""

    def _moved_in(self, count: int) -> None:
        """`count` bytes came from the wire into the staging buffer."""

    def connect(self, next_rank: Address) -> None:
        self._sent_from = self._staging()
        self._received_to = self._staging()
        super().connect(next_rank)

    def receive_into(self, offset: int, length: int) -> None:
        while length:
            count = self._receive(min(length, STAGING_BYTES))
            if not count:
                raise ended(length)
            self._machine.accelerator.copy_to_device(self._received_to[:count], self._machine.data, offset)
            offset, length = offset + count, length - count

    def receive_reduce(self, offset: int, length: int) -> None:
        """The copy engine can only copy: payload lands in device memory first, and is reduced there."""
        accelerator, landing = self._machine.accelerator, self._machine.landing
        reduction = accelerator.reduction(self._machine.data, offset, _FLOAT, np.add)
        while length:
            count = self._receive(min(length, STAGING_BYTES))
            if not count:
                raise ended(length)
            accelerator.copy_to_device(self._received_to[:count], landing, 0)
            reduction.add(landing, [(0, count)])
            length -= count

    def receive_stream(self, offset: int, period: int, check: StreamCheck) -> Arrived:
        total, last_at_s = 0, time.monotonic()
        while count := self._receive(min(STAGING_BYTES, period - total % period)):
            at = offset + total % period
            self._machine.accelerator.copy_to_device(self._received_to[:count], self._machine.data, at)
            last_at_s = time.monotonic()
            check.take(self._machine.data, at, count)
            total += count
        return Arrived(total, last_at_s)

    def _receive(self, most: int) -> int:
        count = self._incoming.recv_into(self._received_to[:most])
        self._moved_in(count)
        return count

    def _transmit(self, offset: int, length: int) -> None:
        while length:
            chunk = self._sent_from[: min(length, STAGING_BYTES)]
            self._machine.accelerator.copy_to_host(self._machine.data, offset, chunk)
            self._outgoing.sendall(chunk)
            self._moved_out(len(chunk))
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


class Kernel(Staged[socket.socket]):
    description = "Linux's own TCP (C) with the same staging; its share of host memory is derived"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        # The sending and the receiving thread both derive CPU copies; all other counters have one writer.
        self._deriving = threading.Lock()

    def _socket(self) -> socket.socket:
        stream = self._machine.host.kernel_socket()
        stream.setsockopt(uapi.IPPROTO_TCP, uapi.TCP_CONGESTION, b"cubic")
        return stream

    def _address(self) -> str:
        address = self._machine.host.kernel_address
        if address is None:
            raise OSError("the host has no kernel address; start its endpoint with --kernel-address")
        return address

    def _staging(self) -> memoryview:
        return memoryview(bytearray(STAGING_BYTES))

    def _moved_out(self, count: int) -> None:
        self._derive(routes.NIC_HOST_TO_WIRE, count)

    def _moved_in(self, count: int) -> None:
        self._derive(routes.NIC_WIRE_TO_HOST, count)

    def _derive(self, dma: int, count: int) -> None:
        with self._deriving:
            self._machine.ledger.derive(routes.CPU_HOST_TO_HOST, count)
            self._machine.ledger.derive(dma, count)
        self._machine.host.turn(3 * count)  # the copy reads and writes, the DMA does one of the two

    def moved(self, stats: HostStats) -> tuple[Moved, ...]:  # noqa: ARG002  the endpoint carries nothing
        return ()

    def packets(self, stats: HostStats) -> Packets:  # noqa: ARG002
        """Linux counts a connection's wire packets and retransmissions; super-packets it does not tell."""
        infos = [
            end.getsockopt(uapi.IPPROTO_TCP, uapi.TCP_INFO, _TCP_INFO_BYTES)
            for end in (self._outgoing, self._incoming)
        ]
        segments = [_SEGS.unpack_from(info) for info in infos]
        return Packets(
            tx_wire_packets=sum(out for out, _ in segments),
            rx_wire_packets=sum(into for _, into in segments),
            tcp_retrans_segs=sum(_TOTAL_RETRANS.unpack_from(info)[0] for info in infos),
        )

"""The kernel path: Linux's own TCP, with the same staging as bounce.

In and out: as DataPath. Owns what it derives: Linux keeps no ledger, so what it moves through host memory
follows from closed forms and is marked so. For every payload byte a copy between user and kernel memory and
the NIC's DMA. For every packet a header of 66 bytes, written once and read once. TCP_INFO counts a
connection's packets on the wire; it does not report how Linux and the NIC coalesced them. So "as moved"
assumes that each message is sent in super-packets as full as --gso-max allows, and every bare ACK alone.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import ClassVar, NamedTuple

from nodes.client.host import HostStats
from nodes.machine import ledger as routes
from nodes.machine.ledger import ROUTES, Ledger, Moved
from nodes.uapi import socket as uapi
from workloads.experiment.records import NicPlace
from workloads.machine import STAGING_BYTES, Machine
from workloads.transports.counters import PacketCounters, StackCounters
from workloads.transports.staged import StagedReceiver, StagedSender

_IP_TCP_BYTES = 20 + 20 + 12  # with the timestamp option, which Linux's default has
_HEADER_BYTES = 14 + _IP_TCP_BYTES

# struct tcp_info (include/uapi/linux/tcp.h), and how much of it has to be asked for: tcpi_total_retrans;
# tcpi_segs_out, tcpi_segs_in, tcpi_data_segs_in and tcpi_data_segs_out, all of wire packets.
_TOTAL_RETRANS = struct.Struct("=100xI")
_SEGS = struct.Struct("=136xII8xII")
_TCP_INFO_BYTES = 192


class _Segments(NamedTuple):
    """A connection's wire packets, those with data among them, and retransmitted ones."""

    out: int
    into: int
    data_in: int
    data_out: int
    retransmitted: int


class DerivedTraffic:
    """What Linux moves through host memory for the payload of one connection in one direction. One thread
    calls `moved`; `ledger` is that thread's, `dma` the route of the NIC `nic`."""

    def __init__(self, machine: Machine, ledger: Ledger, dma: int, nic: str) -> None:
        mss = machine.config.mtu - _IP_TCP_BYTES
        self._super_payload = max(1, (machine.config.gso_max_bytes - _IP_TCP_BYTES) // mss) * mss
        self._turn = machine.turn
        self._nic = nic
        self._is_up = dma == routes.NIC_WIRE_TO_HOST
        self._ledger = ledger
        self._dma = dma
        self.super_packets = 0

    def moved(self, count: int, remaining: int) -> None:
        """Derive the copy, the DMA and the headers of `count` bytes, of the `remaining` ones of a message."""
        self._ledger.derive(routes.CPU_HOST_TO_HOST, count)
        self._ledger.derive(self._dma, count)
        full = self._super_payload
        super_packets = -(-remaining // full) + (remaining - count) // -full  # that begin with these bytes
        self.super_packets += super_packets
        headers = _HEADER_BYTES * super_packets
        crossing = (count + headers) * self._is_up, (count + headers) * (not self._is_up)
        # The copy reads and writes, the DMA does one of the two; a header is written and read.
        self._turn(3 * count + 2 * headers, *crossing, self._nic)


class Kernel:
    description: ClassVar[str] = (
        "Linux's own TCP (C) with the same staging; its share of host memory is derived"
    )

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._socks: list[socket.socket] = []
        self._sent: list[DerivedTraffic] = []
        self._received: list[DerivedTraffic] = []

    def open_socket(self) -> socket.socket:
        sock = self._machine.host.kernel_socket()
        sock.setsockopt(uapi.IPPROTO_TCP, uapi.TCP_CONGESTION, b"cubic")
        return sock

    def address(self, nic: NicPlace) -> str:
        address = nic.kernel_address or self._machine.host.kernel_address
        if address is None:
            raise OSError("the host has no kernel address; start its endpoint with --kernel-address")
        return address

    def prepare_nic(self, nic: NicPlace, undo: ExitStack) -> None:
        """Linux is as it is."""

    def prepare(self, ports: Mapping[NicPlace, Sequence[int]], undo: ExitStack) -> None:
        """Linux is as it is."""

    def sender(self, sock: socket.socket, ledger: Ledger, undo: ExitStack) -> StagedSender:  # noqa: ARG002
        traffic = DerivedTraffic(self._machine, ledger, routes.NIC_HOST_TO_WIRE, self._nic_of(sock))
        self._socks.append(sock)
        self._sent.append(traffic)
        return StagedSender(self._machine, sock, ledger, _staging(), traffic.moved)

    def receiver(self, sock: socket.socket, ledger: Ledger, undo: ExitStack) -> StagedReceiver:  # noqa: ARG002
        traffic = DerivedTraffic(self._machine, ledger, routes.NIC_WIRE_TO_HOST, self._nic_of(sock))
        self._socks.append(sock)
        self._received.append(traffic)
        return StagedReceiver(self._machine, sock, ledger, _staging(), traffic.moved)

    def _nic_of(self, sock: socket.socket) -> str:
        """The interface that a connection goes by; "" for the rank's own."""
        address = sock.getsockname()[0]
        return next((nic.interface for nic in self._machine.nics if nic.kernel_address == address), "")

    def staged_bytes(self, sent: int, received: int) -> int:
        return sent + received

    def counters(self, stats: HostStats) -> StackCounters:  # noqa: ARG002  the endpoint carries nothing
        """Headers; payload is in the senders' and the receivers' ledgers. Linux counts a connection's wire
        packets and retransmissions; it reports no super-packets."""
        counted = [_segments(sock) for sock in self._socks]
        out, into = sum(each.out for each in counted), sum(each.into for each in counted)
        acks_out = sum(each.out - each.data_out for each in counted)
        acks_in = sum(each.into - each.data_in for each in counted)
        # Short messages may share a packet: never more super-packets than packets.
        sent = min(sum(each.super_packets for each in self._sent) + acks_out, out), out
        received = min(sum(each.super_packets for each in self._received) + acks_in, into), into
        headers = tuple(
            Moved(ROUTES[route], _HEADER_BYTES * as_moved, _HEADER_BYTES * on_wire, derived=True)
            for route, (as_moved, on_wire) in (
                (routes.CPU_HEADER_WRITE, sent),
                (routes.NIC_HEADER_OUT, sent),
                (routes.NIC_HEADER_IN, received),
                (routes.CPU_HEADER_READ, received),
            )
        )
        retransmitted = sum(each.retransmitted for each in counted)
        packets = PacketCounters(tx_wire_packets=out, rx_wire_packets=into, tcp_retrans_segs=retransmitted)
        return StackCounters(headers, packets)


def _staging() -> memoryview:
    return memoryview(bytearray(STAGING_BYTES))


def _segments(sock: socket.socket) -> _Segments:
    info = sock.getsockopt(uapi.IPPROTO_TCP, uapi.TCP_INFO, _TCP_INFO_BYTES)
    return _Segments(*_SEGS.unpack_from(info), *_TOTAL_RETRANS.unpack_from(info))

"""The kernel path: Linux's own TCP, with the same staging as bounce.

In and out: as Transport. Owns nothing but what it derives: Linux keeps no ledger, so what it moves through
host memory follows from closed forms and is marked so. For every payload byte a copy between user and kernel
memory and the NIC's DMA. For every packet a header of 66 bytes, written once and read once: TCP_INFO counts a
connection's packets on the wire; how Linux and the NIC coalesced them it does not tell, so "as moved" assumes
super-packets filled as far as --gso-max lets them be, a message at a time, and every bare ACK alone.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import NamedTuple

from nodes.client.host import HostStats
from nodes.machine import ledger as routes
from nodes.machine.ledger import ROUTES, Moved
from nodes.uapi import socket as uapi
from workloads.machine import STAGING_BYTES, Machine
from workloads.transports.bounce import Staged
from workloads.transports.transport import Counted, Packets

_IP_TCP_BYTES = 20 + 20 + 12  # with the timestamp option, which Linux's default has
_HEADER_BYTES = 14 + _IP_TCP_BYTES

# struct tcp_info (include/uapi/linux/tcp.h), and how much of it has to be asked for: tcpi_total_retrans;
# tcpi_segs_out, tcpi_segs_in, tcpi_data_segs_in and tcpi_data_segs_out, all of wire packets.
_TOTAL_RETRANS = struct.Struct("=100xI")
_SEGS = struct.Struct("=136xII8xII")
_TCP_INFO_BYTES = 192


class _Segments(NamedTuple):
    """A connection's wire packets, those with data among them, and those sent again."""

    out: int
    into: int
    data_in: int
    data_out: int
    retransmitted: int


class Kernel(Staged[socket.socket]):
    description = "Linux's own TCP (C) with the same staging; its share of host memory is derived"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        config = machine.config
        mss = config.mtu - _IP_TCP_BYTES
        self._super_payload = max(1, (config.gso_max_bytes - _IP_TCP_BYTES) // mss) * mss
        self._sent_super_packets = self._received_super_packets = 0
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

    def _moved_out(self, count: int, remaining: int) -> None:
        self._sent_super_packets += self._derive(routes.NIC_HOST_TO_WIRE, count, remaining)

    def _moved_in(self, count: int, remaining: int) -> None:
        self._received_super_packets += self._derive(routes.NIC_WIRE_TO_HOST, count, remaining)

    def _derive(self, dma: int, count: int, remaining: int) -> int:
        """Record the copy and the DMA of `count` bytes; returns how many super-packets begin with them."""
        with self._deriving:
            self._machine.ledger.derive(routes.CPU_HOST_TO_HOST, count)
            self._machine.ledger.derive(dma, count)
        most = self._super_payload
        super_packets = -(-remaining // most) + (remaining - count) // -most
        # The copy reads and writes, the DMA does one of the two; a header is written and read.
        self._machine.host.turn(3 * count + 2 * _HEADER_BYTES * super_packets)
        return super_packets

    def counted(self, stats: HostStats) -> Counted:  # noqa: ARG002  the endpoint carries nothing
        """Headers; payload is in the machine's ledger. Linux counts a connection's wire packets and
        retransmissions; super-packets it does not tell."""
        ends = self._segments()
        out, into = sum(end.out for end in ends), sum(end.into for end in ends)
        acks_out = sum(end.out - end.data_out for end in ends)
        acks_in = sum(end.into - end.data_in for end in ends)
        # Short messages may share a packet: never more super-packets than packets.
        sent = min(self._sent_super_packets + acks_out, out), out
        received = min(self._received_super_packets + acks_in, into), into
        headers = tuple(
            Moved(ROUTES[route], _HEADER_BYTES * as_moved, _HEADER_BYTES * on_wire, derived=True)
            for route, (as_moved, on_wire) in (
                (routes.CPU_HEADER_WRITE, sent),
                (routes.NIC_HEADER_OUT, sent),
                (routes.NIC_HEADER_IN, received),
                (routes.CPU_HEADER_READ, received),
            )
        )
        retransmitted = sum(end.retransmitted for end in ends)
        packets = Packets(tx_wire_packets=out, rx_wire_packets=into, tcp_retrans_segs=retransmitted)
        return Counted(headers, packets)

    def _segments(self) -> list[_Segments]:
        infos = [
            end.getsockopt(uapi.IPPROTO_TCP, uapi.TCP_INFO, _TCP_INFO_BYTES)
            for end in (self._outgoing, self._incoming)
        ]
        return [_Segments(*_SEGS.unpack_from(info), *_TOTAL_RETRANS.unpack_from(info)) for info in infos]

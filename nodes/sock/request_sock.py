"""Handshakes that peers begin: a listener's SYN queue, its accept queue, and cookies when the former is full.

In: SYNs, and ACKs that no connection knows. Out: child sockets; a SYN-ACK that nothing is kept of. Owns the
cookies' secret and when they were last given out. Memory is bounded by the listener's backlog: as many
handshakes, as many connections that wait (one more), and cookies take none.
Source: tcp_conn_request, inet_csk_complete_hashdance, tcp_check_req (net/ipv4/tcp_*.c), cookie_v4_check.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from nodes.sock.devmem_socket import DevmemSocket
from nodes.tcp.connection import Connection
from nodes.tcp.segment import Segment
from nodes.tcp.state import State
from nodes.tcp.syncookie import CookieJar
from nodes.wire import tcp
from nodes.wire.ip import IpHeader

if TYPE_CHECKING:
    from nodes.sock.inet import Inet

_KIND = tcp.SYN | tcp.ACK | tcp.RST
_COOKIES_VALID_S = 120.0  # after the last one; before and after, an ACK out of the blue is not looked at


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a connection: (address, port)."""

    local: tuple[int, int]
    remote: tuple[int, int]

    @property
    def secret_input(self) -> bytes:
        """What keyed hashes of the flow are over (RFC 6528, RFC 4987)."""
        return repr((self.local, self.remote)).encode()


def ends_of(found: IpHeader, header: tcp.TcpHeader) -> Ends:
    """As the receiver of a segment sees them."""
    return Ends((found.dst, header.dst_port), (found.src, header.src_port))


class Handshakes:
    def __init__(self, inet: Inet, secret: bytes) -> None:
        self._inet = inet
        self._jar = CookieJar(secret)
        self._cookie_at = -inf

    def syn(
        self, listener: DevmemSocket, syn: Segment, ends: Ends, now: float, iss: int | None = None
    ) -> DevmemSocket | None:
        """A child of `listener` in SYN-RECEIVED; None when its queues are full: then the SYN is lost, or
        answered with a cookie. `iss` is given where a connection takes another's place: for that there is
        always room among the handshakes, as its peer is no flood (tcp_conn_request)."""
        mib = self._inet.mib
        if listener.accept_queue_full:
            mib.TcpExtListenOverflows += 1
            mib.TcpExtListenDrops += 1
            return None
        if iss is None:
            if listener.embryos >= listener.backlog:
                self._send_cookie(listener, syn, ends, now)
                return None
            iss = self._inet.initial_sequence(ends.secret_input, now)
        return self._child(listener, ends, syn, iss, now)

    def _send_cookie(self, listener: DevmemSocket, syn: Segment, ends: Ends, now: float) -> None:
        config = self._inet.tcp_config(listener.options, ends.remote[0], now)
        self._cookie_at = now
        self._inet.mib.TcpExtTCPReqQFullDoCookies += 1
        self._inet.mib.TcpExtSyncookiesSent += 1
        answer = self._jar.syn_ack(config, syn, ends.secret_input, now)
        self._inet.xmit_segment(answer, ends.remote[0], now)

    def ack(self, listener: DevmemSocket, ack: Segment, ends: Ends, now: float) -> DevmemSocket | None:
        """The child whose handshake this ACK of a cookie completes; it has seen `ack` and owns its payload.
        `listener` when that has no room: the ACK is as good as lost. None when it is no such ACK: the payload
        stays the caller's."""
        mib = self._inet.mib
        if ack.header.flags & _KIND != tcp.ACK or now - self._cookie_at > _COOKIES_VALID_S:
            return None
        found = self._jar.syn_of(ack.header, ends.secret_input, now)
        if found is None:
            mib.TcpExtSyncookiesFailed += 1
            return None
        mib.TcpExtSyncookiesRecv += 1
        if listener.accept_queue_full:
            mib.TcpExtListenOverflows += 1
            mib.TcpExtListenDrops += 1
            if ack.payload is not None:
                ack.payload.release()
            return listener
        syn, iss = found
        child = self._child(listener, ends, Segment(syn), iss, now)
        assert child.connection is not None
        child.connection.receive_segment(ack, now)
        return child

    def _child(
        self, listener: DevmemSocket, ends: Ends, syn: Segment, iss: int, now: float
    ) -> DevmemSocket:
        """A socket with the listener's options and port, its handshake begun by `syn`."""
        child = DevmemSocket(self._inet, listener.family)
        child.local, child.remote = ends.local, ends.remote
        child.options = copy.copy(listener.options)
        child.listener = listener
        child.embryo = True
        listener.embryos += 1
        config = self._inet.tcp_config(child.options, ends.remote[0], now)
        child.connection = Connection.accept(config, syn, iss, now)
        self._inet.adopt(child)
        return child

    def must_wait(self, child: DevmemSocket, ack: Segment) -> bool:
        """Whether a handshake may not be completed now, for its listener's queue is full, or wants data first
        (TCP_DEFER_ACCEPT): the ACK is as good as lost, and the SYN-ACK is sent again (tcp_v4_syn_recv_sock,
        tcp_check_req)."""
        listener, flags = child.listener, ack.header.flags
        if listener is None or flags & _KIND != tcp.ACK:
            return False
        if listener.options.defer_accept and ack.payload is None and not flags & tcp.FIN:
            assert child.connection is not None
            if child.connection.handshake_timeouts < listener.options.defer_accept:
                self._inet.mib.TcpExtTCPDeferAcceptDrop += 1
                return True
        if not listener.accept_queue_full:
            return False
        self._inet.mib.TcpExtListenOverflows += 1
        self._inet.mib.TcpExtListenDrops += 1
        return True

    def advanced(self, child: DevmemSocket) -> DevmemSocket | None:
        """The connection of an embryo saw something: if its handshake is over, out of the SYN queue with it.
        Returns the listener when there is one more to accept."""
        listener, connection = child.listener, child.connection
        if listener is None or connection is None or connection.state is State.SYN_RECEIVED:
            return None
        child.embryo = False
        listener.embryos -= 1
        if connection.state is State.CLOSED:
            child.closed = True
            return None
        listener.accept_queue.append(child)
        return listener

"""Handshakes that peers begin: a listener's SYN queue, its accept queue, and SYN cookies.

In: SYNs, and ACKs that match no connection. Out: child sockets; a SYN-ACK that leaves no state. Owns the
secret of the cookies and the time of the last one. The listener's backlog bounds the memory: as many
handshakes, and one connection more in the accept queue; cookies take none. Source: tcp_conn_request,
inet_csk_complete_hashdance, tcp_check_req (net/ipv4/tcp_*.c), cookie_v4_check.
"""

from __future__ import annotations

import copy
from math import inf

from nodes.inet.mib import IpMib
from nodes.inet.route import Route, RouteTable
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.flow import Flow
from nodes.sock.tcp_init import ConnectionInit
from nodes.tcp.connection import Connection
from nodes.tcp.segment import Segment
from nodes.tcp.state import State
from nodes.tcp.syncookie import CookieJar
from nodes.wire import tcp

_KIND = tcp.SYN | tcp.ACK | tcp.RST
_COOKIES_VALID_S = 120.0  # after the last cookie; at other times an ACK without a connection is not looked at


class RequestSocks:
    def __init__(self, init: ConnectionInit, routes: RouteTable, mib: IpMib, secret: bytes) -> None:
        self._init = init
        self._routes = routes
        self._mib = mib
        self._jar = CookieJar(secret)
        self._cookie_at = -inf

    def receive_syn(
        self, listener: DevmemSocket, syn: Segment, flow: Flow, now: float, iss: int | None = None
    ) -> DevmemSocket | Segment | None:
        """A child of `listener` in SYN-RECEIVED; when the SYN queue is full, a SYN-ACK with a cookie; None
        when the accept queue is full, and the SYN is lost. `iss` is given for a connection that takes the
        place of one in TIME-WAIT: that always finds room in the SYN queue, since its peer is no flood
        (tcp_conn_request)."""
        if listener.accept_queue_full:
            self._count_overflow()
            return None
        route = self._route(listener, flow)
        if route is None:
            return None
        if iss is None:
            if listener.syn_queue_length >= listener.backlog:
                return self._cookie(listener, syn, flow, route, now)
            iss = self._init.initial_sequence(flow, now)
        return self._child(listener, flow, route, syn, iss, now)

    def _route(self, listener: DevmemSocket, flow: Flow) -> Route | None:
        """Back to the peer (inet_csk_route_req)."""
        device = listener.options.bound_device
        return self._routes.lookup(flow.remote_address, flow.local_address, device)

    def _cookie(
        self, listener: DevmemSocket, syn: Segment, flow: Flow, route: Route, now: float
    ) -> Segment:
        config = self._init.config(listener.options, route, flow.remote_address, now)
        self._cookie_at = now
        self._mib.TcpExtTCPReqQFullDoCookies += 1
        self._mib.TcpExtSyncookiesSent += 1
        return self._jar.syn_ack(config, syn, flow.secret_input, now)

    def receive_ack(
        self, listener: DevmemSocket, ack: Segment, flow: Flow, now: float
    ) -> DevmemSocket | None:
        """The child whose handshake this ACK of a cookie completes; it has received `ack` and owns the
        payload. `listener` when its accept queue is full: the ACK was dropped. None when the ACK is none of a
        cookie: the payload stays the caller's."""
        if ack.header.flags & _KIND != tcp.ACK or now - self._cookie_at > _COOKIES_VALID_S:
            return None
        found = self._jar.syn_of(ack.header, flow.secret_input, now)
        route = self._route(listener, flow)
        if found is None or route is None:
            self._mib.TcpExtSyncookiesFailed += 1
            return None
        self._mib.TcpExtSyncookiesRecv += 1
        if listener.accept_queue_full:
            self._count_overflow()
            ack.drop()
            return listener
        syn, iss = found
        child = self._child(listener, flow, route, Segment(syn), iss, now)
        assert child.connection is not None
        child.connection.receive_segment(ack, now)
        return child

    def _child(
        self, listener: DevmemSocket, flow: Flow, route: Route, syn: Segment, iss: int, now: float
    ) -> DevmemSocket:
        """A socket with the listener's options and port, whose handshake `syn` begins."""
        child = DevmemSocket(listener.stack, listener.family)
        child.local, child.remote, child.route = flow.local, flow.remote, route
        child.options = copy.copy(listener.options)
        child.timestamping.flags = listener.timestamping.flags
        child.listener = listener
        child.in_handshake = True
        child.inet_id = self._init.initial_ident()
        listener.syn_queue_length += 1
        config = self._init.config(child.options, route, flow.remote_address, now)
        child.connection = Connection.accept(config, syn, iss, now)
        return child

    def must_wait(self, child: DevmemSocket, ack: Segment) -> bool:
        """Whether a handshake may not be completed now: the accept queue is full, or TCP_DEFER_ACCEPT waits
        for data. The ACK is then dropped, and the SYN-ACK is sent again (tcp_v4_syn_recv_sock,
        tcp_check_req)."""
        listener, flags = child.listener, ack.header.flags
        if listener is None or flags & _KIND != tcp.ACK:
            return False
        if listener.options.defer_accept and ack.payload is None and not flags & tcp.FIN:
            assert child.connection is not None
            handshake = child.connection.tcb.handshake
            assert handshake is not None  # not before this ACK is taken
            if handshake.retries < listener.options.defer_accept:
                self._mib.TcpExtTCPDeferAcceptDrop += 1
                return True
        if not listener.accept_queue_full:
            return False
        self._count_overflow()
        return True

    def _count_overflow(self) -> None:
        self._mib.TcpExtListenOverflows += 1
        self._mib.TcpExtListenDrops += 1


def complete_handshake(child: DevmemSocket) -> DevmemSocket | None:
    """The connection of a child in its handshake has changed. If the handshake is over, the child leaves the
    SYN queue. Returns the listener when there is one connection more to accept."""
    listener, connection = child.listener, child.connection
    if listener is None or connection is None or connection.state is State.SYN_RECEIVED:
        return None
    child.in_handshake = False
    listener.syn_queue_length -= 1
    if connection.state is State.CLOSED:
        child.closed = True
        return None
    listener.accept_queue.append(child)
    listener.arrivals += 1
    return listener

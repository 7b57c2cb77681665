"""From TCP segments to IP packets: what connections want to send, and replies that belong to no connection.

In: sockets whose connection may have something to send, segments, `now`. Out: packets to the IP layer. Owns
the sockets that wait for their turn to send, the sockets that changed since the caller last looked, and the
timers of connections. Source: tcp_write_xmit, __tcp_transmit_skb (net/ipv4/tcp_output.c), tcp_v4_send_reset
(net/ipv4/tcp_ipv4.c).
"""

from __future__ import annotations

import errno
from typing import Final

from nodes.inet import ip_output
from nodes.inet.inet import Inet
from nodes.inet.ip_output import IpFields
from nodes.inet.route import Route
from nodes.skb import Frags
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.flow import Flow
from nodes.sock.hashtables import Hashtables
from nodes.tcp.connection import Connection
from nodes.tcp.segment import Segment
from nodes.tcp.state import State
from nodes.timer_heap import TimerHeap
from nodes.wire import ip, tcp

SEGMENTS_PER_TURN: Final = 32
# So many super-packets, then another connection's turn: an ACK does not wait behind a window of data, nor in
# a device that has stopped meanwhile, as TCP small queues see to (tcp_small_queue_check).
_SMALL_QUEUE: Final = 4
_CLOSED: Final = State.CLOSED
_TIME_WAIT: Final = State.TIME_WAIT


class TcpXmit:
    """`changed`: sockets whose callers may go on, in order; the caller takes them away."""

    def __init__(self, inet: Inet, segments_per_turn: int = SEGMENTS_PER_TURN) -> None:
        """`segments_per_turn`: of one connection, before frames are received again."""
        self._limit = segments_per_turn
        self._round = min(segments_per_turn, _SMALL_QUEUE)
        self.changed: dict[DevmemSocket, None] = {}
        self.timers: TimerHeap[DevmemSocket] = TimerHeap()
        self._routes, self._path_mtus, self._mib = inet.routes, inet.path_mtus, inet.mib
        self._waiting: dict[DevmemSocket, None] = {}

    def touch(self, sock: DevmemSocket) -> None:
        """The connection of `sock` may have something to send, and its callers may go on."""
        self._waiting[sock] = None
        self.changed[sock] = None

    def transmit(self, tables: Hashtables, now: float) -> bool:
        """Let connections send while their devices take frames; whether any has more to send."""
        if not self._waiting:
            return False
        for _ in range(0, self._limit, self._round):
            if not self._transmit_round(tables, now):
                break
        return self.has_more

    def _transmit_round(self, tables: Hashtables, now: float) -> bool:
        """Let each connection send a little; whether any may have more to send. Those that a device had no
        room for come first in the next round: an ACK does not wait for a stream's window."""
        waiting, self._waiting = self._waiting, {}
        served: list[DevmemSocket] = []
        for sock in waiting:
            connection = sock.connection
            if connection is None:
                continue
            route = self._checked_route(sock, now)
            if route is not None and route.link.device.tx.stopped and not is_over(connection):
                self._waiting[sock] = None
                continue
            count = self._xmit_due(sock, connection, route, self._round, now)
            if sock.timestamping.waits:
                end = sock.bytes_sent - connection.unsent_bytes
                sock.timestamping.on_transmitted(end, connection, now)
                self.changed[sock] = None
            if count and sock.options.notsent_lowat:
                self.changed[sock] = None  # less is unsent now
            if count >= self._round:
                served.append(sock)
            if is_over(connection):
                self._leave(sock, connection, tables, now)
            else:
                self.timers.schedule(sock, connection.next_timeout())
        for sock in served:
            self._waiting[sock] = None
        return bool(served)

    @property
    def has_more(self) -> bool:
        """Whether a connection has more to send that its device would take."""
        return bool(self._waiting) and any(not _is_stopped(sock) for sock in self._waiting)

    def finish(self, sock: DevmemSocket, tables: Hashtables, now: float) -> None:
        """The connection of `sock` has ended: its last segments leave, and the table forgets it at once. The
        next segment of the flow then meets TIME-WAIT, a listener or a reset (tcp_done, tcp_time_wait)."""
        connection = sock.connection
        assert connection is not None
        self.flush(sock, now)
        self._leave(sock, connection, tables, now)

    def _leave(self, sock: DevmemSocket, connection: Connection, tables: Hashtables, now: float) -> None:
        if connection.state is _TIME_WAIT:
            tables.timewait.add(sock.flow, sock, connection.retire(now))
        self.forget(sock, tables)

    def flush(self, sock: DevmemSocket, now: float) -> None:
        """Send the last segments of a connection that has ended, without a turn."""
        connection = sock.connection
        if connection is not None:
            self._xmit_due(sock, connection, self._checked_route(sock, now), self._limit, now)

    def _xmit_due(
        self, sock: DevmemSocket, connection: Connection, route: Route | None, limit: int, now: float
    ) -> int:
        """Send what is due, at most `limit` segments of data; returns how many segments were due. A socket
        counts its packets in their IPv4 identification; a request socket does not, and its SYN-ACK has 0
        (ip_build_and_send_pkt)."""
        segments = connection.segments_to_send(now, limit)
        self._xmit_segments(sock, segments, route, now)
        return len(segments)

    def _xmit_segments(
        self, sock: DevmemSocket, segments: list[Segment], route: Route | None, now: float
    ) -> None:
        remote = sock.remote[0]
        for segment in segments:
            if route is None:
                self._lose(segment, remote)
                continue
            packets = xmit_segment(segment, route, remote, _ip_fields(sock), now)
            if not sock.in_handshake:
                sock.inet_id = sock.inet_id + packets & 0xFFFF

    def reply_at_once(self, sock: DevmemSocket, connection: Connection, now: float) -> None:
        """Send what received segments ask for, ahead of the rest of their batch and of the readers: with few
        packets in flight the peer waits for each ACK, and a round trip is made of such waits."""
        route = self._checked_route(sock, now)
        if route is None or not route.link.device.tx.stopped:
            self._xmit_segments(sock, connection.tcb.take_replies(), route, now)

    # --- routes

    def _checked_route(self, sock: DevmemSocket, now: float) -> Route | None:
        """The route of a connection: while the table does not change, the one that it has (sk_dst_check)."""
        route = sock.route
        if route is not None and route.generation == self._routes.generation:
            return route
        return self.reroute(sock, now)

    def route_to(self, remote: int, sock: DevmemSocket) -> Route:
        """The route of a new connection. Raises as RouteTable.resolve does."""
        try:
            return self._routes.resolve(remote, sock.local[0], sock.options.bound_device)
        except OSError as refusal:
            if refusal.errno == errno.ENETUNREACH:
                self._count_no_route(remote)
            raise

    def reroute(self, sock: DevmemSocket, now: float) -> Route | None:
        """Look the route up again. Without one, what is sent is lost, and the reason is the error of the
        connection if it times out (inet_sk_rebuild_header)."""
        remote = sock.remote[0]
        try:
            route = sock.route = self._routes.resolve(remote, sock.local[0], sock.options.bound_device)
        except OSError as refusal:
            sock.route, sock.soft_error = None, refusal.errno or 0
            return None
        assert sock.connection is not None
        mtu = self.path_mtu(route, remote, now)
        if sock.options.maxseg:
            mtu = min(mtu, route.source.header_bytes + tcp.HEADER_BYTES + sock.options.maxseg)
        sock.connection.icmp_err.on_route_changed(mtu)
        return route

    def path_mtu(self, route: Route, remote: int, now: float) -> int:
        """Bytes of the largest packet to `remote` by `route`, as far as it is known."""
        return self._path_mtus.limit(remote, route.link.device.config.mtu, now)

    def _lose(self, segment: Segment, remote: int) -> None:
        segment.drop()
        self._count_no_route(remote)

    def _count_no_route(self, remote: int) -> None:
        if ip.is_ipv6(remote):
            self._mib.Ip6OutNoRoutes += 1
        else:
            self._mib.IpOutNoRoutes += 1

    def forget(self, sock: DevmemSocket, tables: Hashtables) -> None:
        """The connection of `sock` is over."""
        self.timers.cancel(sock)
        tables.remove(sock)

    def reply(self, segment: Segment, flow: Flow, now: float) -> None:
        """Send a segment of no socket: a reset, a SYN cookie, an ACK of TIME-WAIT. It is lost without a route
        to the peer."""
        route = self._routes.lookup(flow.remote_address, flow.local_address)
        if route is not None:
            xmit_segment(segment, route, flow.remote_address, IpFields(), now)

    @property
    def fine_next(self) -> bool:
        """Whether the connection whose timer is next has one for which a millisecond is too coarse
        (Tcb.has_fine_timer)."""
        sock = self.timers.first()
        connection: Connection | None = None if sock is None else sock.connection
        return connection is not None and connection.tcb.has_fine_timer


def is_over(connection: Connection) -> bool:
    """Whether the connection has ended, or only TIME-WAIT is left of it."""
    state = connection.state
    return state is _CLOSED or state is _TIME_WAIT


def _is_stopped(sock: DevmemSocket) -> bool:
    return sock.device is not None and sock.device.tx.stopped


def _ip_fields(sock: DevmemSocket) -> IpFields:
    """What the socket's options say: the DSCP bits, at their place beside the ECN bits."""
    options = sock.options
    if ip.is_ipv6(sock.remote[0]):
        return IpFields(options.tclass, options.unicast_hops)
    return IpFields(options.tos, options.ttl, 0 if sock.in_handshake else sock.inet_id, options.dont_fragment)


def xmit_segment(segment: Segment, route: Route, remote: int, fields: IpFields, now: float) -> int:
    """Returns in how many wire packets, as `ip_output.queue_xmit` does. `fields` are the segment's alone."""
    payload = segment.payload
    assert payload is None or isinstance(payload, Frags)
    length = len(payload) if payload is not None else 0
    header = tcp.emit_partial(segment.header, route.source.address, remote, length)
    fields.tos |= segment.ecn
    return ip_output.queue_xmit(header, payload, segment.mss, route, remote, fields, now)

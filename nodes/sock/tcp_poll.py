"""poll: the events that a socket is ready for.

In: a socket. Out: a mask of POLLIN, POLLOUT, POLLERR, POLLHUP and POLLRDHUP. Owns nothing.
Source: tcp_poll (net/ipv4/tcp.c), sk_stream_is_writeable (include/net/sock.h).
"""

from __future__ import annotations

from select import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.socket_state import SocketState
from nodes.tcp.connection import Connection
from nodes.tcp.state import State

_CONNECTING = (State.SYN_SENT, State.SYN_RECEIVED)
_OVER = (State.CLOSED, State.TIME_WAIT)


def poll_events(sock: DevmemSocket) -> int:
    """The kernel's mask, with two exceptions, because a poll file cannot take POLLHUP and POLLRDHUP back. A
    socket that may connect again shows neither, though its connection failed. A socket with zero-copy sends
    that have not completed does not show POLLHUP yet."""
    if sock.listening:
        return POLLIN if sock.accept_queue else 0
    events = POLLERR if sock.pending_error or sock.errqueue.unread else 0
    connection = sock.connection
    if connection is None:
        return events | POLLOUT | (POLLIN | POLLRDHUP if sock.receive_shutdown else 0)
    if connection.state in _CONNECTING:
        return events
    over = connection.state in _OVER
    again = sock.socket_state is SocketState.CONNECTING  # until connect has told how it went
    finished = connection.fin_received or sock.receive_shutdown or (over and not again)
    if finished:
        events |= POLLIN | POLLRDHUP
    elif over or sock.recv_queue.length >= min(sock.options.rcvlowat, max(1, connection.readable_bytes)):
        events |= POLLIN
    sending = sock.sending
    if finished and not (sending or again or sock.errqueue.waiting):
        events |= POLLHUP
    return events if sending and not _writable(sock, connection) else events | POLLOUT


def is_closing(sock: DevmemSocket) -> bool:
    """Whether data or the FIN of a closed socket are not acknowledged yet (sk_stream_closing)."""
    return sock.state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


def _writable(sock: DevmemSocket, connection: Connection) -> bool:
    """Whether a third of the send buffer is free."""
    return 2 * connection.send_room >= sock.bytes_sent - connection.bytes_acked

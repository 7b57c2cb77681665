"""poll: what a socket is ready for.

In: a socket. Out: a mask of POLLIN, POLLOUT, POLLERR, POLLHUP and POLLRDHUP. Owns nothing.
Source: tcp_poll (net/ipv4/tcp.c), sk_stream_is_writeable (include/net/sock.h).
"""

from __future__ import annotations

from select import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP

from nodes.sock.devmem_socket import DevmemSocket
from nodes.tcp.connection import Connection
from nodes.tcp.state import State

_CONNECTING = (State.SYN_SENT, State.SYN_RECEIVED)
_OVER = (State.CLOSED, State.TIME_WAIT)


def poll_events(sock: DevmemSocket) -> int:
    """The kernel's mask, but for two things: a socket that may yet connect does not hang up, and none does
    while zero-copy sends have not completed. (A hang-up cannot be taken back from a poll file.)"""
    if sock.listening:
        return POLLIN if sock.accept_queue else 0
    events = POLLERR if sock.pending_error or sock.errqueue.unread else 0
    connection = sock.connection
    if connection is None:
        return events | POLLOUT
    if connection.state in _CONNECTING:
        return events
    over = connection.state in _OVER
    if over and not connection.established:  # another attempt may follow
        return events | POLLIN | POLLOUT
    finished = over or connection.fin_received or sock.receive_shutdown
    if finished:
        events |= POLLIN | POLLRDHUP
    elif sock.recv_queue.length >= sock.options.rcvlowat:
        events |= POLLIN
    sending = sock.sending
    if finished and not sending and not sock.errqueue.waiting:
        events |= POLLHUP
    return events if sending and not _writable(sock, connection) else events | POLLOUT


def _writable(sock: DevmemSocket, connection: Connection) -> bool:
    """Whether a third of the send buffer is free."""
    return 2 * connection.send_room >= sock.bytes_sent - connection.bytes_acked

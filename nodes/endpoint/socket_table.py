"""What `ss` and `nstat` ask for: the sockets of a host, page by page, and its counters.

In: the stack. Out: records of the channel. Owns nothing. Source: net/ipv4/inet_diag.c, net/ipv4/proc.c.
"""

from __future__ import annotations

import socket
from dataclasses import asdict

from nodes.channel import SocketRow, Sockets
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.inet import Inet
from nodes.tcp.state import State
from nodes.wire import ip

PAGE = 64  # rows in one record
_STATES = {
    State.ESTABLISHED: "ESTAB",
    State.SYN_SENT: "SYN-SENT",
    State.SYN_RECEIVED: "SYN-RECV",
    State.FIN_WAIT_1: "FIN-WAIT-1",
    State.FIN_WAIT_2: "FIN-WAIT-2",
    State.TIME_WAIT: "TIME-WAIT",
    State.CLOSED: "UNCONN",
    State.CLOSE_WAIT: "CLOSE-WAIT",
    State.LAST_ACK: "LAST-ACK",
    State.CLOSING: "CLOSING",
}


def snmp(inet: Inet) -> dict[str, int]:
    """Every counter under the kernel's name."""
    return asdict(inet.mib) | asdict(inet.tcp.mib)


def sockets(inet: Inet, first: int) -> Sockets:
    """Rows from the `first`-th on; a table that changes between two pages may miss or repeat one."""
    table = inet.sockets()
    page = table[first : first + PAGE]
    return Sockets(tuple(_row(sock) for sock in page), first + len(page) < len(table))


def _row(sock: DevmemSocket) -> SocketRow:
    text = ip.mapped_text if sock.family == socket.AF_INET6 and not sock.local[0] else ip.address_text
    local, remote = (text(sock.local[0]), sock.local[1]), (ip.address_text(sock.remote[0]), sock.remote[1])
    connection = sock.connection
    if connection is None:
        wild = ("::" if sock.family == socket.AF_INET6 else "0.0.0.0", 0)
        return SocketRow("LISTEN", len(sock.accept_queue), sock.backlog, local, wild, {})
    unacked = sock.bytes_sent - connection.bytes_acked
    info = asdict(connection.info())
    return SocketRow(_STATES[connection.state], sock.recv_queue.length, unacked, local, remote, info)

"""What `ss` and `nstat` ask for: the sockets of a host, page by page, and its counters.

In: the stack. Out: records of the channel. Owns nothing. Source: net/ipv4/inet_diag.c, net/ipv4/proc.c.
"""

from __future__ import annotations

import socket
from dataclasses import asdict

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.flow import Flow
from nodes.sock.tcp_stack import TcpStack
from nodes.tcp.state import State
from nodes.uapi.socket_row import SocketRow
from nodes.uapi.syscalls import Sockets
from nodes.wire import ip

PAGE = 64  # rows in one record
_STATES = {
    State.ESTABLISHED: "ESTAB",
    State.SYN_SENT: "SYN-SENT",
    State.SYN_RECEIVED: "SYN-RECV",
    State.FIN_WAIT_1: "FIN-WAIT-1",
    State.FIN_WAIT_2: "FIN-WAIT-2",
    State.TIME_WAIT: "TIME-WAIT",  # until its last ACK has left
    State.CLOSED: "UNCONN",
    State.CLOSE_WAIT: "CLOSE-WAIT",
    State.LAST_ACK: "LAST-ACK",
    State.CLOSING: "CLOSING",
}


def snmp(stack: TcpStack) -> dict[str, int]:
    """Every counter under the kernel's name."""
    return asdict(stack.inet.mib) | asdict(stack.tcp.mib)


def sockets(stack: TcpStack, first: int) -> Sockets:
    """Rows from number `first` on. A table that changes between two pages may miss or repeat a row."""
    table: list[DevmemSocket | Flow] = [*stack.sockets(), *stack.timewait]
    page = table[first : first + PAGE]
    rows = (_row(each) if isinstance(each, DevmemSocket) else _timewait_row(each) for each in page)
    return Sockets(tuple(rows), first + len(page) < len(table))


def _timewait_row(flow: Flow) -> SocketRow:
    local = ip.address_text(flow.local_address), flow.local_port
    remote = ip.address_text(flow.remote_address), flow.remote_port
    return SocketRow("TIME-WAIT", 0, 0, local, remote, {})


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

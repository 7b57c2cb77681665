"""The tables of a host's TCP sockets: by flow, by port, and what TIME-WAIT keeps.

In: sockets that connect, listen and end. Out: the socket of a flow. Owns the tables.
Source: struct inet_hashinfo tcp_hashinfo (include/net/inet_hashtables.h).
"""

from __future__ import annotations

from collections.abc import Collection

from nodes.nic.header_split import flow_of
from nodes.nic.net_device import NetDevice
from nodes.nic.rx_queue import RxQueue
from nodes.sock.bind_table import BindTable
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.timewait import TimewaitTable


class Hashtables:
    """`established` has every socket with a connection, by the key of its flow; `ports` has those that hold a
    port."""

    def __init__(self, ports: BindTable[DevmemSocket], timewait: TimewaitTable) -> None:
        self.established: dict[bytes, DevmemSocket] = {}
        self.orphans: set[DevmemSocket] = set()  # closed, and their connections live on
        self.ports = ports
        self.timewait = timewait

    def adopt(self, child: DevmemSocket) -> None:
        """A listener's new child: it holds the listener's port too, and segments of its flow find it."""
        self.ports.inherit(child, child.remote[0])
        self.established[child.flow.key] = child

    def remove(self, sock: DevmemSocket) -> None:
        """The connection of `sock` is over. A socket that is still open keeps a port that bind asked for."""
        key = sock.flow.key
        self.orphans.discard(sock)
        if self.established.get(key) is sock:
            del self.established[key]
        if sock.closed or not sock.bound[1]:
            self.ports.release(sock)

    def fed_by(self, device: NetDevice, queues: Collection[RxQueue]) -> list[DevmemSocket]:
        """The sockets with a connection whose packets `device` puts into one of `queues`."""
        return [
            sock
            for sock in self.established.values()
            if sock.device is device and device.queue_of(flow_of(sock.remote, sock.local)) in queues
        ]

    def children_of(self, listener: DevmemSocket) -> list[DevmemSocket]:
        """The children that were not accepted, in their handshake or after it."""
        return [child for child in self.established.values() if child.listener is listener]

    def sockets(self) -> list[DevmemSocket]:
        """Every socket with a connection or a backlog."""
        return [*self.established.values(), *self.ports.listeners()]

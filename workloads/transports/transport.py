"""Carries payload between a rank's device memory and that of its peers, over one data path.

In: bytes of the data dma-buf to send to a peer, bytes to fill or reduce from a peer. Out: nothing but the
effect. Owns the rank's TCP connections: one to each peer that it sends to, one from each peer that sends to
it. A rank listens at a port for each sending peer, so the port tells who connects. The first byte of a
connection is no payload: a handshake whose last ACK was lost is completed by it, and by nothing else.
Every blocking call ends with TimeoutError when nothing has moved for the configuration's `timeout_s`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from typing import Generic, NamedTuple

from nodes.client.host import HostStats
from nodes.machine.ledger import Ledger
from nodes.uapi import socket as uapi
from workloads.experiment.records import Address
from workloads.machine import Machine
from workloads.stream_check import StreamCheck
from workloads.transports.counters import StackCounters
from workloads.transports.data_path import NO_ROUTE_S, DataPath, ReceivedStream, Receiver, S
from workloads.transports.peer_sender import GREETING_BYTES, PeerSender
from workloads.transports.send_queue import SendQueue


class Ticket(NamedTuple):
    """The `number`-th send to `peer`, from 1 on. Sends to one peer complete in order."""

    peer: int
    number: int


class Transport(Generic[S]):
    """Life: listen, connect, use, close. Peers are named by rank."""

    def __init__(self, machine: Machine, path: DataPath[S]) -> None:
        self._machine = machine
        self._path = path
        self._timeout_s = machine.config.timeout_s
        self._undo = ExitStack()
        self._listeners: dict[int, S] = {}
        self._outgoing: dict[int, S] = {}
        self._incoming: dict[int, S] = {}
        self._senders: dict[int, PeerSender] = {}
        self._receivers: dict[int, Receiver] = {}

    def listen(self, peers: Iterable[int]) -> dict[int, Address]:
        """Open a port for each peer that is going to send; returns where each has to connect."""
        host, addresses = self._path.address(), {}
        for peer in peers:
            listener = self._opened(self._path.open_socket())
            listener.bind((host, 0))
            listener.listen(1)
            self._listeners[peer] = listener
            addresses[peer] = Address(host, listener.getsockname()[1])
        self._path.prepare([address.port for address in addresses.values()], self._undo)
        return addresses

    def connect(self, addresses: Mapping[int, Address]) -> None:
        """Connect to each peer that this rank sends to, where that peer listens for this rank; then take
        the connection of each peer that sends. Returns when all are connected."""
        for peer, address in addresses.items():
            self._connect(peer, address)
            self._senders[peer].greet()
        for peer, listener in self._listeners.items():
            sock = self._opened(self._machine.progress.wait(listener.accept)[0])
            sock.setsockopt(uapi.IPPROTO_TCP, uapi.TCP_NODELAY, 1)
            self._incoming[peer] = sock
            self._receivers[peer] = self._path.receiver(sock, self._undo)
            self._receivers[peer].receive_into(0, GREETING_BYTES)

    def send(self, peer: int, offset: int, length: int) -> Ticket:
        """Begin to send `length` bytes from byte `offset` on; returns a ticket for `wait_reusable`."""
        return Ticket(peer, self._senders[peer].send(offset, length))

    def send_stream(self, peer: int, message_bytes: int, duration_s: float) -> Ticket:
        """Begin to send the first `message_bytes` again and again for `duration_s` (0: not at all), then
        end the stream."""
        return Ticket(peer, self._senders[peer].send_stream(message_bytes, duration_s))

    def stream_sent_bytes(self, peer: int) -> int:
        """Payload of streams to that peer so far."""
        return self._senders[peer].stream_bytes

    def wait_reusable(self, ticket: Ticket) -> None:
        """Until the memory of that send, and of all before it to the same peer, may be changed."""
        self._senders[ticket.peer].wait_reusable(ticket.number)

    def receive_into(self, peer: int, offset: int, length: int) -> None:
        """Put the next `length` bytes from `peer` into the data dma-buf at byte `offset`."""
        self._receivers[peer].receive_into(offset, length)

    def receive_reduce(self, peer: int, offset: int, length: int) -> None:
        """Add the next `length` bytes from `peer`, as float32, to the data dma-buf at byte `offset`."""
        self._receivers[peer].receive_reduce(offset, length)

    def receive_stream(self, peer: int, offset: int, period: int, check: StreamCheck) -> ReceivedStream:
        """Take everything from `peer` until it ends the stream; see Receiver.receive_stream."""
        return self._receivers[peer].receive_stream(offset, period, check)

    def confirm_stream(self, peer: int) -> None:
        """After the end of the stream from `peer`: until `peer`, too, has taken all that was sent to it."""
        self._incoming[peer].shutdown(socket.SHUT_WR)
        if self._machine.progress.wait(self._outgoing[peer].recv, 1):
            raise ConnectionError(f"rank {peer} sent payload on a connection that carries it the other way")

    def staged_bytes(self, sent: int, received: int) -> int:
        """How many of so many payload bytes cross host memory on this path."""
        return self._path.staged_bytes(sent, received)

    def counters(self, stats: HostStats) -> StackCounters:
        """What the path's stack has moved and counted so far, and what the sending threads have moved;
        `stats` are the endpoint's now."""
        stack = self._path.counters(stats)
        sending = (moved for sender in self._senders.values() for moved in sender.ledger.snapshot())
        return StackCounters((*stack.moved, *sending), stack.packets)

    def close(self) -> None:
        self._undo.close()

    def _connect(self, peer: int, address: Address) -> None:
        machine, ledger = self._machine, Ledger()
        queue = SendQueue(machine.runtime, f"send-{machine.place.host}-{peer}")
        self._undo.callback(queue.close)  # after the socket below is closed, which ends a blocked send
        sock = machine.progress.wait(self._connected, (address.host, address.port))
        sock.setsockopt(uapi.IPPROTO_TCP, uapi.TCP_NODELAY, 1)
        self._outgoing[peer] = sock
        sender = self._path.sender(sock, ledger, self._undo)
        self._senders[peer] = PeerSender(machine, queue, sock, sender, ledger)

    def _connected(self, address: tuple[str, int]) -> S:
        """A socket of its own for each attempt: TCP gives up a SYN that is lost seven times, and an address
        of which no neighbour answers three requests (EHOSTUNREACH); while a link is down there is no route
        (ENETUNREACH). TimeoutError in all cases."""
        sock = self._opened(self._path.open_socket())
        try:
            sock.connect(address)
        except OSError as e:
            if e.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
                self._machine.runtime.sleep(NO_ROUTE_S)
                raise TimeoutError(str(e)) from None
            raise
        return sock

    def _opened(self, sock: S) -> S:
        self._undo.enter_context(closing(sock))
        sock.settimeout(self._timeout_s)
        return sock

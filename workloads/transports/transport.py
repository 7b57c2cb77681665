"""Carries payload between a rank's device memory and that of its peers, over one data path.

In: bytes of the data dma-buf to send to a peer, bytes to fill or reduce from a peer. Out: nothing but the
effect. Owns the rank's TCP connections: one to each peer that it sends to, one from each peer that sends to
it, or several (flows). A rank listens at a port for each of them, so the port tells who connects. The first
byte of a connection is no payload: a handshake whose last ACK was lost is completed by it, and by nothing
else.
Every blocking call ends with TimeoutError when nothing has moved for the configuration's `timeout_s`.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Generic, NamedTuple

from nodes.client.host import HostStats
from nodes.machine.accelerator import Operator
from nodes.machine.ledger import Ledger
from nodes.uapi import socket as uapi
from workloads.experiment.records import Address
from workloads.machine import Machine
from workloads.stream_check import StreamCheck
from workloads.transports.counters import StackCounters
from workloads.transports.data_path import DataPath, ReceivedStream, Receiver, S
from workloads.transports.peer_sender import GREETING_BYTES, PeerSender
from workloads.transports.send_queue import SendQueue


class Flow(NamedTuple):
    """The `number`-th connection between this rank and `peer`, in one direction, from 0 on."""

    peer: int
    number: int


class Ticket(NamedTuple):
    """The `number`-th send of a flow, from 1 on. Sends of one flow complete in order."""

    flow: Flow
    number: int


class Transport(Generic[S]):
    """Life: listen, connect, use, close. Peers are named by rank.

    What is sent to a peer takes the `flows` connections to it in turns, and so does what is received: a
    message is taken with the length that it was sent with.
    """

    def __init__(self, machine: Machine, path: DataPath[S], flows: int = 1) -> None:
        self._machine = machine
        self._path = path
        self._flows = flows
        self._timeout_s = machine.config.timeout_s
        self._undo = ExitStack()
        self._listeners: dict[Flow, S] = {}
        self._outgoing: dict[Flow, S] = {}
        self._incoming: dict[Flow, S] = {}
        self._senders: dict[Flow, PeerSender] = {}
        self._receivers: dict[Flow, Receiver] = {}
        self._sends: Counter[int] = Counter()  # so far, by peer
        self._receives: Counter[int] = Counter()

    def listen(self, peers: Iterable[int]) -> dict[int, tuple[Address, ...]]:
        """Open the ports for each peer that is going to send; returns where each has to connect."""
        host, addresses = self._path.address(), {}
        for peer in peers:
            ports = [self._listen(Flow(peer, number), host) for number in range(self._flows)]
            addresses[peer] = tuple(Address(host, port) for port in ports)
        every = [address.port for listening in addresses.values() for address in listening]
        self._path.prepare(every, self._undo)
        return addresses

    def connect(self, addresses: Mapping[int, Sequence[Address]]) -> None:
        """Connect to each peer that this rank sends to, where that peer listens for this rank; then take
        the connections of each peer that sends. Returns when all are connected."""
        for peer, listening in addresses.items():
            for number, address in enumerate(listening):
                self._connect(Flow(peer, number), address)
                self._senders[Flow(peer, number)].greet()
        for flow, listener in self._listeners.items():
            sock = self._opened(self._machine.progress.wait(listener.accept)[0])
            sock.setsockopt(uapi.IPPROTO_TCP, uapi.TCP_NODELAY, 1)
            self._incoming[flow] = sock
            self._receivers[flow] = self._path.receiver(sock, self._undo)
            self._receivers[flow].receive_into(0, GREETING_BYTES)

    def send(self, peer: int, offset: int, length: int) -> Ticket:
        """Begin to send `length` bytes from byte `offset` on; returns a ticket for `wait_reusable`."""
        flow = self._next(peer, self._sends)
        return Ticket(flow, self._senders[flow].send(offset, length))

    def send_stream(self, peer: int, message_bytes: int, duration_s: float) -> Ticket:
        """Begin to send the first `message_bytes` again and again for `duration_s` (0: not at all), then
        end the stream, which is that of the first flow."""
        flow = Flow(peer, 0)
        return Ticket(flow, self._senders[flow].send_stream(message_bytes, duration_s))

    def stream_sent_bytes(self, peer: int) -> int:
        """Payload of streams to that peer so far."""
        return self._senders[Flow(peer, 0)].stream_bytes

    def wait_reusable(self, ticket: Ticket) -> None:
        """Until the memory of that send, and of all before it in the same flow, may be changed."""
        self._senders[ticket.flow].wait_reusable(ticket.number)

    def receive_into(self, peer: int, offset: int, length: int) -> None:
        """Put the next `length` bytes from `peer` into the data dma-buf at byte `offset`."""
        self._receivers[self._next(peer, self._receives)].receive_into(offset, length)

    def receive_reduce(self, peer: int, offset: int, length: int, operand: int, operator: Operator) -> None:
        """Reduce the next `length` bytes from `peer` with those of the data dma-buf at byte `operand`, into
        those at byte `offset`: the same ones, or others apart from them."""
        receiver = self._receivers[self._next(peer, self._receives)]
        receiver.receive_reduce(offset, length, operand, operator)

    def receive_stream(self, peer: int, offset: int, period: int, check: StreamCheck) -> ReceivedStream:
        """Take everything from `peer` until it ends the stream; see Receiver.receive_stream."""
        return self._receivers[Flow(peer, 0)].receive_stream(offset, period, check)

    def confirm_stream(self, peer: int) -> None:
        """After the end of the stream from `peer`: until `peer`, too, has taken all that was sent to it."""
        self._incoming[Flow(peer, 0)].shutdown(socket.SHUT_WR)
        if self._machine.progress.wait(self._outgoing[Flow(peer, 0)].recv, 1):
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

    def _next(self, peer: int, so_far: Counter[int]) -> Flow:
        flow = Flow(peer, so_far[peer] % self._flows)
        so_far[peer] += 1
        return flow

    def _listen(self, flow: Flow, host: str) -> int:
        listener = self._opened(self._path.open_socket())
        listener.bind((host, 0))
        listener.listen(1)
        self._listeners[flow] = listener
        port: int = listener.getsockname()[1]
        return port

    def _connect(self, flow: Flow, address: Address) -> None:
        machine, ledger = self._machine, Ledger()
        queue = SendQueue(machine.runtime, f"send-{machine.place.host}-{flow.peer}-{flow.number}")
        self._undo.callback(queue.close)  # after the socket below is closed, which ends a blocked send
        sock = machine.progress.wait(self._connected, (address.host, address.port))
        sock.setsockopt(uapi.IPPROTO_TCP, uapi.TCP_NODELAY, 1)
        self._outgoing[flow] = sock
        sender = self._path.sender(sock, ledger, self._undo)
        self._senders[flow] = PeerSender(machine, queue, sock, sender, ledger)

    def _connected(self, address: tuple[str, int]) -> S:
        """A socket of its own for each attempt: TCP gives up a SYN that is lost seven times, and an address
        of which no neighbour answers three requests (EHOSTUNREACH). TimeoutError in both cases."""
        sock = self._opened(self._path.open_socket())
        try:
            sock.connect(address)
        except OSError as e:
            if e.errno == errno.EHOSTUNREACH:
                raise TimeoutError(str(e)) from None
            raise
        return sock

    def _opened(self, sock: S) -> S:
        self._undo.enter_context(closing(sock))
        sock.settimeout(self._timeout_s)
        return sock

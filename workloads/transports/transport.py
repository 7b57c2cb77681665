"""Carries payload between a rank's device memory and that of its peers, over one data path.

In: bytes of the data dma-buf to send to a peer, bytes to fill or reduce from a peer. Out: nothing but the
effect. A peer on the same host is reached over the accelerators' fabric, whatever the path. Owns the rank's
TCP connections: one to each peer that it sends to, one from each peer that sends to it, or several (flows),
by the NICs that workloads.transports.rails chooses. A rank listens at a port for each of them, so the port
tells who connects. The first byte of a connection is no payload: a handshake whose last ACK was lost is
completed by it, and by nothing else.
Every blocking call ends with TimeoutError when nothing has moved for the configuration's `timeout_s`.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, Generic, NamedTuple

from nodes.client.host import HostStats
from nodes.machine.accelerator import Operator
from nodes.machine.ledger import Ledger
from nodes.machine.routes import add_moved
from nodes.uapi import socket as uapi
from workloads.experiment.records import Address, NicPlace
from workloads.machine import Machine
from workloads.stream_check import StreamCheck
from workloads.transports.counters import StackCounters
from workloads.transports.data_path import NO_ROUTE_S, DataPath, ReceivedStream, Receiver, S
from workloads.transports.fabric import Fabric
from workloads.transports.peer_sender import GREETING_BYTES, PeerSender
from workloads.transports.rails import Flow, Rails
from workloads.transports.send_queue import SendQueue


class Ticket(NamedTuple):
    """The `number`-th send of a flow, from 1 on. Sends of one flow complete in order."""

    flow: Flow
    number: int


class PayloadMoved(NamedTuple):
    """Bytes sent and received. `staged`: those that had to cross host memory, by what the path is and not by
    what was counted, of which `staged_received` were received; `local`: those that went over the fabric to
    and from ranks of the host; `far`: those that crossed no host memory between the accelerator and a NIC on
    another PCIe switch."""

    staged: int
    local: int
    staged_received: int
    far: int


class Transport(Generic[S]):
    """Life: listen, connect, use, close. Peers are named by rank.

    What is sent to a peer on a channel takes the channel's `flows` connections to it in turns, and so does
    what is received: a message is taken with the length that it was sent with. One thread at a time uses a
    channel to a peer; several channels may be used at once.
    """

    def __init__(self, machine: Machine, path: DataPath[S], flows: int = 1, channels: int = 1) -> None:
        self._machine = machine
        self._path = path
        self._flows = flows
        self._connections = flows * channels  # to each peer
        self._fabric = Fabric(machine)
        self._rails = Rails(machine.place, machine.nics, flows)
        self._sent, self._received = Counter[Flow](), Counter[Flow]()  # payload
        self._sends, self._receives = Counter[tuple[int, int]](), Counter[tuple[int, int]]()  # by channel
        self._timeout_s = machine.config.timeout_s
        self._undo = ExitStack()
        self._listeners: dict[Flow, Any] = {}
        self._outgoing: dict[Flow, Any] = {}
        self._incoming: dict[Flow, Any] = {}
        self._senders: dict[Flow, PeerSender] = {}
        self._receivers: dict[Flow, Receiver] = {}
        self._ledgers: list[Ledger] = []  # of the receivers

    def listen(self, peers: Iterable[int]) -> dict[int, tuple[Address, ...]]:
        """Open the ports for each peer that is going to send; returns where each has to connect."""
        addresses = {
            peer: tuple(self._listen(Flow(peer, number)) for number in range(self._connections))
            for peer in peers
        }
        ports: dict[NicPlace, list[int]] = {}
        for (peer, number), nic in self._rails.receive_by.items():
            if not self._is_local(peer):
                ports.setdefault(nic, []).append(addresses[peer][number].port)
        self._path.prepare(ports, self._undo)
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
            self._ledgers.append(ledger := Ledger())
            self._receivers[flow] = self._path_to(flow.peer).receiver(sock, ledger, self._undo)
            self._receivers[flow].receive_into(0, GREETING_BYTES)

    def send(
        self, peer: int, offset: int, length: int, channel: int = 0, then_from: int | None = None
    ) -> Ticket:
        """Begin to send `length` bytes from byte `offset` on; returns a ticket for the methods that wait.
        `then_from`: the next method that is called is a receive from that peer (of channel 0), with which the
        send may begin."""
        flow = _next(self._flows, peer, channel, self._sends)
        self._sent[flow] += length
        before = None
        if then_from is not None:
            before = self._receivers[Flow(then_from, self._receives[then_from, 0] % self._flows)]
        return Ticket(flow, self._senders[flow].send(offset, length, before))

    def send_stream(self, peer: int, message_bytes: int, duration_s: float) -> Ticket:
        """Begin to send the first `message_bytes` again and again for `duration_s` (0: not at all), then
        end the stream, which is that of the first flow."""
        flow = Flow(peer, 0)
        return Ticket(flow, self._senders[flow].send_stream(message_bytes, duration_s))

    def stream_sent_bytes(self, peer: int) -> int:
        """Payload of streams to that peer so far."""
        return self._senders[Flow(peer, 0)].stream_bytes

    def wait_accepted(self, ticket: Ticket) -> None:
        """Until the stack has accepted that send, and all before it in the same flow."""
        self._senders[ticket.flow].wait_accepted(ticket.number)

    def is_reusable(self, ticket: Ticket) -> bool:
        """Whether `wait_reusable` is known to have nothing to wait for."""
        return self._senders[ticket.flow].is_reusable(ticket.number)

    def wait_reusable(self, ticket: Ticket) -> None:
        """Until the memory of that send, and of all before it in the same flow, may be changed."""
        self._senders[ticket.flow].wait_reusable(ticket.number)

    def receive_into(self, peer: int, offset: int, length: int, channel: int = 0, more: bool = False) -> None:
        """Put the next `length` bytes from `peer` into the data dma-buf at byte `offset`. `more`: the next
        receive is from that peer, too, and nothing is waited for before it."""
        flow = _next(self._flows, peer, channel, self._receives)
        self._received[flow] += length
        self._receivers[flow].receive_into(offset, length, more and self._flows == 1)

    def receive_reduce(
        self, peer: int, offset: int, length: int, operand: int, operator: Operator, more: bool = False
    ) -> None:
        """Reduce the next `length` bytes from `peer` with those of the data dma-buf at byte `operand`, into
        those at byte `offset`: the same ones, or others apart from them. `more`: as for receive_into."""
        flow = _next(self._flows, peer, 0, self._receives)
        self._received[flow] += length
        self._receivers[flow].receive_reduce(offset, length, operand, operator, more and self._flows == 1)

    def receive_stream(self, peer: int, offset: int, period: int, check: StreamCheck) -> ReceivedStream:
        """Take everything from `peer` until it ends the stream; see Receiver.receive_stream."""
        flow = Flow(peer, 0)
        stream = self._receivers[flow].receive_stream(offset, period, check)
        self._received[flow] += stream.bytes
        return stream

    def confirm_stream(self, peer: int) -> None:
        """After the end of the stream from `peer`: until `peer`, too, has taken all that was sent to it."""
        self._incoming[Flow(peer, 0)].shutdown(socket.SHUT_WR)
        if self._machine.progress.wait(self._outgoing[Flow(peer, 0)].recv, 1):
            raise ConnectionError(f"rank {peer} sent payload on a connection that carries it the other way")

    def moved(self) -> PayloadMoved:
        """Payload so far."""
        streams = Counter({flow: sender.stream_bytes for flow, sender in self._senders.items()})
        sent, received = self._sent + streams, self._received
        local = [
            sum(count for flow, count in moved.items() if self._is_local(flow.peer))
            for moved in (sent, received)
        ]
        remote = sent.total() - local[0], received.total() - local[1]
        staged, staged_sent = self._path.staged_bytes(*remote), self._path.staged_bytes(remote[0], 0)
        beyond = self._rails.far_bytes(sent, received)
        far = sum(beyond) - self._path.staged_bytes(*beyond)
        return PayloadMoved(staged, sum(local), staged - staged_sent, far)

    def counters(self, stats: HostStats) -> StackCounters:
        """What the path's stack has moved and counted so far, and what senders and receivers have moved;
        `stats` are the endpoint's now."""
        stack = self._path.counters(stats)
        ledgers = [*(sender.ledger for sender in self._senders.values()), *self._ledgers]
        moved = (each for ledger in ledgers for each in ledger.snapshot())
        return StackCounters((*stack.moved, *moved), stack.packets, stack.held_tokens)

    def sent_by(self) -> list[tuple[Flow, Any]]:
        """The connections by which this rank sends over the network, each as its socket."""
        return [(flow, sock) for flow, sock in self._outgoing.items() if not self._is_local(flow.peer)]

    def add_to(self, counts: list[int], stats: HostStats) -> int:
        """What `counters` says was moved, as Ledger.add_to has it, and as quick."""
        ledgers = (*(sender.ledger for sender in self._senders.values()), *self._ledgers)
        derived = add_moved(self._path.counters(stats).moved, counts)
        return derived + sum(ledger.add_to(counts) for ledger in ledgers)

    def close(self) -> None:
        self._undo.close()

    def _listen(self, flow: Flow) -> Address:
        nic = self._rails.listening(flow)
        listener = self._socket_at(nic, self._path_to(flow.peer))
        listener.listen(1)
        self._listeners[flow] = listener
        host, port, *_ = listener.getsockname()
        return Address(host, port, nic.network, nic.rail)

    def _connect(self, flow: Flow, address: Address) -> None:
        machine, path, ledger = self._machine, self._path_to(flow.peer), Ledger()
        queue = SendQueue(machine.runtime, f"send-{machine.place.host}-{flow.peer}-{flow.number}")
        self._undo.callback(queue.close)  # after the socket below is closed, which ends a blocked send
        nic = self._rails.towards(flow, address)
        sock = machine.progress.wait(self._connected, path, nic, address)
        sock.setsockopt(uapi.IPPROTO_TCP, uapi.TCP_NODELAY, 1)
        self._outgoing[flow] = sock
        sender = path.sender(sock, ledger, self._undo)
        self._senders[flow] = PeerSender(machine, queue, sock, sender, ledger)

    def _path_to(self, peer: int) -> DataPath[Any]:
        return self._fabric if self._is_local(peer) else self._path

    def _is_local(self, peer: int) -> bool:
        return self._machine.place.is_local(peer)

    def _connected(self, path: DataPath[Any], nic: NicPlace, address: Address) -> Any:
        """By that NIC. A socket of its own for each attempt: TCP gives up a SYN that
        is lost seven times, and an address of which no neighbour answers three requests (EHOSTUNREACH); while
        a link is down there is no route (ENETUNREACH). TimeoutError in all cases."""
        sock = self._socket_at(nic, path)
        try:
            sock.connect((address.host, address.port))
        except OSError as e:
            if e.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
                self._machine.runtime.sleep(NO_ROUTE_S)
                raise TimeoutError(str(e)) from None
            raise
        return sock

    def _socket_at(self, nic: NicPlace, path: DataPath[Any]) -> Any:
        """A socket of that NIC: with several, its address alone would not keep packets from another one."""
        sock = self._opened(path.open_socket())
        if len(self._machine.place.nics) > 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.interface.encode())
        sock.bind((path.address(nic), 0))
        return sock

    def _opened(self, sock: Any) -> Any:
        self._undo.enter_context(closing(sock))
        sock.settimeout(self._timeout_s)
        return sock


def _next(flows: int, peer: int, channel: int, so_far: Counter[tuple[int, int]]) -> Flow:
    """Of the channel's `flows` connections the one whose turn it is; `so_far` counts it."""
    turn = so_far[peer, channel]
    so_far[peer, channel] += 1
    return Flow(peer, channel * flows + turn % flows)

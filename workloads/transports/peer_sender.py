"""Everything that a rank sends to one peer, in the order asked for.

In: places in the data dma-buf. Out: tickets. Each connection has a sending thread of its own, so that a rank
sends to several peers, and receives, at the same time. Owns nothing; the transport closes queue and socket.
"""

from __future__ import annotations

import socket

from nodes.machine.ledger import Ledger
from workloads.machine import Machine
from workloads.transports.data_path import Receiver, Sender, TcpSocket
from workloads.transports.send_queue import SendQueue

GREETING_BYTES = 1


class PeerSender:
    """`ledger` is what the sending thread alone writes, and what `sender` was given. `stream_bytes`: payload
    of streams sent so far."""

    def __init__(
        self, machine: Machine, queue: SendQueue, sock: TcpSocket, sender: Sender, ledger: Ledger
    ) -> None:
        self._runtime = machine.runtime
        self._progress = machine.progress
        self._queue = queue
        self._sock = sock
        self._sender = sender
        self.ledger = ledger
        self.stream_bytes = 0

    def greet(self) -> None:
        """Send the connection's first byte, and wait until the stack has accepted it. It has no ticket."""
        self._sender.transmit(0, GREETING_BYTES)

    def send(self, offset: int, length: int, before: Receiver | None = None) -> int:
        """Begin to send `length` bytes from byte `offset` on; returns the ticket. What the stack takes at
        once needs no other thread, and so no switch to it and back. `before`: is asked for bytes next, by the
        calling thread; where one call can do both, the send begins with that."""
        if not self._queue.idle:
            return self._send_rest(offset, length, 0)
        if before is not None:
            ticket = self._queue.next_ticket
            if self._sender.link(offset, length, before, lambda begun: self._begun(offset, length, begun)):
                return ticket
        return self._begun(offset, length, self._sender.begin(offset, length))

    def _begun(self, offset: int, length: int, begun: int) -> int:
        """So many bytes of an idle queue's next send were taken."""
        if begun < length:
            return self._send_rest(offset, length, begun)
        self._sender.job_ended()
        return self._queue.put_done()

    def _send_rest(self, offset: int, length: int, begun: int) -> int:
        def job() -> None:
            self._sender.transmit(offset + begun, length - begun)
            self._sender.job_ended()

        return self._queue.put(job)

    def send_stream(self, message_bytes: int, duration_s: float) -> int:
        """Begin to send the first `message_bytes` again and again for `duration_s` (0: not at all), then
        end the stream; returns the ticket."""

        def job() -> None:
            now, transmit = self._runtime.monotonic, self._sender.transmit
            end_at = now() + duration_s
            while now() < end_at:
                transmit(0, message_bytes)
                self.stream_bytes += message_bytes
            self._sock.shutdown(socket.SHUT_WR)
            self._sender.job_ended()

        return self._queue.put(job)

    def wait_accepted(self, ticket: int) -> None:
        """Until the stack has accepted that send, and all before it."""
        self._progress.wait(self._queue.wait, ticket, self._progress.timeout_s)

    def is_reusable(self, ticket: int) -> bool:
        """Whether the memory of that send, and of all before it, may be changed, as far as is known."""
        return self._queue.is_done(ticket) and self._sender.is_reusable(ticket)

    def wait_reusable(self, ticket: int) -> None:
        """Until the memory of that send, and of all before it, may be changed."""
        self.wait_accepted(ticket)
        self._sender.wait_reusable(ticket)

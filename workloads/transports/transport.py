"""How payload gets from a rank's device memory to its neighbours': what all data paths have in common.

In: spans of the data dma-buf to send to the next rank, spans to fill or reduce from the rank before. Out:
nothing but the effect. Owns two connections (to the next rank, from the one before), and the thread that
sends, so that all ranks of a ring may send and receive at once. Every blocking call ends after
`timeout_s` with an OSError that says what it waited for.
"""

from __future__ import annotations

import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from nodes.client.host import HostStats
from nodes.machine.ledger import Moved
from nodes.uapi import socket as uapi
from workloads.experiment.records import Address
from workloads.machine import Machine
from workloads.stream_check import StreamCheck


class Stream(Protocol):
    """The part of socket.socket that every path's socket has."""

    def bind(self, address: Any, /) -> None: ...
    def listen(self, backlog: int = ..., /) -> None: ...
    def accept(self) -> tuple[Any, Any]: ...
    def connect(self, address: Any, /) -> None: ...
    def getsockname(self) -> Any: ...
    def setsockopt(self, level: int, optname: int, value: int, /) -> Any: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def recv(self, bufsize: int, /) -> bytes: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


S = TypeVar("S", bound=Stream)


class Arrived(msgspec.Struct, frozen=True):
    """A stream that has ended: its bytes, and the CLOCK_MONOTONIC second of the last of them."""

    bytes: int
    last_at_s: float


class Packets(msgspec.Struct, frozen=True):
    """Counters of the stack that carries a path; None for what that stack does not tell. `rx_packets` and
    `tx_packets` count super-packets, the `wire` ones what a link without segmentation offload carries."""

    rx_packets: int | None = None
    tx_packets: int | None = None
    rx_wire_packets: int | None = None
    tx_wire_packets: int | None = None
    rx_alloc_fail: int | None = None
    tcp_retrans_segs: int | None = None


class Counted(msgspec.Struct, frozen=True):
    """A snapshot: what a stack has moved through memory, and its packets."""

    moved: tuple[Moved, ...]
    packets: Packets


class SendQueue:
    """A thread that does one job after the other; its first failure is raised by whoever asks next."""

    def __init__(self, name: str) -> None:
        self._jobs: deque[Callable[[], None] | None] = deque()
        self._changed = threading.Condition()
        self._put = self._done = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> int:
        """Queue a job; returns its ticket, the number of jobs put so far."""
        with self._changed:
            self._raise_failure()
            self._jobs.append(job)
            self._put += 1
            self._changed.notify_all()
            return self._put

    def wait(self, ticket: int, timeout_s: float) -> None:
        """Until the job with that ticket, and so every earlier one, is done. Raises TimeoutError, or
        whatever ended the thread."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._done >= ticket or self._failure, timeout_s):
                raise TimeoutError(f"a send was not accepted within {timeout_s:g} s")
            self._raise_failure()

    def close(self) -> None:
        """Let the thread end after the job it is at; it is a daemon, so a stuck one holds nobody up."""
        with self._changed:
            self._jobs.clear()
            self._jobs.append(None)
            self._changed.notify_all()
        self._thread.join(timeout=1.0)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs)
                job = self._jobs.popleft()
            if job is None:
                return
            try:
                job()
            except BaseException as failure:
                with self._changed:
                    self._failure = failure
                    self._changed.notify_all()
                return
            with self._changed:
                self._done += 1
                self._changed.notify_all()


class Transport(ABC, Generic[S]):
    """One data path between a rank and its neighbours in a ring. Life: listen, connect, use, close."""

    description: ClassVar[str]

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._timeout_s = machine.config.timeout_s
        self._undo = ExitStack()
        self.stream_sent_bytes = 0

    @abstractmethod
    def _socket(self) -> S:
        """A TCP socket of this path's stack."""

    @abstractmethod
    def _address(self) -> str:
        """The IPv4 address of this host in that stack."""

    @abstractmethod
    def staged_bytes(self, sent: int, received: int) -> int:
        """How many of so many payload bytes cross host memory on this path."""

    @abstractmethod
    def _transmit(self, offset: int, length: int) -> None:
        """Send a span of the data dma-buf; runs in the sending thread."""

    @abstractmethod
    def receive_into(self, offset: int, length: int) -> None:
        """Fill a span of the data dma-buf with the next `length` bytes."""

    @abstractmethod
    def receive_reduce(self, offset: int, length: int) -> None:
        """Add the next `length` bytes to a span of the data dma-buf, as float32."""

    @abstractmethod
    def receive_stream(self, offset: int, period: int, check: StreamCheck) -> Arrived:
        """Take everything until the peer's end, and show it to `check`; it repeats itself every `period`
        bytes. A path that stages puts it at `offset`, each repetition over the one before."""

    def listen(self) -> Address:
        """Open a port for the rank before."""
        self._listener = self._opened(self._socket())
        self._listener.bind((self._address(), 0))
        self._listener.listen(1)
        return Address(self._address(), self._listener.getsockname()[1])

    def connect(self, next_rank: Address) -> None:
        """Connect to the next rank, then take the connection from the one before."""
        self._queue = SendQueue(f"send-{self._machine.place.host}")
        self._undo.callback(self._queue.close)  # after the sockets below are closed, which unblocks it
        self._outgoing = self._opened(self._socket())
        self._outgoing.connect((next_rank.host, next_rank.port))
        self._incoming = self._opened(self._listener.accept()[0])
        for end in (self._outgoing, self._incoming):
            end.setsockopt(uapi.IPPROTO_TCP, uapi.TCP_NODELAY, 1)

    def send(self, offset: int, length: int) -> int:
        """Begin to send a span; returns a ticket for `wait_reusable`."""
        return self._begin(lambda: self._transmit(offset, length))

    def send_stream(self, message_bytes: int, duration_s: float) -> int:
        """Begin to send the first `message_bytes` again and again for `duration_s` (0: not at all), then
        end the stream."""
        return self._begin(lambda: self._pump(message_bytes, duration_s))

    def wait_reusable(self, ticket: int, timeout_s: float | None = None) -> None:
        """Until the memory of that send, and of all before it, may be changed."""
        self._queue.wait(ticket, timeout_s or self._timeout_s)

    def confirm_stream(self) -> None:
        """After the received stream's end: until the next rank, too, has taken all that was sent to it."""
        self._incoming.shutdown(socket.SHUT_WR)
        if self._outgoing.recv(1):
            raise ConnectionError("the next rank sent payload on a connection that carries it the other way")

    def counted(self, stats: HostStats) -> Counted:
        """What this path's stack has moved and counted so far; `stats` are the endpoint's now."""
        packets = Packets(
            rx_packets=stats.rx_packets,
            tx_packets=stats.tx_packets,
            rx_wire_packets=stats.rx_wire_packets,
            tx_wire_packets=stats.tx_wire_packets,
            rx_alloc_fail=stats.rx_alloc_fail,
            tcp_retrans_segs=stats.tcp_retrans_segs,
        )
        return Counted(stats.ledger, packets)

    def close(self) -> None:
        self._undo.close()

    def _begin(self, job: Callable[[], None]) -> int:
        return self._queue.put(job)

    def _opened(self, end: S) -> S:
        self._undo.enter_context(closing(end))
        end.settimeout(self._timeout_s)
        return end

    def _pump(self, message_bytes: int, duration_s: float) -> None:
        end_at = time.monotonic() + duration_s
        while time.monotonic() < end_at:
            self._transmit(0, message_bytes)
            self.stream_sent_bytes += message_bytes
        self._outgoing.shutdown(socket.SHUT_WR)


def ended(missing: int) -> ConnectionError:
    """What to raise when a peer ends a connection that owes `missing` bytes."""
    return ConnectionError(f"the peer closed the connection with {missing} bytes still to come")

"""Sends a host's traffic by sockets of its Linux stack.

In: sources, the time. Out: flows and datagrams to the peers' discard ports; counts of what was offered.
Owns the sockets. A flow of a Poisson source is a connection: the receiver closes it first, when it has all,
so that the sender keeps no TIME_WAIT and its ports do not run out. A constant or on-off source has one
connection or UDP socket a peer; what TCP does not take at once waits, and what UDP does not take is lost.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from workloads.traffic import frames
from workloads.traffic.arrivals import Paced, Poisson
from workloads.traffic.config import PORT, Source
from workloads.traffic.frames import HEADER_BYTES, Header
from workloads.traffic.tally import Offered, Tally

FLOWS_MAX = 512  # under way at a time, of a host: more would say that it asks for more than there is
_RETRY_S = 1.0  # before a connection without an end is opened again
_ZEROS = memoryview(bytes(256 << 10))


class Flow:
    """A connection to `peer`, which sends what it is given: `left` bytes, header included. `ended` is called
    with it, and with whether the receiver got all."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        peer: str,
        header: Header,
        ended: Callable[[Flow, bool], None],
    ) -> None:
        self.left = HEADER_BYTES
        self._header = frames.emit(header)
        self._selector, self._ended = selector, ended
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._connected = False
        self._waits = selectors.EVENT_WRITE
        self._selector.register(self._socket, self._waits, self._ready)
        if self._socket.connect_ex((peer, PORT)) not in (0, errno.EINPROGRESS):
            self._end(False)

    @property
    def is_open(self) -> bool:
        return self._socket.fileno() >= 0

    def add(self, count: int) -> None:
        """So many bytes more."""
        self.left += count
        if self._connected and self._waits == selectors.EVENT_READ:
            self._send()

    def close(self) -> None:
        """It is given up."""
        if self.is_open:
            self._selector.unregister(self._socket)
            self._socket.close()

    def _ready(self, events: int, _now: float) -> None:
        if not self.is_open:  # closed for another event of the same moment
            return
        if events & selectors.EVENT_READ and not self._receive():
            return
        if events & selectors.EVENT_WRITE:
            if not self._connected and self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._end(False)
                return
            self._connected = True
            self._send()

    def _receive(self) -> bool:
        """Whether it goes on: the receiver sends nothing, it closes."""
        try:
            self._socket.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            self._end(False)
            return False
        self._end(self.left == 0)
        return False

    def _send(self) -> None:
        try:
            while self.left:
                piece = memoryview(self._header) or _ZEROS[: min(self.left, len(_ZEROS))]
                sent = self._socket.send(piece)
                self._header = self._header[sent:]
                self.left -= sent
        except BlockingIOError:
            pass
        except OSError:
            self._end(False)
            return
        waits = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.left else 0)
        if waits != self._waits:
            self._waits = waits
            self._selector.modify(self._socket, waits, self._ready)

    def _end(self, whole: bool) -> None:
        self.close()
        self._ended(self, whole)


class PoissonSender:
    """A connection a flow."""

    def __init__(self, source: Source, selector: selectors.BaseSelector, tally: Tally, began: float) -> None:
        self._source, self._selector, self._tally, self._began = source, selector, tally, began
        self._arrivals = Poisson(source)
        self._flows: set[Flow] = set()

    @property
    def next_at(self) -> float:
        return self._began + self._arrivals.next_s

    def send(self, now: float) -> None:
        """What is due."""
        for arrival in self._arrivals.take(now - self._began):
            peer, size = self._source.peers[arrival.peer], max(HEADER_BYTES, arrival.size_bytes)
            counts = self._tally.offered(self._source.entry, peer, size)
            if len(self._flows) >= FLOWS_MAX:
                counts.refused += 1
            else:
                counts.flows += 1
                counts.bytes += size
                self._begin(peer, Header(self._source.entry, size, now), counts)

    def close(self) -> None:
        for flow in self._flows:
            flow.close()

    def _begin(self, peer: str, header: Header, counts: Offered) -> None:
        try:
            flow = Flow(self._selector, peer, header, partial(self._ended, counts))
        except OSError:  # no descriptor, no port
            counts.failed += 1
            return
        flow.add(header.size_bytes - HEADER_BYTES)
        if flow.is_open:
            self._flows.add(flow)

    def _ended(self, counts: Offered, flow: Flow, whole: bool) -> None:
        counts.failed += not whole
        self._flows.discard(flow)


class PacedSender:
    """A connection or a UDP socket a peer, of constant and on-off."""

    def __init__(
        self,
        source: Source,
        selector: selectors.BaseSelector,
        tally: Tally,
        began: float,
        datagram_bytes: int,
    ) -> None:
        self._paced, self._began = Paced(source), began
        make = _Stream if source.protocol == "tcp" else _Datagrams
        self._ways = [
            make(selector, peer, source.entry, tally.offered(source.entry, peer, 0), datagram_bytes)
            for peer in source.peers
        ]

    @property
    def next_at(self) -> float:
        return self._began + self._paced.next_s

    def send(self, now: float) -> None:
        """What is due."""
        due = self._paced.due(now - self._began)
        for way in self._ways:
            way.send(due, now)
        self._paced.rest(now - self._began)

    def close(self) -> None:
        for way in self._ways:
            way.close()


class _Stream:
    """TCP to a peer without an end; opened again after it has failed."""

    def __init__(
        self, selector: selectors.BaseSelector, peer: str, entry: int, counts: Offered, _datagram: int
    ) -> None:
        self._selector, self._peer, self._entry, self._counts = selector, peer, entry, counts
        self._flow: Flow | None = None
        self._retry_at = 0.0

    def send(self, due: int, now: float) -> None:
        new = due - self._counts.bytes
        self._counts.bytes = due
        if self._flow is None and now >= self._retry_at:
            self._open(now)
        if self._flow is not None:
            self._flow.add(new)

    def _open(self, now: float) -> None:
        self._retry_at = now + _RETRY_S
        self._counts.flows += 1
        try:
            flow = Flow(self._selector, self._peer, Header(self._entry, 0, now), self._failed)
        except OSError:  # no descriptor
            self._counts.failed += 1
        else:
            self._flow = flow if flow.is_open else None

    def _failed(self, _flow: Flow, _whole: bool) -> None:
        self._flow = None
        self._counts.failed += 1

    def close(self) -> None:
        if self._flow is not None:
            self._flow.close()


class _Datagrams:
    """UDP to a peer: whole datagrams, whatever becomes of them."""

    def __init__(
        self, _selector: selectors.BaseSelector, peer: str, entry: int, counts: Offered, datagram: int
    ) -> None:
        self._counts = counts
        self._counts.flows = 1
        self._datagram = frames.emit(Header(entry, 0, 0.0)) + bytes(datagram - HEADER_BYTES)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._to = peer, PORT

    def send(self, due: int, _now: float) -> None:
        while due - self._counts.bytes >= len(self._datagram):
            self._counts.bytes += len(self._datagram)
            with suppress(OSError):  # a full queue, or no link
                self._socket.sendto(self._datagram, self._to)

    def close(self) -> None:
        self._socket.close()

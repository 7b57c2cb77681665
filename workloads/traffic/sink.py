"""Receives traffic at a host's discard port, and measures when flows are complete.

In: connections and datagrams. Out: counts of what was delivered. Owns the listening and the accepted sockets.
Payload is discarded in the kernel (MSG_TRUNC, tcp(7)): it costs this machine no copy.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from workloads.traffic import frames
from workloads.traffic.config import PORT
from workloads.traffic.frames import HEADER_BYTES
from workloads.traffic.tally import Delivered, Tally

_READ_BYTES = 1 << 20
_READS, _DATAGRAMS = 4, 256  # before others have their turn
_SO_RCVBUFFORCE = 33
_RCVBUF_BYTES = 4 << 20


class Sink:
    """Raises OSError when the address or the port is not free."""

    def __init__(self, address: str, selector: selectors.BaseSelector, tally: Tally) -> None:
        self._selector, self._tally = selector, tally
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._datagrams: dict[tuple[int, str], Delivered] = {}
        self._listener = socket.create_server((address, PORT), backlog=1024)
        self._listener.setblocking(False)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RCVBUF_BYTES)
        self._udp.bind((address, PORT))
        selector.register(self._listener, selectors.EVENT_READ, self._accept)
        selector.register(self._udp, selectors.EVENT_READ, self._receive_datagrams)

    def _accept(self, _events: int, _now: float) -> None:
        try:
            while True:
                accepted, (peer, _port) = self._listener.accept()
                accepted.setblocking(False)
                _Connection(accepted, peer, self._selector, self._tally, self._buffer)
        except OSError:  # no more, or no descriptor for it
            return

    def _receive_datagrams(self, _events: int, _now: float) -> None:
        for _ in range(_DATAGRAMS):
            try:
                length, (peer, _port) = self._udp.recvfrom_into(self._buffer)
            except OSError:
                return
            if length >= HEADER_BYTES:
                key = frames.parse(self._buffer).entry, peer
                if key not in self._datagrams:
                    self._datagrams[key] = self._tally.delivered(*key, 0)
                self._datagrams[key].bytes += length


class _Connection:
    """One that was accepted."""

    def __init__(
        self,
        accepted: socket.socket,
        peer: str,
        selector: selectors.BaseSelector,
        tally: Tally,
        buffer: memoryview,
    ) -> None:
        self._socket, self._peer, self._selector = accepted, peer, selector
        self._tally, self._buffer = tally, buffer
        self._read: Callable[[float], int] = self._read_header
        self._first = b""
        selector.register(accepted, selectors.EVENT_READ, self._ready)

    def _ready(self, _events: int, now: float) -> None:
        try:
            for _ in range(_READS):
                if not self._read(now):
                    self._close()
                    return
        except BlockingIOError:
            return
        except OSError:
            self._close()

    def _read_header(self, now: float) -> int:
        got = self._socket.recv(HEADER_BYTES - len(self._first))
        self._first += got
        if len(self._first) < HEADER_BYTES:
            return len(got)
        header = frames.parse(self._first)
        self._began = header.began_s
        self._counts = self._tally.delivered(header.entry, self._peer, header.size_bytes)
        self._left: int | None = None  # of a flow without an end, whose bytes are those behind the header
        if header.size_bytes:
            self._left = header.size_bytes - HEADER_BYTES
            self._counts.bytes += HEADER_BYTES
        self._read = self._discard
        return self._went_on(HEADER_BYTES, now)

    def _discard(self, now: float) -> int:
        got = self._socket.recv_into(self._buffer, 0, socket.MSG_TRUNC)
        self._counts.bytes += got
        if got and self._left is not None:
            self._left -= got
        return self._went_on(got, now)

    def _went_on(self, got: int, now: float) -> int:
        """0 when the flow is complete: this side closes first."""
        if self._left is not None and self._left <= 0:
            self._counts.times.add(now - self._began)
            return 0
        return got

    def _close(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()

"""One end of a relay: all frames of an interface, through an AF_PACKET socket with PACKET_VNET_HDR.

In: frames that the interface hears. Out: frames that it sends; when each was heard, by the kernel's stamp, so
that it does not matter when the relay comes to read it. Owns the socket and a buffer. packet(7), socket(7).
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Sequence

from nodes.nic.socket_buffer import set_buffers
from nodes.nic.wire_frame import WireFrame
from nodes.relay.arrival import VNET, Arrival, vnet_header

_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING, _PACKET_STATISTICS = 263, 15, 23, 6
_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_RCVBUF_BYTES, _SNDBUF_BYTES = 64 << 20, 16 << 20
_FRAME_BYTES_MAX = 9 * 65536  # more than GSO_MAX_SIZE and headers
_TIMESPEC = struct.Struct("=qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_STATISTICS = struct.Struct("=II")


class PortError(RuntimeError):
    """The interface cannot be an end of a relay; one sentence."""


class Port:
    """Raises PortError when the interface cannot be opened."""

    def __init__(self, interface: str) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            set_buffers(self._socket, _RCVBUF_BYTES, _SNDBUF_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.bind((interface, _ETH_P_ALL))
        except OSError as reason:
            raise PortError(
                f"interface {interface!r} cannot be opened: {reason.strerror or reason}"
            ) from None
        self._socket.setblocking(False)
        self._vnet = bytearray(VNET.size)
        self._buffer = memoryview(bytearray(_FRAME_BYTES_MAX))
        self._views: list[bytearray | memoryview] = [self._vnet, self._buffer]
        self.refused = 0  # frames that the interface did not take

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Arrival | None:
        """The next frame; None: there is none."""
        try:
            count, ancillary, _, _ = self._socket.recvmsg_into(self._views, _ANCILLARY_BYTES)
        except BlockingIOError:
            return None
        except OSError as reason:
            if reason.errno == errno.ENETDOWN:  # Linux reports it once; the link may come up again
                return None
            raise
        at = time.monotonic()
        if ancillary:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            at -= max(0.0, (time.time_ns() - seconds * 10**9 - nanoseconds) / 1e9)
        return Arrival(self._vnet, self._buffer[: count - VNET.size], at)

    def forward(self, arrival: Arrival) -> None:
        """Send a frame as it has come at the other end."""
        self._send([arrival.vnet, arrival.data])

    def send(self, frame: WireFrame) -> None:
        """A frame that is refused is lost: the link is down, or nobody listens."""
        self._send([vnet_header(frame), frame.data])

    def _send(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        try:
            self._socket.sendmsg(pieces)
        except OSError:
            self.refused += 1

    def overruns(self) -> int:
        """Frames that found the socket's buffer full, since the last call: the relay was too slow."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        return int(_STATISTICS.unpack(statistics)[1])

    def close(self) -> None:
        self._socket.close()

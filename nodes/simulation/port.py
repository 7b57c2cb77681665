"""The port of a simulated NIC: the Wire that its NetDevice sends to and receives from.

In: frames that the NIC sends, frames that the line brings. Out: the same; a call when there is something for
the host to do. Owns the FIFO in front of the rx queues, and what the NIC has fetched and not yet sent: as
much as keeps the line busy, as byte queue limits do (lib/dynamic_queue_limits.c). Satisfies
nodes.nic.wire_port.Wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from nodes.nic.wire_port import PEEK_BYTES, RxFrame, TxOffload
from nodes.simulation.clock import Clock
from nodes.simulation.frame import Frame, frame_of
from nodes.simulation.line import Line
from nodes.simulation.segmentation import wire_packets
from nodes.wire import ethernet

FIFO_BYTES: Final = 2 << 20  # in front of the rx queues
TX_QUEUED_NS: Final = 20_000  # the NIC takes no frame while the line is busy for longer than this


class Port:
    """`macs`: the frames to these, and broadcasts of ARP, are the NIC's. `wake` is called when the host
    should take a turn. `carried`: whether payload is copied, or counted. `packets` and `fragments` count what
    the NIC has moved: frames, and the pieces of memory that they lay in. The owner sets `line`, the direction
    out, and calls `flush` after each of the host's turns. `cuts`: super-packets leave as their wire packets,
    each by itself."""

    def __init__(
        self, clock: Clock, macs: Collection[bytes], wake: Callable[[], None], carried: bool = True
    ) -> None:
        self.line: Line | None = None
        self.cuts = False
        self.packets = self.fragments = 0
        self._clock = clock
        self._macs = frozenset(macs)
        self._wake = wake
        self._carried = carried
        self._fifo: deque[Frame] = deque()
        self._fifo_bytes = self._overruns = 0
        self._unsent: list[Frame] = []
        self._busy_until_ns = 0  # the line, when it has sent what it was given
        self._waiting = False

    # --- the line's side

    def deliver(self, frame: Frame) -> None:
        """A frame has arrived. It is lost if the FIFO has no room for it."""
        to = frame.header[:6]
        if to not in self._macs and not (
            to == ethernet.BROADCAST and frame.header[12:14] == ethernet.TYPE_ARP.to_bytes(2, "big")
        ):
            return
        if self._fifo_bytes + frame.length > FIFO_BYTES:
            self._overruns += 1
            return
        self._fifo.append(frame)
        self._fifo_bytes += frame.length
        self._wake()

    def flush(self, at_ns: int) -> None:
        """The host's turn is over at that time: the frames that it sent go to the line."""
        line, unsent = self.line, self._unsent
        if line is not None:
            if self.cuts:
                unsent = [packet for frame in unsent for packet in wire_packets(frame)]
            for frame in unsent:
                self._busy_until_ns = line.send(frame, at_ns)
        self._unsent.clear()
        if self._waiting and line is not None:
            self._waiting = False
            self._clock.at(self._busy_until_ns - TX_QUEUED_NS // 2, self._wake)

    # --- the NIC's side

    @property
    def readable(self) -> bool:
        """Whether a frame waits."""
        return bool(self._fifo)

    def peek(self) -> RxFrame | None:
        if not self._fifo:
            return None
        frame = self._fifo[0]
        head = frame.header
        if frame.payload is not None:
            head += frame.payload[: PEEK_BYTES - len(head)]
        return RxFrame(head[:PEEK_BYTES], frame.length, frame.gso_size, True)

    def receive(self, views: Sequence[memoryview]) -> None:
        frame = self._take()
        self.packets += 1
        self.fragments += len(views) - 1
        header, payload = frame.header, frame.payload
        if len(views[0]) == len(header):  # split as it was sent: no bytes are joined
            views[0][:] = header
            if payload is not None:
                at = 0
                for view in views[1:]:
                    view[:] = payload[at : at + len(view)]
                    at += len(view)
            return
        rest = memoryview(header + (payload or b""))
        for view in views:
            piece = rest[: len(view)]
            view[: len(piece)] = piece
            rest = rest[len(piece) :]

    def drop(self) -> None:
        self._take()

    def _take(self) -> Frame:
        frame = self._fifo.popleft()
        self._fifo_bytes -= frame.length
        return frame

    def send(self, header: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        queued_ns = self._busy_until_ns - self._clock.now_ns
        line = self.line
        if line is not None:
            queued_ns = max(queued_ns, 0)
            for frame in self._unsent:
                queued_ns += line.time_ns(frame.wire_bytes)
        if queued_ns > TX_QUEUED_NS:
            self._waiting = True
            return False
        self.packets += 1
        self.fragments += len(payload)
        self._unsent.append(frame_of(header, payload, offload.gso_size, self._carried))
        return True

    def overruns(self) -> int:
        count, self._overruns = self._overruns, 0
        return count

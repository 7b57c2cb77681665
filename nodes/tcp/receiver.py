"""Payload of segments in, payload in order out. Owns the receive window, what waits for holes, when to ACK.

RFC 9293 sections 3.8.6.2.2 (silly window) and 3.8.6.3 (delayed ACK), RFC 1122 section 4.2.3.2, RFC 2883;
net/ipv4/tcp_input.c tcp_data_queue, net/ipv4/tcp_output.c __tcp_select_window.
"""

from __future__ import annotations

from collections import deque
from math import inf

from nodes.tcp.reassembly import Reassembly
from nodes.tcp.segment import Payload

DELAYED_ACK_S = 0.04
QUICK_ACKS = 16  # at the start, while the peer's window is small, each segment is acknowledged at once


class Receiver:
    """The receiving half. Sequence numbers unwrapped, windows in bytes, times in seconds."""

    __slots__ = (
        "_first", "_quick", "ack_at", "ack_due", "acked", "buffer_bytes", "data_at", "data_segs_in",
        "duplicate", "ece", "fin_at", "fin_received", "mss", "rcv_adv", "rcv_nxt", "reassembly", "received",
        "segs_in", "shift", "unread",
    )  # fmt: skip

    def __init__(self, buffer_bytes: int) -> None:
        self.buffer_bytes = buffer_bytes
        self.rcv_nxt = 0
        self._first = 0
        self.rcv_adv = 0  # right edge of the window the peer has been told of: it never moves left
        self.acked = 0  # the last acknowledgement number sent (RFC 7323's Last.ACK.sent)
        self.shift = 0
        self.segs_in = self.data_segs_in = 0  # wire packets that came, and those with payload
        self.data_at = -inf  # when the last of the latter came
        self.mss = 536
        self.received: deque[Payload] = deque()
        self.unread = 0  # bytes in order that the application has not consumed
        self.reassembly = Reassembly()
        self.fin_at: int | None = None
        self.fin_received = False
        self.ack_due = False
        self.ack_at = inf  # when a delayed ACK is due
        self.duplicate: tuple[int, int] | None = None  # to be reported once (D-SACK)
        self._quick = QUICK_ACKS
        self.ece = False  # congestion was experienced: every ACK says so

    def synchronize(self, irs: int) -> None:
        """The peer's SYN has been seen, numbered `irs`; nothing but its window in the SYN is promised."""
        self.rcv_nxt = self._first = self.acked = irs + 1
        self.rcv_adv = self.rcv_nxt + min(self.buffer_bytes, 65535)

    def begin(self, mss: int, shift: int) -> None:
        """The options are agreed: `mss` bytes in a wire packet, our window scaled by `shift`."""
        self.mss = mss
        self.shift = shift
        self.buffer_bytes = min(self.buffer_bytes, 65535 << shift)

    def resize(self, buffer_bytes: int, opening: bool) -> None:
        """Another buffer; `opening`: the scale is not agreed yet, `begin` will see to it."""
        self.buffer_bytes = buffer_bytes if opening else min(buffer_bytes, 65535 << self.shift)
        self.consumed(0)  # more room may be worth an ACK

    def set_quick(self, quick: bool) -> None:
        """TCP_QUICKACK."""
        self._quick = QUICK_ACKS if quick else 0
        if quick and self.ack_at != inf:
            self.ack_due = True

    @property
    def bytes_received(self) -> int:
        """Payload bytes received in order."""
        return self.rcv_nxt - self._first - self.fin_received

    def marked(self, ce: bool, cwr: bool, precise: bool) -> bool:
        """A segment came with or without CE, and with or without CWR. `precise` (RFC 8257 section 3.2): ECE
        says how the last segment came, and True asks for an ACK of the state before, if one is owed."""
        if precise:
            owed = ce != self.ece and self.rcv_nxt != self.acked
            self.ece = ce
            return owed
        if cwr:
            self.ece = False
            self.ack_due = True  # its window may be one segment: do not let it wait
        self.ece = self.ece or ce
        return False

    def deliver(self, payload: Payload, length: int, now: float) -> None:
        """Take the payload that comes next, wholly inside the window, nothing waiting behind it."""
        self.rcv_nxt += length
        self.unread += length
        self.received.append(payload)
        if self._quick:
            self._quick -= 1
            self.ack_due = True
        elif self.rcv_nxt - self.acked >= 2 * self.mss:
            self.ack_due = True
        elif self.ack_at == inf:
            self.ack_at = now + DELAYED_ACK_S

    def receive(self, seq: int, payload: Payload, now: float) -> None:
        """Take payload from anywhere: keep what is new and inside the window, release the rest."""
        end = seq + len(payload)
        limit = self.rcv_adv if self.fin_at is None else min(self.rcv_adv, self.fin_at)
        start, stop = max(seq, self.rcv_nxt), min(end, limit)
        if seq < self.rcv_nxt:
            self.duplicate = (seq, min(end, self.rcv_nxt))
            self.ack_due = True
        if end > limit:
            self.ack_due = True
        if start >= stop:
            payload.release()
            return
        if start > seq or stop < end:
            kept = payload.slice(start - seq, stop - seq)
            payload.release()
            payload = kept
        if start == self.rcv_nxt and not self.reassembly:
            self.deliver(payload, stop - start, now)
            return
        self.ack_due = True
        duplicate = self.reassembly.insert(start, payload)
        self.duplicate = self.duplicate or duplicate
        if start == self.rcv_nxt:
            self._fill()

    def _fill(self) -> None:
        """A hole is closed: what waited for it is in order now."""
        taken = self.reassembly.take(self.rcv_nxt)
        if taken is not None:
            end, payloads = taken
            self.unread += end - self.rcv_nxt
            self.rcv_nxt = end
            self.received.extend(payloads)

    def receive_fin(self, at: int) -> bool:
        """A FIN numbered `at`, inside the window; True when everything before it has arrived just now."""
        self.ack_due = True
        if self.fin_at is None and at >= self.rcv_nxt:
            self.fin_at = at
        return self.finish()

    def finish(self) -> bool:
        """Whether the FIN is next; it is then taken."""
        if self.fin_at != self.rcv_nxt or self.fin_received:
            return False
        self.fin_received = True
        self.rcv_nxt += 1
        return True

    def consumed(self, count: int) -> None:
        """The application took `count` bytes; announce the room once it is worth a segment.

        Worth it is twice what the peer still may send, at least two segments, or half the buffer.
        """
        self.unread -= count
        opened = self._edge() - self.rcv_adv
        remaining = self.rcv_adv - self.rcv_nxt
        if opened >= min(max(2 * self.mss, remaining), self.buffer_bytes // 2) and not self.fin_received:
            self.ack_due = True

    def _edge(self) -> int:
        return self.rcv_nxt - self.unread + self.buffer_bytes

    def window(self) -> int:
        """The window field of a header that leaves now, scaled; the edge so promised is remembered."""
        nxt, edge, shift = self.rcv_nxt, self._edge(), self.shift
        opened = edge - self.rcv_adv
        right = self.rcv_adv
        if opened > 0 and (opened >= self.mss or 2 * opened >= self.buffer_bytes):
            right = edge
        field = right - nxt
        if field <= 0:
            return 0
        # Rounded up, the edge does not move left. It creeps right by less than a unit a segment, so a
        # peer of tiny segments could stretch the buffer: past an eighth of it, round down (RFC 7323, 2.4).
        creep = ((field + (1 << shift) - 1) >> shift << shift) + nxt - edge
        field = field >> shift if creep > self.buffer_bytes >> 3 else (field + (1 << shift) - 1) >> shift
        if field > 65535:
            field = 65535
        if nxt + (field << shift) > self.rcv_adv:
            self.rcv_adv = nxt + (field << shift)
        return field

    def sack_blocks(self, most: int) -> tuple[tuple[int, int], ...]:
        """Up to `most` blocks (unwrapped): first a duplicate to be reported, then what waits beyond holes."""
        blocks = self.reassembly.blocks()
        if self.duplicate is not None:
            blocks = (self.duplicate, *blocks)
            self.duplicate = None
        return blocks[:most]

    def ack_sent(self) -> None:
        """A segment with the current rcv_nxt has left."""
        self.acked = self.rcv_nxt
        self.ack_due = False
        self.ack_at = inf

    def clear(self) -> None:
        """Release what waits for holes. What is in order belongs to the application."""
        self.reassembly.clear()
        self.duplicate = None
        self.ack_due = False
        self.ack_at = inf

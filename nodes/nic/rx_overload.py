"""Early drop under a flood of SYNs: the FIFO in front of the rx queues must not turn overload into seconds.

In: what the parser found in frames; whether a poll emptied the FIFO. Out: whether a frame is to be dropped
unseen. Owns the count of SYNs that came while the FIFO stood, and which SYNs were dropped of late. A NIC's
ring holds some hundred packets of any size and drops the next ones; the FIFO of an emulated wire has to hold
windows of super-packets, and so has room for 80,000 SYNs. After STANDING_SYNS of them, each poll answers a
few SYNs only. To drop one costs far less than to answer it, so the FIFO drains, and segments of connections
do not wait behind SYNs. A client whose SYN was dropped sends it again a second later, which a flood of
made-up addresses and ports does not: SYNs that come again are answered first. Payload is never dropped.
Source: tail drop of an rx ring (rx_missed_errors, Documentation/networking/statistics.rst).
"""

from __future__ import annotations

from nodes.nic.header_split import Parsed
from nodes.wire.tcp import ACK, SYN

STANDING_SYNS = 512
NEW_SYNS_A_POLL = 4
SYNS_A_POLL = 16  # those that come again included
POLLS_IN_ONE = 4  # while SYNs are dropped, a poll takes so many times its budget
REMEMBERED_SYNS = 1 << 16  # of each of two sets, the older of which is forgotten when the other is full
_FLAGS_OFFSET = 13  # in a TCP header, as _SEQ_OFFSET
_SEQ_OFFSET = 4


class RxOverload:
    def __init__(self) -> None:
        self._stands = False  # the last poll left frames in the FIFO
        self._syns = 0  # that came while it stood, at most STANDING_SYNS
        self._answered = 0  # in this poll
        self._dropped: set[bytes] = set()
        self._dropped_before: set[bytes] = set()

    @property
    def dropping(self) -> bool:
        """Whether SYNs are dropped now."""
        return self._stands and self._syns == STANDING_SYNS

    def begin_poll(self) -> bool:
        """Whether the FIFO stands, so that `refuses` is to be asked about each frame."""
        self._answered = 0
        return self._stands

    def end_poll(self, emptied: bool) -> None:
        """The poll is over; `emptied`: it took all frames."""
        self._stands = not emptied
        if emptied:
            self._syns //= 2

    def refuses(self, head: bytes, parsed: Parsed) -> bool:
        """Whether to drop the frame: it is a SYN, and this poll has answered enough of them."""
        at = parsed.l4_start
        if not at or head[at + _FLAGS_OFFSET] & (SYN | ACK) != SYN:
            return False
        if self._syns < STANDING_SYNS:
            self._syns += 1
            return False
        syn = parsed.flow + head[at + _SEQ_OFFSET : at + _SEQ_OFFSET + 4]
        limit = SYNS_A_POLL if self._came_before(syn) else NEW_SYNS_A_POLL
        if self._answered < limit:
            self._answered += 1
            return False
        self._dropped.add(syn)
        if len(self._dropped) == REMEMBERED_SYNS:
            self._dropped, self._dropped_before = set(), self._dropped
        return True

    def _came_before(self, syn: bytes) -> bool:
        return syn in self._dropped or syn in self._dropped_before

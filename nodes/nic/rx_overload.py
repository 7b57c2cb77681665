"""Early drop under a flood of SYNs: the FIFO in front of the rx queues must not turn overload into seconds.

In: what the parser found in frames; whether a poll emptied the FIFO. Out: whether a frame is to be dropped
unseen. Owns the count of frames since the FIFO was last empty. A NIC's ring holds some hundred packets of any
size and drops the next ones; the FIFO of an emulated wire has to hold windows of super-packets, and so has
room for 80,000 SYNs. When it has not been empty for STANDING_FRAMES, only the first SYNS_A_POLL SYNs of a
poll are answered: to drop one costs far less than to answer it, so the FIFO drains, and segments of
connections do not wait behind SYNs. A peer whose SYN is dropped sends it again. Payload is never dropped.
Source: tail drop of an rx ring (rx_missed_errors, Documentation/networking/statistics.rst).
"""

from __future__ import annotations

from nodes.nic.header_split import Parsed
from nodes.wire.tcp import ACK, SYN

STANDING_FRAMES = 2048
SYNS_A_POLL = 16
POLLS_IN_ONE = 4  # while SYNs are dropped, a poll takes so many times its budget
_FLAGS_OFFSET = 13  # in a TCP header


class RxOverload:
    """`standing`: frames received since the FIFO was last empty."""

    def __init__(self) -> None:
        self.standing = 0
        self._answered = 0

    def begin_poll(self) -> bool:
        """Whether the FIFO stands, so that `refuses` is to be asked about each frame."""
        self._answered = 0
        return self.standing >= STANDING_FRAMES

    def refuses(self, head: memoryview, parsed: Parsed) -> bool:
        """Whether to drop the frame: it is a SYN, and this poll has answered enough of them."""
        at = parsed.l4_start
        if not at or head[at + _FLAGS_OFFSET] & (SYN | ACK) != SYN:
            return False
        self._answered += 1
        return self._answered > SYNS_A_POLL

"""A wire that takes no frame: when the endpoint looks at it again though the poll says nothing.

In: a NIC's tx queue and the wire's own queue, `now`. Out: the time of the next look. Owns nothing. The poll
calls a socket writable by what counts to it, and that may stay where it is while the interface's queue runs
empty: frames which wait in a bridge or at its ports still count, and a super-packet that a token bucket has
cut counts until its last piece is received. sock_def_write_space (net/core/sock.c), tbf_segment
(net/sched/sch_tbf.c), skb_segment (net/core/skbuff.c).
"""

from __future__ import annotations

from typing import Protocol

from nodes.nic.tx_queue import TxQueue

FIRST_LOOK_S = 0.002  # half of a full queue leaves in that time at 1 Gbit/s: the poll comes first as a rule


class OwnQueue(Protocol):
    def look_again(self) -> None:
        """Ask the interface what waits in front of it, if the NIC is stopped."""
        ...


class BusyWire:
    """`look_at`: when to look next, None while the wire takes frames. Each look comes after twice the time of
    the one before: whatever the rate, one falls between the moment when half of the queue has left, and that
    when all of it has."""

    def __init__(self, tx: TxQueue, own_queue: OwnQueue) -> None:
        self.look_at: float | None = None
        self._tx = tx
        self._own_queue = own_queue
        self._busy_since = 0.0
        self._sent = 0  # packets, when that began

    def look(self, now: float) -> None:
        """Before a turn. If the queue has room, the turn sends."""
        if self.look_at is not None and now >= self.look_at:
            self._own_queue.look_again()

    def turned(self, now: float) -> float | None:
        """After a turn; returns `look_at`."""
        tx = self._tx
        if not tx.waiting:
            self.look_at = None
        elif self.look_at is None or tx.sent != self._sent:
            self._busy_since, self._sent = now, tx.sent
            self.look_at = now + FIRST_LOOK_S
        elif now >= self.look_at:
            self.look_at = now + max(now - self._busy_since, FIRST_LOOK_S)
        return self.look_at

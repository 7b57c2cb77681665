"""The error queue: zero-copy completions, stamps of sends, ICMP errors.

In: each successful zero-copy send with the stream offset of its end; how far the peer has acknowledged;
stamps and errors. Out: events, of completions ranges of send numbers; adjacent ranges are merged, and the
first one's code is kept. Owns the notifiers: a
socket has as many as its option memory holds, unread completions included. A send that begins while the send
before it has unsent bytes shares that send's notifier. Source: msg_zerocopy_realloc,
msg_zerocopy_complete, skb_zerocopy_notify_extend and sock_queue_err_skb (net/core/skbuff.c),
Documentation/networking/msg_zerocopy.rst.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from nodes.uapi.socket import (
    SO_EE_ORIGIN_ICMP,
    SO_EE_ORIGIN_ICMP6,
    SO_EE_ORIGIN_ZEROCOPY,
    ExtendedErr,
)

CODE_COPIED: Final = 1  # SO_EE_CODE_ZEROCOPY_COPIED: the data was copied after all
# net.core.optmem_max over SKB_TRUESIZE(0) on a 64-bit machine
_EVENTS_MAX: Final = 512  # what sk_rcvbuf has room for (sock_queue_err_skb), at its default
NOTIFIERS_MAX: Final = (128 << 10) // 576


@dataclass(slots=True, init=False)
class Event:
    """`at`: the time of a stamp. `data`: what recvmsg copies to the caller's buffer: statistics, or what an
    ICMP error quotes, from the TCP header on. `name`: the address and port to which that packet went;
    `offender`: who sent the error."""

    extended_err: ExtendedErr
    at: float | None
    data: bytes
    name: tuple[int, int]
    offender: int

    def __init__(
        self, extended_err: ExtendedErr, at: float | None = None, data: bytes = b"",
        name: tuple[int, int] = (0, 0), offender: int = 0,
    ) -> None:  # fmt: skip
        self.extended_err = extended_err
        self.at = at
        self.data = data
        self.name = name
        self.offender = offender

    @property
    def is_icmp(self) -> bool:
        """is_icmp_err_skb."""
        return self.extended_err.ee_origin in (SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6)


class ErrQueue:
    def __init__(self) -> None:
        self._sent: deque[tuple[int, int, int]] = deque()  # stream offset of the end, code, notifiers
        self._queue: deque[Event] = deque()  # unread
        # The range of completions behind them, which is no Event yet, as more may join it: the first number,
        # -1 for none, its send's code, and the last number.
        self._first, self._code, self._last = -1, 0, -1
        self._ranges = 0  # of completed sends that are unread
        self.queued = 0  # events since the socket was made: each wakes those who poll
        self._notifiers = 0  # of sends that have not completed
        self.completed = 0  # sends completed since the socket was made
        self.last_end = 0  # stream offset where the last zero-copy send ended

    @property
    def full(self) -> bool:
        """Whether no notifier is left: the application must read completions first."""
        return self._notifiers + self._ranges >= NOTIFIERS_MAX

    @property
    def unread(self) -> bool:
        """Whether a completion or a stamp waits to be read."""
        return bool(self._queue) or self._first >= 0

    @property
    def waiting(self) -> bool:
        """Whether a send has not completed."""
        return bool(self._sent)

    def sent(self, end_offset: int, code: int, shared: bool = False) -> None:
        """One more zero-copy send, which ends at `end_offset` of the stream, gets the next number. `shared`:
        it uses the notifier of the send before it."""
        notifiers = 0 if shared and self._sent else 1
        self._sent.append((end_offset, code, notifiers))
        self._notifiers += notifiers
        self.last_end = end_offset

    def acknowledged(self, offset: int) -> bool:
        """The peer acknowledged all bytes before `offset` of the stream; returns whether that completed a
        send."""
        before = self.completed
        while self._sent and self._sent[0][0] <= offset:
            self._complete()
        return self.completed > before

    def abort(self) -> None:
        """The connection has ended: no memory is sent any more."""
        while self._sent:
            self._complete()

    def _complete(self) -> None:
        _, code, notifiers = self._sent.popleft()
        number = self.completed
        self.completed += 1
        self._notifiers -= notifiers
        self.queued += 1
        if self._first < 0:
            self._reopen(number)
        if self._first < 0:
            self._ranges += 1
            self._first, self._code = number, code
        self._last = number

    def _reopen(self, number: int) -> None:
        """Send `number` joins the range at the end of the queue, if that ends with the send before it."""
        last = self._queue[-1].extended_err if self._queue else None
        if last is not None and last.ee_origin == SO_EE_ORIGIN_ZEROCOPY and last.ee_data == number - 1:
            self._queue.pop()
            self._first, self._code = last.ee_info, last.ee_code

    def _close_range(self) -> None:
        """The open range becomes an event: it is read, or another event follows it."""
        if self._first >= 0:
            ends = self._first, self._last
            self._queue.append(Event(ExtendedErr(0, SO_EE_ORIGIN_ZEROCOPY, 0, self._code, 0, *ends)))
            self._first = -1

    def add(self, event: Event) -> None:
        """A stamp of SO_TIMESTAMPING, or an ICMP error; it is lost when too many wait."""
        self._close_range()
        if len(self._queue) < _EVENTS_MAX:
            self.queued += 1
            self._queue.append(event)

    def purge(self) -> None:
        """Forget the ICMP errors (skb_errqueue_purge)."""
        self._close_range()
        self._queue = deque(event for event in self._queue if not event.is_icmp)

    @property
    def first(self) -> Event | None:
        """The event that `read` will return; None when there is none."""
        self._close_range()
        return self._queue[0] if self._queue else None

    def read(self) -> Event | None:
        """The oldest event, None when there is none. Another that waits behind it wakes those who poll
        (sock_dequeue_err_skb)."""
        self._close_range()
        if not self._queue:
            return None
        event = self._queue.popleft()
        self._ranges -= event.extended_err.ee_origin == SO_EE_ORIGIN_ZEROCOPY
        self.queued += bool(self._queue)
        return event

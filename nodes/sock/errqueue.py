"""The error queue: zero-copy completions, which sends the peer has acknowledged, and stamps of sends.

In: each successful zero-copy send with the stream offset of its end; how far the peer has acknowledged. Out:
ranges of send numbers; adjacent ranges are merged, and the first one's code is kept. Owns the notifiers: a
socket has as many as its option memory holds, unread completions included. A send that begins while the send
before it has unsent bytes shares that send's notifier. Source: msg_zerocopy_realloc,
msg_zerocopy_complete and skb_zerocopy_notify_extend (net/core/skbuff.c),
Documentation/networking/msg_zerocopy.rst.
"""

from __future__ import annotations

from collections import deque

from nodes.uapi.socket import SO_EE_ORIGIN_ZEROCOPY, ExtendedErr

CODE_COPIED = 1  # SO_EE_CODE_ZEROCOPY_COPIED: the data was copied after all
# net.core.optmem_max over SKB_TRUESIZE(0) on a 64-bit machine
_EVENTS_MAX = 512  # what sk_rcvbuf has room for (sock_queue_err_skb), at its default
NOTIFIERS_MAX = (128 << 10) // 576


class ErrQueue:
    def __init__(self) -> None:
        self._sent: deque[tuple[int, int, int]] = deque()  # stream offset of the end, code, notifiers
        # Unread: ranges of completed sends, and stamps with their time.
        self._queue: deque[tuple[ExtendedErr, float | None]] = deque()
        self._ranges = 0  # of completed sends in the queue
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
        return bool(self._queue)

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
        last = self._queue[-1][0] if self._queue else None
        if last is not None and last.ee_origin == SO_EE_ORIGIN_ZEROCOPY and last.ee_data == number - 1:
            self._queue[-1] = last._replace(ee_data=number), None
        else:
            self._ranges += 1
            self._queue.append((ExtendedErr(0, SO_EE_ORIGIN_ZEROCOPY, 0, code, 0, number, number), None))

    def stamped(self, extended_err: ExtendedErr, at: float) -> None:
        """A stamp of SO_TIMESTAMPING; it is lost when too many wait."""
        if len(self._queue) < _EVENTS_MAX:
            self.queued += 1
            self._queue.append((extended_err, at))

    def read(self) -> tuple[ExtendedErr, float | None] | None:
        """The oldest range or stamp with its time, None when there is none."""
        if not self._queue:
            return None
        event = self._queue.popleft()
        self._ranges -= event[0].ee_origin == SO_EE_ORIGIN_ZEROCOPY
        return event

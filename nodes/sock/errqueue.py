"""Zero-copy completions: which sends the peer has acknowledged, for MSG_ERRQUEUE.

In: each successful zero-copy send with the stream offset of its end; how far the peer has acknowledged.
Out: ranges of send numbers, neighbours merged. Source: msg_zerocopy_complete (net/core/skbuff.c),
Documentation/networking/msg_zerocopy.rst.
"""

from __future__ import annotations

from collections import deque

from nodes.uapi import SO_EE_ORIGIN_ZEROCOPY, ExtendedErr

CODE_COPIED = 1  # SO_EE_CODE_ZEROCOPY_COPIED: the data was copied after all


class ErrQueue:
    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque()  # (stream offset of the end, code)
        self._ranges: deque[tuple[int, int, int]] = deque()  # (first, last, code) completed, unread
        self._next = 0
        self.completed = 0  # sends completed since the socket was made

    def sent(self, end_offset: int, code: int) -> None:
        """One more zero-copy send, ending at `end_offset` of the stream: the next number."""
        self._sent.append((end_offset, code))
        self._next += 1

    def acknowledged(self, offset: int) -> bool:
        """Everything before `offset` of the stream has arrived; whether that completed any send."""
        before = self.completed
        while self._sent and self._sent[0][0] <= offset:
            self._complete(self._sent.popleft()[1])
        return self.completed > before

    def abort(self) -> None:
        """The connection is dead: nothing will be sent from the memory any more."""
        while self._sent:
            self._complete(self._sent.popleft()[1])

    def _complete(self, code: int) -> None:
        number = self.completed
        self.completed += 1
        if self._ranges and self._ranges[-1][1] == number - 1 and self._ranges[-1][2] == code:
            self._ranges[-1] = (self._ranges[-1][0], number, code)
        else:
            self._ranges.append((number, number, code))

    def read(self) -> ExtendedErr | None:
        """The oldest range, None when there is none."""
        if not self._ranges:
            return None
        first, last, code = self._ranges.popleft()
        return ExtendedErr(0, SO_EE_ORIGIN_ZEROCOPY, 0, code, 0, first, last)

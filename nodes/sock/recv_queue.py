"""What a socket has received in order and the application has not read.

In: payloads from TCP, owned from then on. Out: pieces of one kind, on references that stay the queue's
until they are consumed. Two kinds, readable and unreadable, never joined (skb_try_coalesce).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from nodes.skb import Frag, Frags


class RecvQueue:
    def __init__(self) -> None:
        self._queue: deque[Frags] = deque()
        self.length = 0

    def append(self, payload: Frags) -> None:
        self._queue.append(payload)
        self.length += len(payload)

    @property
    def unreadable(self) -> bool:
        """Whether what comes next is. The queue must not be empty."""
        return self._queue[0].unreadable

    def pieces(self, limit: int) -> Iterator[Frag]:
        """The first fragments of one kind, `limit` bytes of them at most; nothing is consumed."""
        if not self._queue or limit == 0:
            return
        kind = self._queue[0].unreadable
        for payload in self._queue:
            if payload.unreadable is not kind:
                return
            for frag in payload.frags:
                if frag.size >= limit:
                    yield frag if frag.size == limit else Frag(frag.netmem, frag.offset, limit)
                    return
                limit -= frag.size
                yield frag

    def consume(self, count: int) -> None:
        """Drop the first `count` bytes and the references on what is used up."""
        self.length -= count
        while count:
            head = self._queue[0]
            if len(head) > count:
                self._queue[0] = head.slice(count, len(head))
                head.release()
                return
            count -= len(head)
            self._queue.popleft().release()

    def release_all(self) -> None:
        while self._queue:
            self._queue.popleft().release()
        self.length = 0

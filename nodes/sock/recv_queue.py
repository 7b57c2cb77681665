"""The receive queue: payload that arrived in order and was not read (sk_receive_queue).

In: payloads from TCP, owned from then on. Out: fragments of one kind; their references stay the queue's until
the bytes are consumed. There are two kinds, readable and unreadable, which are never joined
(skb_try_coalesce).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from nodes.skb import Frag, Frags


class RecvQueue:
    def __init__(self) -> None:
        self._queue: deque[Frags] = deque()
        self.length = 0
        self.total = 0  # bytes that were ever appended
        self.fragments = 0  # in all payloads together
        self._boundaries = 0  # between payloads of different kinds
        self._linear = 0  # payloads with a linear part

    def append(self, payload: Frags) -> None:
        queue = self._queue
        if queue and queue[-1].unreadable is not payload.unreadable:
            self._boundaries += 1
        self._linear += payload.linear
        self.fragments += len(payload.frags)
        self.length += len(payload)
        self.total += len(payload)
        queue.append(payload)

    @property
    def unreadable(self) -> bool:
        """Whether the first payload is unreadable. The queue must not be empty."""
        return self._queue[0].unreadable

    @property
    def mixed(self) -> bool:
        """Whether the queue holds both kinds."""
        return self._boundaries > 0

    @property
    def in_host_memory(self) -> bool:
        """Whether some bytes lie in host memory, and need a buffer to be copied to."""
        return self.length > 0 and (self._boundaries > 0 or self._linear > 0 or not self._queue[0].unreadable)

    def pieces(self, limit: int) -> Iterator[Frag]:
        """The first fragments, all of one kind and at most `limit` bytes; they are not consumed."""
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
        """Drop the first `count` bytes, and the references of payloads that are used up."""
        queue = self._queue
        self.length -= count
        while count:
            head = queue[0]
            self.fragments -= len(head.frags)
            self._linear -= head.linear
            if len(head) > count:
                rest = queue[0] = head.slice(count, len(head))
                self.fragments += len(rest.frags)
                self._linear += rest.linear
                head.release()
                return
            count -= len(head)
            queue.popleft()
            if queue and queue[0].unreadable is not head.unreadable:
                self._boundaries -= 1
            head.release()

    def release_all(self) -> None:
        while self._queue:
            self._queue.popleft().release()
        self.length = self.fragments = self._boundaries = self._linear = 0

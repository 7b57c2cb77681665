"""How much may be queued to send: what an application queued, and what was acknowledged, in; the room out.

The buffer begins at tcp_wmem's default and grows with cwnd, up to tcp_wmem's maximum, when it is what holds
the application back; SO_SNDBUF locks it. Owns SO_SNDBUF's size and the memory that is charged to the socket.
net/ipv4/tcp_input.c tcp_sndbuf_expand, tcp_should_expand_sndbuf, tcp_new_space; include/net/sock.h
sk_stream_memory_free, sk_stream_min_wspace; net/ipv4/tcp.c tcp_sendmsg_locked.
"""

from __future__ import annotations

from typing import Final

# Of a 64-bit kernel as distributions build it.
MAX_TCP_HEADER: Final = 320
_SK_BUFF: Final = 256  # struct sk_buff, in whole cache lines
_SHARED_INFO: Final = 320  # struct skb_shared_info
SKB_BYTES: Final = MAX_TCP_HEADER + _SK_BUFF + _SHARED_INFO  # what an skb takes besides its payload
_PAGE_BYTES: Final = 4096  # PAGE_SIZE
_FRAGS_MAX: Final = 17  # MAX_SKB_FRAGS
_SEGMENTS_MIN: Final = 10  # TCP_INIT_CWND
_CUSHION: Final = 2  # cwnds: one is in flight while the application fills the next


def size_for(cwnd_segments: int, mss: int) -> int:
    """The buffer for a window of `cwnd_segments`, had each of them an skb with a head of its own."""
    head = 1 << (mss + MAX_TCP_HEADER + _SHARED_INFO - 1).bit_length()  # kmalloc's sizes are powers of two
    return _CUSHION * max(_SEGMENTS_MIN, cwnd_segments) * (head + _SK_BUFF)


class SendBuffer:
    """Bytes; stream offsets count from the first byte. `max_bytes`: tcp_wmem's maximum; 0: the size is
    locked."""

    __slots__ = (
        "_charged", "_nospace_acked", "_overhead", "_skb_bytes", "_skb_frags", "accepted_bytes", "max_bytes",
        "nospace", "size",
    )  # fmt: skip

    def __init__(self, size: int, max_bytes: int = 0) -> None:
        self.size = size  # sk_sndbuf
        self.max_bytes = max_bytes
        self.accepted_bytes = 0  # that the application has queued since the start
        self.nospace = False  # the application waits for room (SOCK_NOSPACE)
        self._nospace_acked = 0  # what was acknowledged when it last found none
        # What is charged beyond the payload: up to which offset, how much. A list: an empty deque is large.
        self._charged: list[tuple[int, int]] = []
        self._overhead = 0
        self._skb_bytes = self._skb_frags = 0  # of the last skb

    def lock(self, size: int) -> None:
        """SO_SNDBUF."""
        self.size = size
        self.max_bytes = 0

    def charge(self, length: int, truesize: int, tail: int, size_goal: int) -> None:
        """`length` payload bytes were queued, which keep `truesize` bytes of memory. They are the last of
        `tail` bytes that were not sent, and lie in skbs of `size_goal` payload bytes. An skb has _FRAGS_MAX
        pages of device memory at most, so it may be full before."""
        self.accepted_bytes += length
        begun, frags = self._last_skb(tail - length)
        filled = begun + length
        if truesize != length:
            frags += truesize // _PAGE_BYTES
        before = max(-(-filled // size_goal), -(-frags // _FRAGS_MAX)) - 1  # skbs that are full by now
        self._skb_bytes = max(1, filled - before * size_goal)
        self._skb_frags = max(min(frags, 1), frags - before * _FRAGS_MAX)
        overhead = truesize - length + (before + (not begun)) * SKB_BYTES
        if overhead:
            self._overhead += overhead
            self._charged.append((self.accepted_bytes, overhead))

    def wmem_queued(self, acked: int) -> int:
        """The memory of what is queued or in flight, when `acked` bytes are acknowledged (sk_wmem_queued)."""
        charged = self._charged
        while charged and charged[0][0] <= acked:
            self._overhead -= charged.pop(0)[1]
        return self.accepted_bytes - acked + self._overhead

    def room(self, acked: int, tail: int, size_goal: int) -> int:
        """The bytes that may be queued now. The last skb, which holds `tail` bytes, is filled to `size_goal`
        whatever the size; another skb is begun, and then filled, while less than the size is charged."""
        begun, frags = self._last_skb(tail)
        rest = size_goal - begun if begun else 0
        if frags:
            rest = max(0, min(rest, (_FRAGS_MAX - 1 - frags) * _PAGE_BYTES))  # they may begin within a page
        free = self.size - self.wmem_queued(acked) - rest
        if free > 0:
            rest += -(-free // (size_goal + SKB_BYTES)) * size_goal
        return rest

    def _last_skb(self, tail: int) -> tuple[int, int]:
        """Payload bytes and pages of device memory in the last skb, of which the first bytes may have been
        sent: `tail` bytes were not."""
        if tail < self._skb_bytes:
            return tail, min(self._skb_frags, 1)
        return self._skb_bytes, self._skb_frags

    def writable(self, acked: int) -> bool:
        """Whether a process that polls should write: a third is free (sk_stream_is_writeable)."""
        queued = self.wmem_queued(acked)
        return self.size - queued >= queued >> 1

    def on_nospace(self, acked: int) -> None:
        """The application found no room."""
        self.nospace = True
        self._nospace_acked = acked

    def on_check(self, acked: int, cwnd_limited: bool, size: int) -> None:
        """The application, which found no room, looks again: the buffer grows to `size` if something was
        acknowledged meanwhile, unless cwnd limits the flight and not the buffer (tcp_new_space)."""
        if acked > self._nospace_acked and not cwnd_limited:
            self.expand(size)
        self._nospace_acked = acked

    def expand(self, size: int) -> None:
        """tcp_sndbuf_expand: grow to `size`, if the size is not locked."""
        if self.size < size and self.max_bytes:
            self.size = max(self.size, min(size, self.max_bytes))

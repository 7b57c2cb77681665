"""How large a receive window may be: what arrived and what the application read in, the window to offer out.

Dynamic right-sizing: the buffer begins at tcp_rmem's default and grows as the application reads, up to
tcp_rmem's maximum; SO_RCVBUF locks it. The window is the payload's share of the buffer (scaling_ratio): a
half at first, then what it was in the first full segment. Owns SO_RCVBUF's size, the ratio, window_clamp,
rcv_ssthresh and rcvq_space. net/ipv4/tcp_input.c tcp_init_buffer_space, tcp_measure_rcv_mss, tcp_grow_window,
tcp_rcv_rtt_measure, tcp_rcv_rtt_measure_ts, tcp_rcv_space_adjust, tcp_clamp_window; net/ipv4/tcp.c
tcp_set_window_clamp; net/ipv4/tcp_output.c tcp_select_initial_window, __tcp_select_window.
"""

from __future__ import annotations

from typing import Final

INIT_WINDOW_SEGMENTS = 10  # TCP_INIT_CWND: what the application is first expected to read in a round trip
_GROWS_FROM: Final = 128  # bytes: smaller segments carry more overhead than payload
_FLOOR_SEGMENTS = 4  # to which the window may grow again when memory is short (tcp_adjust_rcv_ssthresh)
_RTT_MIN_S = 1e-6
_RATIO_SHIFT: Final = 8  # TCP_RMEM_TO_WIN_SCALE
_DEFAULT_RATIO: Final = 128  # TCP_DEFAULT_SCALING_RATIO
# What an skb takes beside its payload: struct sk_buff, struct skb_shared_info and a buffer for headers.
SKB_OVERHEAD_BYTES = 896
_CLAMP_MIN = 1152  # SOCK_MIN_RCVBUF / 2
_FORGET_S = 2.0  # after which a window that was too large for the memory may double


def initial_window(size: int, mss: int) -> int:
    """The window of our SYN: whole segments, and unscaled."""
    space = size * _DEFAULT_RATIO >> _RATIO_SHIFT
    return min(space // mss * mss if space > mss else space, 65535)


class ReceiveBuffer:
    """Bytes and monotonic seconds. `max_bytes`: tcp_rmem's maximum; 0: the size is locked."""

    __slots__ = (
        "_advmss", "_copied", "_copied_since", "_rtt_began_at", "_short_at", "_short_clamp", "_window_max",
        "max_bytes", "rcv_space", "rcv_ssthresh", "rtt_end", "rtt_s", "scaling_ratio", "size", "window_clamp",
    )  # fmt: skip

    def __init__(self, size: int, max_bytes: int = 0) -> None:
        self.size = size  # sk_rcvbuf
        self.max_bytes = max_bytes
        self.scaling_ratio = _DEFAULT_RATIO  # payload in 256 bytes of memory
        self.window_clamp = self.full_space  # the window never exceeds it
        self.rcv_ssthresh = initial_window(size, 536)  # what the window may be now
        self.rcv_space = 0  # what the application reads in a round trip (rcvq_space.space)
        self.rtt_s = 0.0  # at first the handshake's; 0: not measured yet
        self.rtt_end = 0  # a sequence number: when it has come, a window has come
        self._rtt_began_at = -1.0
        self._copied = 0  # bytes read since _copied_since
        self._copied_since = 0.0
        self._short_clamp = 0  # window_clamp when memory was short last, 0: never; and when it was read after
        self._short_at = -1.0
        self._advmss = 536
        self._window_max = 65535

    @property
    def full_space(self) -> int:
        """The payload for which there is room when nothing is queued."""
        return self.size * self.scaling_ratio >> _RATIO_SHIFT

    def learn_ratio(self, length: int, buffer_bytes: int, promised: int) -> None:
        """A segment of `length` bytes lies in `buffer_bytes`: the window may be the same part of the memory.
        `promised`: the window that was advertised last (tcp_measure_rcv_mss, tcp_set_window_clamp)."""
        before = self.scaling_ratio
        self.scaling_ratio = max(1, (length << _RATIO_SHIFT) // (buffer_bytes + SKB_OVERHEAD_BYTES))
        if self.scaling_ratio == before:
            return
        clamp = min(max(self.full_space, _CLAMP_MIN), self._window_max)
        if self._short_clamp:
            clamp = min(clamp, self.window_clamp)
        if clamp < self.window_clamp:
            self.rcv_ssthresh = min(self.rcv_ssthresh, clamp)
        else:
            self.rcv_ssthresh = max(self.rcv_ssthresh, min(promised, clamp))
        self.window_clamp = clamp
        self.rcv_space = min(self.rcv_space, clamp)

    def on_established(self, advmss: int, window: int, rcv_wscale: int, now: float) -> None:
        """The handshake is complete: `advmss` payload bytes fit a packet to us, `window` was promised
        (tcp_init_buffer_space)."""
        self._advmss = advmss
        self._window_max = 65535 << rcv_wscale
        self._copied_since = now
        full = self.full_space
        # One segment is kept in reserve.
        clamp = max(2 * advmss, full - advmss) if full > 2 * advmss else full
        self.window_clamp = min(clamp, self._window_max)
        self.rcv_ssthresh = min(window, self.window_clamp)
        self.rcv_space = min(self.rcv_ssthresh, INIT_WINDOW_SEGMENTS * advmss)

    def lock(self, size: int) -> None:
        """SO_RCVBUF. Of an established connection window_clamp stays, so that a smaller size takes effect and
        a larger one does not widen the window; a size set before the handshake does both."""
        self.size = size
        self.max_bytes = 0

    def grow_window(self, length: int, unread: int) -> bool:
        """A segment of `length` bytes came: the window may grow by twice as much (tcp_grow_window). Returns
        whether it was so small that the peer should know at once."""
        room = min(self.window_clamp, self.full_space - unread) - self.rcv_ssthresh
        if length < _GROWS_FROM or room <= 0:
            return False
        before = self.rcv_ssthresh
        self.rcv_ssthresh += min(room, 2 * max(length, self._advmss))
        return before < _FLOOR_SEGMENTS * self._advmss

    def measure_rtt(self, rcv_nxt: int, window: int, now: float) -> None:
        """A whole window came since the last measurement, so a round trip took at most as long
        (tcp_rcv_rtt_measure). `window`: what was offered last."""
        if self._rtt_began_at >= 0:
            sample = max(now - self._rtt_began_at, _RTT_MIN_S)
            self.rtt_s = min(self.rtt_s, sample) if self.rtt_s else sample
        self.rtt_end = rcv_nxt + window
        self._rtt_began_at = now

    def measure_rtt_by_timestamp(self, sample_s: float) -> None:
        """A full segment echoes a timestamp that is so old: a shorter round trip holds at once, a longer one
        by an eighth, so that a queue which has formed is seen (tcp_rcv_rtt_measure_ts,
        tcp_rcv_rtt_update)."""
        before = self.rtt_s
        is_less = not before or sample_s < before
        self.rtt_s = sample_s if is_less else before + (sample_s - before) / 8

    def on_read(self, count: int, ofo_bytes: int, now: float) -> None:
        """The application took `count` bytes; `ofo_bytes` beyond rcv_nxt wait for a hole to close. Once in a
        round trip the buffer may grow (tcp_rcv_space_adjust)."""
        self._copied += count
        if not self.rtt_s or now - self._copied_since < self.rtt_s:
            return
        if self._copied > self.rcv_space:
            self._grow(self._copied, ofo_bytes, now)
        self._copied, self._copied_since = 0, now

    def _grow(self, copied: int, ofo_bytes: int, now: float) -> None:
        """tcp_rcvbuf_grow: what is read now was sent a round trip ago, and in slow start the sender has
        doubled its rate since."""
        before, self.rcv_space = max(self.rcv_space, 1), copied
        if not self.max_bytes:
            return
        window = 2 * copied
        window += 2 * (window * (copied - before) // before) + ofo_bytes
        size = min((window << _RATIO_SHIFT) // self.scaling_ratio, self.max_bytes)
        self.size = max(self.size, size)
        clamp = min(size * self.scaling_ratio >> _RATIO_SHIFT, self._window_max)
        if self._short_clamp:
            if self._short_at < 0:
                self._short_at = now
            clamp = min(clamp, int(self._short_clamp * (1 + (now - self._short_at) / _FORGET_S)))
        self.window_clamp = max(self.window_clamp, clamp)

    def on_memory_short(self, segments: int, held: int) -> None:
        """The rx queue that fills this buffer has run short while `held` bytes were in it: offer `segments`,
        then no more than was found to fit, and grow again slowly as the application reads (tcp_clamp_window,
        tcp_adjust_rcv_ssthresh; Linux forgets at once)."""
        self.rcv_ssthresh = min(self.rcv_ssthresh, segments * self._advmss)
        if self.max_bytes:
            self.window_clamp = min(self.window_clamp, max(held, _FLOOR_SEGMENTS * self._advmss))
            self.rcv_space = min(self.rcv_space, self.window_clamp)
            self._short_clamp, self._short_at = self.window_clamp, -1.0

    def select(self, unread: int, mss: int, current: int, wscale: int) -> int:
        """The window to offer, in bytes, where `current` is what is still promised (__tcp_select_window)."""
        full = min(self.window_clamp, self.full_space)
        mss = min(mss, full)
        # Where memory was short, what is unread counts against what was found to fit.
        free = (full if self._short_clamp else self.full_space) - unread
        if free < full >> 1:
            free = free >> wscale << wscale
            if free < full >> 4 or free < mss:
                return 0  # the silly window syndrome
        free = min(free, self.rcv_ssthresh)
        if wscale or current <= free - mss or current > free:
            return free if wscale else free // mss * mss
        return free if mss == full and free > current + (full >> 1) else current

"""Proportional Rate Reduction: bytes delivered and sent during recovery in, cwnd out.

RFC 9937; net/ipv4/tcp_input.c tcp_cwnd_reduction. Owns the counts of one
recovery episode. cwnd falls with every delivery and not at once, so an ACK always lets a segment leave.
"""

from __future__ import annotations


class ProportionalRate:
    """One recovery episode. All values in bytes; the names are the RFC's."""

    __slots__ = (
        "_first", "_last_total", "_last_una", "_prr_delivered", "_prr_out", "_recover_fs", "new_loss",
    )  # fmt: skip

    def __init__(self, recover_fs: int, snd_una: int, total_delivered: int) -> None:
        """`total_delivered`: what `cwnd` is told, but when segments could last be sent. What ACKs delivered
        since then counts, since none of them could let a segment leave."""
        self._recover_fs = max(1, recover_fs)  # in flight when the episode began
        self._last_total = total_delivered
        self._last_una = snd_una
        self.new_loss = True  # a loss was detected since the last call of `cwnd`
        self._first = True
        self._prr_delivered = 0
        self._prr_out = 0

    def on_bytes_sent(self, count: int) -> None:
        """`count` bytes were sent or retransmitted."""
        self._prr_out += count

    def cwnd(self, total_delivered: int, snd_una: int, in_flight: int, ssthresh: int, mss: int) -> int | None:
        """The new cwnd, or None when nothing was delivered since the last call.

        `total_delivered`: since the connection began. The first call counts at least one segment: a timer may
        have found the loss.
        """
        delivered = total_delivered - self._last_total
        if self._first:
            self._first, delivered = False, max(delivered, mss)
        if delivered <= 0:
            return None
        self._last_total = total_delivered
        self._prr_delivered += delivered
        if in_flight > ssthresh:
            sndcnt = -(-self._prr_delivered * ssthresh // self._recover_fs) - self._prr_out
        else:
            sndcnt = max(self._prr_delivered - self._prr_out, delivered)
            if snd_una > self._last_una and not self.new_loss:
                sndcnt += mss  # SafeACK: the retransmissions arrive, slow start may go on to ssthresh
            sndcnt = min(ssthresh - in_flight, sndcnt)
        self._last_una, self.new_loss = snd_una, False
        return in_flight + max(sndcnt, 0 if self._prr_out else mss)

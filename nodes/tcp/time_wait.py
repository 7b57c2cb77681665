"""Segments of a connection that is over in; an ACK now and then out. Owns what TIME-WAIT must remember.

RFC 9293 section 3.10.7.4, RFC 6191, RFC 1337; net/ipv4/tcp_minisocks.c tcp_timewait_state_process. It has
the verbs of a connection, so whoever owns one may keep this alone and let the rest go.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from nodes.tcp.host import TcpHost
from nodes.tcp.segment import Segment
from nodes.tcp.seq import HALF, MASK, precedes
from nodes.tcp.stamp import stamp
from nodes.tcp.state import State
from nodes.wire.tcp import ACK, RST, SYN, TcpHeader

TIME_WAIT_S = 60.0
_ANSWER_EVERY_S = 0.5
_ISS_DISTANCE = 65535 + 2  # beyond any window of the old connection
_PAWS_IDLE_S = 24 * 86400.0
_PAWS_RESET_S = 60.0  # TCP_PAWS_MSL: for so long an old RST is a duplicate; later the peer may have rebooted


@dataclass(slots=True)
class Remains:
    """What the connection leaves behind; numbers as on the wire. `ts_recent` None: no timestamps."""

    ports: tuple[int, int]
    snd_nxt: int
    rcv_nxt: int
    window: int
    ts_recent: int | None


class TimeWait:
    """`state` is TIME_WAIT, then CLOSED."""

    __slots__ = ("_ack_due", "_answered_at", "_deadline", "_host", "_remains", "_ts_at", "state")

    def __init__(self, remains: Remains, host: TcpHost, now: float) -> None:
        self._remains = remains
        self._host = host
        self.state = State.TIME_WAIT
        self.restart(now)
        self._ts_at = now
        self._answered_at = -inf
        self._ack_due = False
        host.mib.TcpExtTW += 1

    def receive_segment(self, segment: Segment, now: float) -> None:
        """Take a segment and release its payload: nobody is left to read it."""
        header, length = segment.header, segment.length
        segment.drop()
        if self.state is not State.TIME_WAIT:
            return
        old = self._is_old(header, now)
        if not old and header.seq == self._remains.rcv_nxt and (length == 0 or header.flags & RST):
            self._in_order(header, now)
            return
        if old:
            self._host.mib.TcpExtPAWSTimewait += 1
        if header.flags & RST:
            return
        if old or header.flags & ACK:
            self.restart(now)
        self._answer(bool(length) and not header.flags & SYN, now)

    def restart(self, now: float) -> None:
        """The minute begins anew."""
        self._deadline = now + TIME_WAIT_S

    def _answer(self, owed: bool, now: float) -> None:
        """With an ACK, if that is `owed` (data or FIN are no part of a loop of ACKs) or none was sent lately
        (tcp_oow_rate_limited)."""
        if owed:
            self._ack_due = True
        elif now - self._answered_at >= _ANSWER_EVERY_S:
            self._answered_at = now
            self._ack_due = True
        else:
            self._host.mib.TcpExtTCPACKSkippedTimeWait += 1

    def _in_order(self, header: TcpHeader, now: float) -> None:
        if header.flags & RST:
            self.state = State.CLOSED
            return
        self.restart(now)
        if self._remains.ts_recent is not None and header.ts_val is not None:
            self._remains.ts_recent, self._ts_at = header.ts_val, now

    def _is_old(self, header: TcpHeader, now: float) -> bool:
        """RFC 7323 section 5.3 (tcp_paws_reject). A peer whose clock said 0 may have meant nothing by it."""
        recent, value = self._remains.ts_recent, header.ts_val
        if not recent or value is None or not precedes(value, recent):
            return False
        return now - self._ts_at < (_PAWS_RESET_S if header.flags & RST else _PAWS_IDLE_S)

    def reopens_at(self, syn: TcpHeader, now: float) -> int | None:
        """The ISS of a new connection that `syn` may open in our place (RFC 6191), or None: not this SYN."""
        remains = self._remains
        if syn.flags & (SYN | ACK | RST) != SYN or self._is_old(syn, now):
            return None
        newer = 0 < (syn.seq - remains.rcv_nxt & MASK) < HALF
        if remains.ts_recent is not None and syn.ts_val is not None:
            newer = newer or precedes(remains.ts_recent, syn.ts_val)
        if not newer:
            return None
        return remains.snd_nxt + _ISS_DISTANCE & MASK or 1

    def segments_to_send(self, now: float, limit: int = 64) -> list[Segment]:  # noqa: ARG002
        """The ACK that is due, if one is."""
        if not self._ack_due:
            return []
        self._ack_due = False
        remains = self._remains
        header = TcpHeader(*remains.ports, remains.snd_nxt, remains.rcv_nxt, ACK, remains.window)
        if remains.ts_recent is not None:
            header.ts_val, header.ts_ecr = stamp(now), remains.ts_recent
        self._host.mib.TcpOutSegs += 1
        return [Segment(header)]

    def next_timeout(self) -> float | None:
        """When handle_timeout should be called; None once it is over."""
        return self._deadline if self.state is State.TIME_WAIT else None

    def handle_timeout(self, now: float) -> None:
        """Over, if the time has come."""
        if now >= self._deadline:
            self.state = State.CLOSED

"""A connection in TIME-WAIT: segments in, an ACK now and then out.

RFC 9293 section 3.10.7.4, RFC 6191, RFC 1337; net/ipv4/tcp_minisocks.c tcp_timewait_state_process. Owns the
few numbers that TIME-WAIT needs. It has the segment and timer methods of a connection, so its owner can keep
this object and release the connection, as the kernel keeps a timewait socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from nodes.tcp.netns import TcpNetns
from nodes.tcp.segment import Segment
from nodes.tcp.seq import HALF, MASK, precedes, ts_val
from nodes.tcp.state import State
from nodes.wire.tcp import ACK, RST, SYN, TcpHeader

TIME_WAIT_S = 60.0  # TCP_TIMEWAIT_LEN
_OOW_RATELIMIT_S = 0.5  # sysctl tcp_invalid_ratelimit
_ISS_DISTANCE = 65535 + 2  # tcp_twsk_unique: beyond any window of the old connection
_PAWS_24DAYS_S = 24 * 86400.0  # TCP_PAWS_24DAYS
_PAWS_MSL_S = 60.0  # TCP_PAWS_MSL: until then an old RST is a duplicate; later the peer may have rebooted


@dataclass(slots=True)
class TimewaitTcb:
    """What is kept of the connection (struct tcp_timewait_sock); sequence numbers and window as in headers.
    `ts_recent` None: no timestamps."""

    ports: tuple[int, int]
    snd_nxt: int
    rcv_nxt: int
    window: int
    ts_recent: int | None


class TimeWait:
    """`state` is TIME_WAIT, then CLOSED. Times in monotonic seconds."""

    __slots__ = ("_ack_due", "_deadline", "_last_oow_ack_at", "_netns", "_tcb", "_ts_recent_at", "state")

    def __init__(self, tcb: TimewaitTcb, netns: TcpNetns, now: float) -> None:
        self._tcb = tcb
        self._netns = netns
        self.state = State.TIME_WAIT
        self.restart_timer(now)
        self._ts_recent_at = now
        self._last_oow_ack_at = -inf
        self._ack_due = False
        netns.mib.TcpExtTW += 1

    def receive_segment(self, segment: Segment, now: float) -> None:
        """Take a segment and release its payload: no process will read it."""
        header, length = segment.header, segment.length
        segment.drop()
        if self.state is not State.TIME_WAIT:
            return
        old = self._fails_paws(header, now)
        if not old and header.seq == self._tcb.rcv_nxt and (length == 0 or header.flags & RST):
            self._receive_in_order(header, now)
            return
        if old:
            self._netns.mib.TcpExtPAWSTimewait += 1
        if header.flags & RST:
            return
        if old or header.flags & ACK:
            self.restart_timer(now)
        self._send_ack(bool(length) and not header.flags & SYN, now)

    def restart_timer(self, now: float) -> None:
        """TIME_WAIT ends a minute from now."""
        self._deadline = now + TIME_WAIT_S

    def _send_ack(self, always: bool, now: float) -> None:
        """An ACK becomes due, at most one in _OOW_RATELIMIT_S seconds (tcp_oow_rate_limited). `always`: data
        and FIN are exempt, since they cannot be part of a loop of ACKs."""
        if always:
            self._ack_due = True
        elif now - self._last_oow_ack_at >= _OOW_RATELIMIT_S:
            self._last_oow_ack_at = now
            self._ack_due = True
        else:
            self._netns.mib.TcpExtTCPACKSkippedTimeWait += 1

    def _receive_in_order(self, header: TcpHeader, now: float) -> None:
        if header.flags & RST:
            self.state = State.CLOSED
            return
        self.restart_timer(now)
        if self._tcb.ts_recent is not None and header.ts_val is not None:
            self._tcb.ts_recent, self._ts_recent_at = header.ts_val, now

    def _fails_paws(self, header: TcpHeader, now: float) -> bool:
        """RFC 7323 section 5.3 (tcp_paws_reject). A TS.Recent of 0 tells nothing: some peers send 0 in their
        SYN and mean no time by it."""
        recent, value = self._tcb.ts_recent, header.ts_val
        if not recent or value is None or not precedes(value, recent):
            return False
        return now - self._ts_recent_at < (_PAWS_MSL_S if header.flags & RST else _PAWS_24DAYS_S)

    def iss_for_reopening(self, syn: TcpHeader, now: float) -> int | None:
        """The ISS of a new connection that `syn` may open in place of this one (RFC 6191), or None if this
        SYN may not."""
        tcb = self._tcb
        if syn.flags & (SYN | ACK | RST) != SYN or self._fails_paws(syn, now):
            return None
        newer = 0 < (syn.seq - tcb.rcv_nxt & MASK) < HALF
        if tcb.ts_recent is not None and syn.ts_val is not None:
            newer = newer or precedes(tcb.ts_recent, syn.ts_val)
        if not newer:
            return None
        return tcb.snd_nxt + _ISS_DISTANCE & MASK or 1

    def segments_to_send(self, now: float, limit: int = 64) -> list[Segment]:  # noqa: ARG002
        """The ACK, if one is due."""
        if not self._ack_due:
            return []
        self._ack_due = False
        tcb = self._tcb
        header = TcpHeader(*tcb.ports, tcb.snd_nxt, tcb.rcv_nxt, ACK, tcb.window)
        if tcb.ts_recent is not None:
            header.ts_val, header.ts_ecr = ts_val(now), tcb.ts_recent
        self._netns.mib.TcpOutSegs += 1
        return [Segment(header)]

    def next_timeout(self) -> float | None:
        """When handle_timeout should be called; None once TIME_WAIT is over."""
        return self._deadline if self.state is State.TIME_WAIT else None

    def handle_timeout(self, now: float) -> None:
        """TIME_WAIT is over if its minute has passed."""
        if now >= self._deadline:
            self.state = State.CLOSED

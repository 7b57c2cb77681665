"""The sender's timers: retransmission and tail loss probe here, RACK, persist and pacing in their parts.

RFC 6298 section 5, RFC 8985 section 7.2, RFC 9293 section 3.8.3 (user timeout); net/ipv4/tcp_timer.c
tcp_write_timer, tcp_retransmit_timer, tcp_probe_timer, net/ipv4/tcp_input.c tcp_rearm_rto. `now` flows in;
flags that `xmit` acts on, and whether to give up, flow out. Owns the retransmission timer and how long it has
waited.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.chrono import Limit
from nodes.tcp.mib import TcpMib
from nodes.tcp.recovery import Phase
from nodes.tcp.rtt import RTO_MAX_S
from nodes.tcp.sender import Sender

_THIN_RETRIES, _THIN_PACKETS = 6, 4  # TCP_THIN_LINEAR_RETRIES; at fewer packets in flight a stream is thin
RETRIES2 = 15  # sysctl tcp_retries2
ORPHAN_RETRIES = 8  # what tcp_orphan_retries makes of sysctl tcp_orphan_retries 0


class WriteTimer:
    """`at`: the deadline of the retransmission timer, or of the tail loss probe if that is sooner, which
    `is_tail_probe` says. inf: nothing is in flight."""

    __slots__ = (
        "_mib", "_persist", "_recovery", "_rtt", "_scoreboard", "_sender", "_tail_probe", "at",
        "busy_since", "is_tail_probe", "orphan", "retrans_stamp", "retransmits", "rto_stamp",
        "total_rto", "total_rto_recoveries", "total_rto_s",
    )  # fmt: skip

    def __init__(self, sender: Sender, mib: TcpMib) -> None:
        self._sender = sender
        self._scoreboard = sender.scoreboard
        self._recovery = sender.recovery
        self._rtt = sender.rtt
        self._persist = sender.persist
        self._tail_probe = sender.tail_probe
        self._mib = mib
        self.at = inf
        self.is_tail_probe = False
        self.orphan = False  # the application has closed
        self.retransmits = 0  # timeouts since the last new acknowledgement
        self.total_rto = self.total_rto_recoveries = 0
        self.total_rto_s = 0.0  # spent in recoveries from a timeout, the present one not included
        self.rto_stamp = -inf  # when the present one began; -inf without one
        self.retrans_stamp = 0.0  # when the first of these timeouts expired: TCP_USER_TIMEOUT counts from it
        self.busy_since = 0.0  # when data was last sent with nothing in flight

    def arm(self, now: float) -> None:
        """Restart the timer: data was sent, new data was acknowledged, or it expired (RFC 6298 section 5)."""
        self.is_tail_probe = False
        scoreboard = self._scoreboard
        if not scoreboard.segments:
            self.at = inf
            if not self._sender.queue.bytes:
                self._sender.chrono.set(Limit.IDLE, now)
            return
        sender, timeout = self._sender, self._rtt.rto
        if self._may_probe_tail():
            self.is_tail_probe = True
            pto = self._tail_probe.timeout(self._rtt.srtt, sender.snd_nxt - sender.snd_una <= sender.mss)
            if pto < timeout:
                timeout = pto
        self.at = now + timeout
        if sender.user_timeout_s and self.retransmits:
            self.at = min(self.at, max(now, self.retrans_stamp + sender.user_timeout_s))

    def arm_tail_probe(self, now: float) -> None:
        """New data was sent behind other data: the probe waits for its ACK, but no longer than RTO from when
        the first segment left (tcp_schedule_loss_probe)."""
        if not self._may_probe_tail():
            return
        rtt = self._rtt
        at = now + self._tail_probe.timeout(rtt.srtt, False)
        rto_at = self._scoreboard.segments[0].sent_at + rtt.rto
        self.at = rto_at if now < rto_at < at else at
        self.is_tail_probe = True

    def _may_probe_tail(self) -> bool:
        return (
            self._recovery.phase is Phase.OPEN
            and not self._tail_probe.end_seq
            and not self._scoreboard.sacked_bytes
            and self._sender.sack_permitted
        )

    def end_rto(self, now: float) -> None:
        """If the recovery from a timeout is over, note how long it took (tcp_update_rto_time)."""
        if self.rto_stamp != -inf and self._recovery.phase is not Phase.LOSS:
            self.total_rto_s += now - self.rto_stamp
            self.rto_stamp = -inf

    def stop(self) -> None:
        """The connection is over."""
        self.at = inf

    def next_timeout(self) -> float:
        """The earliest deadline of all the sender's timers; inf without one."""
        at, pacer = self.at, self._sender.pacer
        if pacer is not None and pacer.wake_at < at:
            at = pacer.wake_at
        if self._recovery.reo_timeout_at < at:
            at = self._recovery.reo_timeout_at
        persist_at = self._persist.at
        return at if at < persist_at else persist_at

    def handle_timeout(self, now: float) -> bool:
        """Act on every deadline that has passed. False: the peer does not answer, the connection ends."""
        sender = self._sender
        if sender.pacer is not None and sender.pacer.wake_at <= now:
            sender.pacer.wake_at = inf
        if self._recovery.reo_timeout_at <= now:
            self._recovery.detect_losses(now, sender.snd_nxt)
        if self._persist.at <= now:
            return self._on_persist_timeout(now)
        if self.at > now or not self._scoreboard.segments:
            return True
        if self.is_tail_probe:
            self._mib.TcpExtTCPLossProbes += 1
            self._tail_probe.due = True
            self._tail_probe.end_seq = sender.snd_nxt
            self.arm(now)
            return True
        return self._on_retransmission_timeout(now)

    def _on_retransmission_timeout(self, now: float) -> bool:
        sender = self._sender
        if not self.retransmits:
            self.retrans_stamp = now
        retries_max = self._retries_max(self._rtt.rto)
        overdue = self.retransmits and self._user_timeout_over(now, self.retrans_stamp)
        if self.retransmits >= retries_max or overdue:
            return False
        self._mib.TcpExtTCPTimeouts += 1
        if not self.retransmits:
            self.total_rto_recoveries += 1
            self.rto_stamp = now
        self.total_rto += 1
        self.retransmits += 1
        self._tail_probe.reset()
        self._recovery.on_retransmission_timeout(now, sender.snd_nxt, sender.mss)
        if self._is_thin() and self.retransmits <= _THIN_RETRIES:
            self._rtt.backoff = 0
        else:
            self._rtt.backoff += 1
        if sender.pacer is not None:
            sender.pacer.timed_out = True
        self.arm(now)
        return True

    def _on_persist_timeout(self, now: float) -> bool:
        sender, persist = self._sender, self._persist
        probes_max = self._retries_max(persist.interval(self._rtt.rto))
        if persist.probes_out >= probes_max or self._user_timeout_over(now, persist.started_at):
            return False
        if sender.snd_wnd > sender.snd_nxt - sender.snd_una:
            sender.push_seq = sender.snd_nxt + 1  # RFC 9293 section 3.8.6.2.1, rule 4: the window is small
        else:
            persist.probe_due = True
            persist.probes_out += 1
        persist.back_off(now, self._rtt.rto)
        return True

    def _is_thin(self) -> bool:
        """Whether TCP_THIN_LINEAR_TIMEOUTS applies: fewer than four packets are in flight
        (tcp_stream_is_thin)."""
        sender = self._sender
        return sender.thin_linear_timeouts and self._scoreboard.packets(sender.mss)[0] < _THIN_PACKETS

    def _retries_max(self, timeout_s: float) -> int:
        """tcp_orphan_retries: no process waits for an orphan, so it gives up sooner; at once when its timeout
        has reached the maximum."""
        if not self.orphan:
            return RETRIES2
        return ORPHAN_RETRIES if timeout_s < RTO_MAX_S else 0

    def _user_timeout_over(self, now: float, since: float) -> bool:
        timeout_s = self._sender.user_timeout_s
        return timeout_s > 0 and now >= since + timeout_s

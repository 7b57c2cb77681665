"""A segment's numbers in; whether its ACK and payload may be processed, and whether an ACK answers it, out.

RFC 9293 section 3.10.7.4 (first), RFC 7323 section 5.3 (PAWS), RFC 5961 (challenge ACK); net/ipv4/tcp_input.c
tcp_validate_incoming. Owns when the peer's last segment came, and when a segment out of the window was last
answered.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.netns import TcpNetns
from nodes.tcp.receiver import Receiver
from nodes.tcp.segment import Segment
from nodes.tcp.seq import precedes
from nodes.wire.tcp import FIN, RST, SYN

# sysctl tcp_invalid_ratelimit: two ends that disagree must not answer each other's ACKs for ever.
_INVALID_RATELIMIT_S = 0.5
# Window and keepalive probes come at least 200 ms apart, and a peer that sends one waits for the ACK.
_PROBE_RATELIMIT_S = 0.1
_PAWS_24DAYS_S = 24 * 86400.0  # TCP_PAWS_24DAYS: after so long the peer's timestamp clock may have wrapped


class Validate:
    """The first tests of every segment that header prediction did not take. `rcv_tstamp`: when the peer's
    last valid segment came, monotonic seconds."""

    __slots__ = ("_last_oow_ack_at", "_netns", "_receiver", "rcv_tstamp")

    def __init__(self, receiver: Receiver, netns: TcpNetns, now: float) -> None:
        self._receiver = receiver
        self._netns = netns
        self._last_oow_ack_at = -inf  # last_oow_ack_time: of the last rate-limited ACK
        self.rcv_tstamp = now

    def validate_incoming(self, segment: Segment, seq: int, flags: int, now: float) -> bool:
        """PAWS, then the window test. False: the segment is dropped, and an ACK may have become due."""
        payload = segment.payload
        length = (0 if payload is None else len(payload)) + (flags & FIN)
        return self._passes_paws(segment, seq, length, flags, now) and self._is_in_window(
            seq, length, flags, now
        )

    def _passes_paws(self, segment: Segment, seq: int, length: int, flags: int, now: float) -> bool:
        """RFC 7323 section 5.3; sets TS.Recent (section 4.3)."""
        receiver, ts_val = self._receiver, segment.header.ts_val
        if not receiver.timestamps or ts_val is None or flags & RST:
            return True
        recent = receiver.ts_recent  # some peers send 0 in their SYN and mean no time by it
        if recent and precedes(ts_val, recent) and now - self.rcv_tstamp < _PAWS_24DAYS_S:
            self._netns.mib.TcpExtPAWSEstab += 1
            if flags & SYN:
                self.send_challenge_ack(now)
            elif length:  # a bare ACK that was overtaken is not answered: it reports nothing that is lost
                self._send_dupack(now, _PROBE_RATELIMIT_S)
            return False
        last_ack_sent = receiver.last_ack_sent
        if seq <= last_ack_sent and seq + length >= last_ack_sent and not flags & SYN:
            receiver.ts_recent = ts_val
        return True

    def _is_in_window(self, seq: int, length: int, flags: int, now: float) -> bool:
        """RFC 9293 section 3.10.7.4, first (tcp_sequence). Segments outside are answered."""
        receiver = self._receiver
        nxt = receiver.rcv_nxt
        if length == 0:
            inside = nxt <= seq <= max(nxt, receiver.rcv_adv)
        else:
            inside = seq + length > nxt and (seq < receiver.rcv_adv or seq == nxt)
            if seq == receiver.rcv_adv and receiver.fin_received and not receiver.unread_bytes:
                inside = True  # at the edge exactly; behind the peer's FIN it will be ignored
            # The FIN may reach beyond the window, since some peers do not count it.
            if inside and seq + length - (flags & FIN) > receiver.rcv_adv and receiver.unread_bytes:
                self._netns.mib.TcpExtBeyondWindow += 1
                inside = False
        if inside or flags & RST:
            if inside and not flags & (RST | SYN):
                self.rcv_tstamp = now
            return inside
        if flags & SYN:
            return True  # a SYN is answered as a SYN wherever it is (RFC 5961 section 4.2)
        if length == 0:
            is_probe = seq == nxt - 1  # a window or keepalive probe: the peer waits for the ACK
            if is_probe:
                self.rcv_tstamp = now
            self._send_dupack(now, _PROBE_RATELIMIT_S if is_probe else _INVALID_RATELIMIT_S)
            return False
        if seq < nxt:
            receiver.on_duplicate(seq, seq + length)  # a FIN has its number, too
        receiver.ack_due = True
        return False

    def send_challenge_ack(self, now: float) -> None:
        """An ACK becomes due that shows the peer our numbers, within two rate limits: this connection's and
        the host's (RFC 5961 section 7; tcp_send_challenge_ack)."""
        if now - self._last_oow_ack_at < _INVALID_RATELIMIT_S:
            self._netns.mib.TcpExtTCPACKSkippedChallenge += 1
        elif self._netns.may_send_challenge_ack(now):
            self._netns.mib.TcpExtTCPChallengeACK += 1
            self._last_oow_ack_at = now
            self._receiver.ack_due = True

    def _send_dupack(self, now: float, ratelimit_s: float) -> None:
        """An ACK becomes due, at most one in `ratelimit_s` seconds (tcp_oow_rate_limited)."""
        if now - self._last_oow_ack_at >= ratelimit_s:
            self._last_oow_ack_at = now
            self._receiver.ack_due = True

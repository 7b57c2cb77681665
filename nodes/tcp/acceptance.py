"""A segment's numbers in; whether it may be looked at, and whether that asks for an ACK, out.

RFC 9293 section 3.10.7.4 (first), RFC 7323 section 5.3 (PAWS), RFC 5961 (challenge ACK); net/ipv4/tcp_input.c
tcp_validate_incoming. Owns when the peer was heard last and when it was answered last.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.emission import Emitter
from nodes.tcp.host import TcpHost
from nodes.tcp.receiver import Receiver
from nodes.tcp.segment import Segment
from nodes.tcp.seq import precedes
from nodes.wire.tcp import FIN, RST, SYN

_CHALLENGE_EVERY_S = 0.5  # tcp_invalid_ratelimit: two confused ends must not answer each other for ever
_PROBE_ANSWER_EVERY_S = 0.1  # probes come at least 200 ms apart, and a stall hangs on the answer
_PAWS_IDLE_S = 24 * 86400.0  # after so long without a word the timestamp clock may have wrapped


class Acceptance:
    """The first tests of every segment that header prediction did not take."""

    __slots__ = ("_answered_at", "_host", "emitter", "heard_at", "receiver")

    def __init__(self, emitter: Emitter, receiver: Receiver, host: TcpHost, now: float) -> None:
        self.emitter = emitter
        self.receiver = receiver
        self._host = host
        self._answered_at = -inf
        self.heard_at = now

    def accepts(self, segment: Segment, seq: int, flags: int, now: float) -> bool:
        """The timestamp test and the window test; answers what fails them."""
        payload = segment.payload
        length = (0 if payload is None else len(payload)) + (flags & FIN)
        return self._is_recent(segment, seq, length, flags, now) and self._is_inside(seq, length, flags, now)

    def _is_recent(self, segment: Segment, seq: int, length: int, flags: int, now: float) -> bool:
        emitter, ts_val = self.emitter, segment.header.ts_val
        if not emitter.timestamps or ts_val is None or flags & RST:
            return True
        recent = emitter.ts_recent  # of 0 some peers mean nothing, though they say it in a SYN
        if recent and precedes(ts_val, recent) and now - self.heard_at < _PAWS_IDLE_S:
            self._host.mib.TcpExtPAWSEstab += 1
            if flags & SYN:
                self.challenge(now)
            elif length:  # a bare ACK that was overtaken says nothing new: no answer
                self._answer(now, _PROBE_ANSWER_EVERY_S)
            return False
        acked = self.receiver.acked
        if seq <= acked and seq + length >= acked and not flags & SYN:
            emitter.ts_recent = ts_val
        return True

    def _is_inside(self, seq: int, length: int, flags: int, now: float) -> bool:
        receiver = self.receiver
        nxt = receiver.rcv_nxt
        if length == 0:
            inside = nxt <= seq <= max(nxt, receiver.rcv_adv)
        else:
            inside = seq + length > nxt and (seq < receiver.rcv_adv or seq == nxt)
        if inside or flags & RST:
            if inside and not flags & (RST | SYN):
                self.heard_at = now
            return inside
        if flags & SYN:
            return True  # wherever it lies, it is answered as a SYN (RFC 5961 section 4.2)
        if length == 0:
            probe = seq == nxt - 1  # a window probe or keepalive: someone waits for the answer
            if probe:
                self.heard_at = now
            self._answer(now, _PROBE_ANSWER_EVERY_S if probe else _CHALLENGE_EVERY_S)
            return False
        if seq < nxt and length > (flags & FIN):
            receiver.duplicate = (seq, min(nxt, seq + length - (flags & FIN)))
        receiver.ack_due = True
        return False

    def challenge(self, now: float) -> None:
        """An ACK that says where we stand, to whoever claims something odd (RFC 5961 section 7)."""
        if now - self._answered_at < _CHALLENGE_EVERY_S:
            self._host.mib.TcpExtTCPACKSkippedChallenge += 1
        elif self._host.may_challenge(now):
            self._host.mib.TcpExtTCPChallengeACK += 1
            self._answered_at = now
            self.receiver.ack_due = True

    def _answer(self, now: float, every: float) -> None:
        if now - self._answered_at >= every:
            self._answered_at = now
            self.receiver.ack_due = True

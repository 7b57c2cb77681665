"""The tail loss probe that is in flight, and what an ACK says about it. Owns one probe at a time.

RFC 8985 section 7; net/ipv4/tcp_output.c tcp_send_loss_probe, net/ipv4/tcp_input.c tcp_process_tlp_ack.
"""

from __future__ import annotations

_MAX_ACK_DELAY_S = 0.2  # section 7.2: how long a peer may delay the ACK of a single segment
_INITIAL_S = 1.0  # without a measured round trip
_MIN_S = 0.01  # added to 2 * SRTT: a peer that is a Python process can pause for as long as this


class TailProbe:
    """`due`: a probe should leave. `end_seq`: TLP.end_seq, SND.NXT after the probe was sent, 0 without
    one."""

    __slots__ = ("due", "end_seq", "is_retrans")

    def __init__(self) -> None:
        self.due = False
        self.end_seq = 0
        self.is_retrans = False  # TLP.is_retrans: the probe was a retransmission

    @staticmethod
    def timeout(srtt: float, single: bool) -> float:
        """Seconds to wait for an ACK before probing (section 7.2); `single`: one segment is in flight."""
        if not srtt:
            return _INITIAL_S
        return 2 * srtt + (_MAX_ACK_DELAY_S if single else _MIN_S)

    def on_probe_sent(self, end_seq: int, is_retrans: bool) -> None:
        """A probe has left; `end_seq`: SND.NXT after it."""
        self.due = False
        self.end_seq = end_seq
        self.is_retrans = is_retrans

    def reset(self) -> None:
        """No probe is in flight."""
        self.due = self.is_retrans = False
        self.end_seq = 0

    def on_ack_received(self, ack: int, snd_una_advanced: bool, bare_duplicate: bool) -> bool:
        """Section 7.4.2. True: the probe repaired a loss that no other mechanism detected.

        An ACK of exactly `end_seq` may be for the probe or for the segment that the probe repeated. A second
        such ACK means that both arrived, so nothing was lost.
        """
        if not self.end_seq or ack < self.end_seq:
            return False
        if not self.is_retrans or (ack == self.end_seq and bare_duplicate):
            self.reset()
        elif ack > self.end_seq and snd_una_advanced:
            self.reset()
            return True
        return False

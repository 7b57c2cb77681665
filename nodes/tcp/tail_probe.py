"""When the tail of what was sent was probed, and how that ended. Owns one probe at a time.

RFC 8985 section 7; net/ipv4/tcp_output.c tcp_send_loss_probe, tcp_input.c tcp_process_tlp_ack.
"""

from __future__ import annotations

_PEER_DELAY_S = 0.2  # how long a peer may sit on the ACK of a lone segment
_LEAST_S = 0.01  # a peer that is a Python process pauses this long for no reason at all


class TailProbe:
    """`due`: a probe should leave; `end` is snd_nxt when the probe that is out left, 0 for none."""

    __slots__ = ("due", "end", "resent")

    def __init__(self) -> None:
        self.due = False
        self.end = 0
        self.resent = False  # the probe was a retransmission

    @staticmethod
    def timeout(srtt: float, lone: bool) -> float:
        """Seconds to wait for an ACK before probing (section 7.2); `lone`: one segment is out."""
        return 2 * srtt + (_PEER_DELAY_S if lone else _LEAST_S)

    def sent(self, end: int, resent: bool) -> None:
        """A probe has left."""
        self.due = False
        self.end = end
        self.resent = resent

    def forget(self) -> None:
        """No probe is out."""
        self.due = self.resent = False
        self.end = 0

    def acknowledged(self, ack: int, snd_una_advanced: bool, bare_duplicate: bool) -> bool:
        """Section 7.4.2; True: the probe repaired a loss that nobody else saw.

        An ACK of just `end` comes for the probe or for what it copied; once more of it, and both arrived.
        """
        if not self.end or ack < self.end:
            return False
        if not self.resent or (ack == self.end and bare_duplicate):
            self.forget()
        elif ack > self.end and snd_una_advanced:
            self.forget()
            return True
        return False

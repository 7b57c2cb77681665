"""What all connections of one host share. Owns the counters and the budget of challenge ACKs.

RFC 5961 section 7; net/ipv4/tcp_input.c tcp_send_challenge_ack. The budget of a second is drawn anew each
second: an attacker who could count its answers would learn whether two others talk (CVE-2016-5696).
"""

from __future__ import annotations

import random

from nodes.tcp.mib import TcpMib

CHALLENGES_PER_S = 1000  # sysctl tcp_challenge_ack_limit


class TcpHost:
    """One for each host; connections reach it through their configuration."""

    __slots__ = ("_left", "_limit", "_random", "_second", "mib")

    def __init__(self, seed: int = 0, challenges_per_s: int = CHALLENGES_PER_S) -> None:
        self.mib = TcpMib()
        self._limit = challenges_per_s
        self._random = random.Random(seed)
        self._second = -1
        self._left = 0

    def may_challenge(self, now: float) -> bool:
        """Take one challenge ACK out of this second's budget; False when it is spent."""
        if int(now) != self._second:
            self._second = int(now)
            self._left = self._limit // 2 + self._random.randrange(max(1, self._limit))
        if self._left <= 0:
            self.mib.TcpExtTCPACKSkippedChallenge += 1
            return False
        self._left -= 1
        return True

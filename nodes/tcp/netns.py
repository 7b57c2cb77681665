"""TCP state that all connections of one host share: the counters and the budget of challenge ACKs.

The kernel keeps it for each network namespace: struct netns_ipv4 (include/net/netns/ipv4.h), used by
tcp_send_challenge_ack in net/ipv4/tcp_input.c. RFC 5961 section 7. The budget of every second is random: an
attacker who could count a host's challenge ACKs would learn whether two other hosts have a connection
(CVE-2016-5696).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from nodes.tcp.mib import TcpMib

CHALLENGE_ACK_LIMIT = 1000  # sysctl tcp_challenge_ack_limit, ACKs a second


@dataclass(frozen=True, slots=True)
class TcpMem:
    """Sysctls tcp_rmem and tcp_wmem: bytes of a socket's buffer, at least, at first and at most."""

    min: int
    default: int
    max: int


# Linux's maximum is 4 MiB. A stream with it was slower by a sixth (devmem, 64 KiB super-packets, two cores).
TCP_WMEM = TcpMem(4096, 16384, 16 << 20)
TCP_RMEM = TcpMem(4096, 131072, 24 << 20)  # Linux's maximum is 6 MiB; here a round trip carries more


class TcpNetns:
    """One for each host. A connection finds it in its TcpConfig. `mib`: the host's TCP counters."""

    __slots__ = (
        "_challenge_ack_limit", "_challenge_budget", "_challenge_second", "_random", "mib", "tcp_rmem",
        "tcp_wmem",
    )  # fmt: skip

    def __init__(
        self,
        seed: int = 0,
        challenge_ack_limit: int = CHALLENGE_ACK_LIMIT,
        tcp_rmem: TcpMem = TCP_RMEM,
        tcp_wmem: TcpMem = TCP_WMEM,
    ) -> None:
        self.mib = TcpMib()
        self.tcp_rmem = tcp_rmem
        self.tcp_wmem = tcp_wmem
        self._challenge_ack_limit = challenge_ack_limit
        self._random = random.Random(seed)
        self._challenge_second = -1
        self._challenge_budget = 0

    def may_send_challenge_ack(self, now: float) -> bool:
        """Take one challenge ACK out of this second's budget; False (and counted) when the budget is
        spent."""
        if int(now) != self._challenge_second:
            limit = self._challenge_ack_limit
            self._challenge_second = int(now)
            self._challenge_budget = limit // 2 + self._random.randrange(max(1, limit))
        if self._challenge_budget <= 0:
            self.mib.TcpExtTCPACKSkippedChallenge += 1
            return False
        self._challenge_budget -= 1
        return True

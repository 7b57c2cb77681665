"""Neighbours: the MAC of each address of a link, whichever protocol (ARP, neighbour discovery) asks for it.

In: answers (`learn`), skbs for an address, `now`. Out: a MAC, questions (through `ask`), skbs whose MAC
became known. Owns the cache and, for each address in question, the skbs that wait: both are bounded, and the
oldest entry is the first to go. Source: net/core/neighbour.c (unres_qlen, mcast_solicit 3 at 1 s,
gc_thresh3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.skb import Skb

SOLICIT_S = 1.0
SOLICITATIONS = 3
QUEUE_MAX = 101  # skbs waiting for one address (unres_qlen's default)
CACHE_MAX = 1024  # addresses known, and as many asked for


@dataclass(slots=True)
class _Incomplete:
    """An address that was asked for and has not answered (NUD_INCOMPLETE)."""

    retry_at: float
    asked: int = 1
    waiting: deque[Skb] = field(default_factory=deque)

    def drop(self) -> None:
        for skb in self.waiting:
            skb.release()


class Neighbours:
    """`ask(address)` sends a question; `send_skb(skb, mac)` sends an skb that waited for the answer.
    `unreachable(skb, now)` is told of each skb for which no answer came, before the skb is released."""

    def __init__(
        self,
        ask: Callable[[int], None],
        send_skb: Callable[[Skb, bytes], None],
        unreachable: Callable[[Skb, float], None],
    ) -> None:
        self._ask = ask
        self._send_skb = send_skb
        self._unreachable = unreachable
        self._reachable: dict[int, bytes] = {}
        self._incomplete: dict[int, _Incomplete] = {}

    def mac_of(self, address: int) -> bytes | None:
        """The cached MAC of `address`."""
        return self._reachable.get(address)

    def concerns(self, address: int) -> bool:
        """Whether `address` is known, or was asked for."""
        return address in self._reachable or address in self._incomplete

    def wait_for(self, address: int, skb: Skb, now: float) -> None:
        """Keep `skb` until `address` answers; the first such skb sends the question."""
        entry = self._incomplete.get(address)
        if entry is None:
            if len(self._incomplete) >= CACHE_MAX:
                self._incomplete.pop(next(iter(self._incomplete))).drop()
            entry = self._incomplete[address] = _Incomplete(now + SOLICIT_S)
            self._ask(address)
        if len(entry.waiting) >= QUEUE_MAX:
            entry.waiting.popleft().release()
        entry.waiting.append(skb)

    def learn(self, address: int, mac: bytes) -> None:
        """`address` is at `mac`: the skbs that waited for it are sent."""
        if address not in self._reachable and len(self._reachable) >= CACHE_MAX:
            del self._reachable[next(iter(self._reachable))]
        self._reachable[address] = mac
        entry = self._incomplete.pop(address, None)
        for skb in entry.waiting if entry else ():
            self._send_skb(skb, mac)

    def next_timeout(self) -> float | None:
        return min((entry.retry_at for entry in self._incomplete.values()), default=None)

    def handle_timeout(self, now: float) -> None:
        """Ask again; after the last question the skbs that waited are lost."""
        for address, entry in [*self._incomplete.items()]:
            if entry.retry_at > now:
                continue
            if entry.asked >= SOLICITATIONS:
                del self._incomplete[address]
                for skb in entry.waiting:
                    self._unreachable(skb, now)
                entry.drop()
            else:
                entry.asked += 1
                entry.retry_at = now + SOLICIT_S
                self._ask(address)

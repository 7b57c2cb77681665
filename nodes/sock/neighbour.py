"""Neighbours: which MAC carries an IPv4 address of our link, by ARP (RFC 826).

In: ARP packets, requests to resolve, `now`. Out: a MAC, or frames to send (through `send_arp`). Owns the
cache and, for each address being asked for, the skbs that wait: bounded, oldest first to go.
Source: net/core/neighbour.c (unres_qlen, mcast_solicit 3 at 1 s).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.skb import Skb
from nodes.wire import arp
from nodes.wire.arp import Arp

SOLICIT_S = 1.0
SOLICITATIONS = 3
QUEUE_MAX = 101  # skbs waiting for one address (unres_qlen's default)
_UNKNOWN_MAC = bytes(6)


@dataclass(slots=True)
class _Incomplete:
    """An address that was asked for and has not answered."""

    retry_at: float
    asked: int = 1
    waiting: deque[Skb] = field(default_factory=deque)


class Neighbours:
    """`send_arp(packet)` puts an ARP packet on the wire; `send_skb(skb, mac)` an skb that waited for one."""

    def __init__(
        self,
        mac: bytes,
        address: int,
        send_arp: Callable[[Arp], None],
        send_skb: Callable[[Skb, bytes], None],
    ) -> None:
        self._mac = mac
        self._address = address
        self._send_arp = send_arp
        self._send_skb = send_skb
        self._reachable: dict[int, bytes] = {}
        self._incomplete: dict[int, _Incomplete] = {}

    def mac_of(self, address: int) -> bytes | None:
        """The cached MAC of `address`."""
        return self._reachable.get(address)

    def wait_for(self, address: int, skb: Skb, now: float) -> None:
        """Keep `skb` until `address` answers; ask for it if nobody did yet."""
        entry = self._incomplete.get(address)
        if entry is None:
            entry = self._incomplete[address] = _Incomplete(now + SOLICIT_S)
            self._ask(address)
        if len(entry.waiting) >= QUEUE_MAX:
            entry.waiting.popleft().release()
        entry.waiting.append(skb)

    def receive(self, packet: Arp) -> None:
        """Answer a request for our address; learn from whatever concerns us."""
        if packet.target_ip == self._address or packet.sender_ip in self._reachable:
            self._learn(packet.sender_ip, packet.sender_mac)
        if packet.operation == arp.REQUEST and packet.target_ip == self._address:
            self._send_arp(Arp(arp.REPLY, self._mac, self._address, packet.sender_mac, packet.sender_ip))

    def _learn(self, address: int, mac: bytes) -> None:
        self._reachable[address] = mac
        entry = self._incomplete.pop(address, None)
        for skb in entry.waiting if entry else ():
            self._send_skb(skb, mac)

    def _ask(self, address: int) -> None:
        self._send_arp(Arp(arp.REQUEST, self._mac, self._address, _UNKNOWN_MAC, address))

    def next_timeout(self) -> float | None:
        return min((entry.retry_at for entry in self._incomplete.values()), default=None)

    def handle_timeout(self, now: float) -> None:
        """Ask again, or give up: what waited is lost, and TCP's timers notice."""
        for address, entry in [*self._incomplete.items()]:
            if entry.retry_at > now:
                continue
            if entry.asked >= SOLICITATIONS:
                del self._incomplete[address]
                for skb in entry.waiting:
                    skb.release()
            else:
                entry.asked += 1
                entry.retry_at = now + SOLICIT_S
                self._ask(address)

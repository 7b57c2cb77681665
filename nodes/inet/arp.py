"""ARP of one link: asks for neighbours' MACs, answers for our IPv4 addresses, probes whether one is in use.

In: ARP packets from the wire, addresses to ask for, `now`. Out: ARP packets (through `xmit`), MACs for the
neighbour cache. Owns nothing. Source: net/ipv4/arp.c (RFC 826; arp_filter is sysctl arp_filter 1, arp_ignore
is 0), RFC 5227.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nodes.inet.dad import DuplicateAddressDetection
from nodes.inet.neighbour import Neighbours
from nodes.wire import arp, ethernet
from nodes.wire.arp import Arp

_UNKNOWN_MAC = bytes(6)


def _for_nobody(_target: int, _asker: int) -> bool:
    return False


class XmitPacket(Protocol):
    """Sends `packet` in a frame to `mac`."""

    def __call__(self, packet: bytes, mac: bytes, ethertype: int) -> None: ...


class ArpProtocol:
    """For the link's IPv4 `address` (0: none) at `mac`. `answers_for(target, sender)`: whether `target` is an
    address of another link of ours, and our packets from it to `sender` leave by this link."""

    def __init__(
        self,
        address: int,
        mac: bytes,
        neighbours: Neighbours,
        dad: DuplicateAddressDetection,
        xmit: XmitPacket,
        answers_for: Callable[[int, int], bool] = _for_nobody,
    ) -> None:
        self._address = address
        self._mac = mac
        self._neighbours = neighbours
        self._dad = dad
        self._xmit = xmit
        self._answers_for = answers_for

    def ask(self, address: int, mac: bytes | None) -> None:
        """Ask who has `address`: all hosts, or the one at `mac`, whether it still has it."""
        question = Arp(arp.REQUEST, self._mac, self._address, _UNKNOWN_MAC, address)
        self._xmit(arp.emit(question), mac or ethernet.BROADCAST, ethernet.TYPE_ARP)

    def probe(self) -> None:
        """Ask whether another host has our address (RFC 5227 section 2.1.1)."""
        if self._address:
            question = Arp(arp.REQUEST, self._mac, 0, _UNKNOWN_MAC, self._address)
            self._xmit(arp.emit(question), ethernet.BROADCAST, ethernet.TYPE_ARP)

    def receive(self, packet: Arp, now: float) -> None:
        """Answer a request for an address of ours; learn the sender's MAC from a request for us, and from any
        packet of a neighbour that we know or asked for (arp_accept 0). The sender of a probe has the address
        0."""
        ours, sender = self._address, packet.sender_ip
        tentative = self._dad.is_tentative(now)
        for_us = ours != 0 and packet.target_ip == ours
        if ours and (sender == ours or (for_us and tentative and not sender)):
            if tentative and packet.sender_mac != self._mac:
                self._dad.on_claim(ours, packet.sender_mac)
            return
        for_us = (for_us or self._answers_for(packet.target_ip, sender)) and not tentative
        asks_us = for_us and packet.operation == arp.REQUEST
        if (asks_us and sender) or self._neighbours.concerns(sender):
            answer = for_us and packet.operation == arp.REPLY
            self._neighbours.learn(sender, packet.sender_mac, now, answer)
        if asks_us:
            reply = Arp(arp.REPLY, self._mac, packet.target_ip, packet.sender_mac, sender)
            self._xmit(arp.emit(reply), packet.sender_mac, ethernet.TYPE_ARP)

"""Duplicate address detection: our addresses are tentative for a while, and another host may claim one.

In: what ARP and neighbour discovery heard while the addresses were tentative. Out: the conflict, if there was
one. Owns both. Source: RFC 5227 section 2.1.1 (ARP probes), RFC 4862 section 5.4 (neighbour discovery);
net/ipv6/addrconf.c addrconf_dad_work.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class AddressConflict:
    """Another host, at `mac`, has our `address` or is about to take it."""

    address: int
    mac: bytes


class DuplicateAddressDetection:
    """`conflict` is None while no other host has claimed an address of ours."""

    def __init__(self) -> None:
        self._tentative_until = -inf
        self.conflict: AddressConflict | None = None

    def begin(self, until: float) -> None:
        """Our addresses are tentative until then: we do not say that we have them."""
        self._tentative_until = until

    def is_tentative(self, now: float) -> bool:
        return now < self._tentative_until

    def on_claim(self, address: int, mac: bytes) -> None:
        """The host at `mac` claimed our tentative `address`."""
        self.conflict = AddressConflict(address, mac)

"""An IP address of a link, with its prefix, and the version of IP. Pure.

In: an address as an integer and its prefix length, 0 for "no address of this version". Out: which addresses
are on the same link. Owns nothing. Source: struct in_ifaddr (include/linux/inetdevice.h), struct
inet6_ifaddr (include/net/if_inet6.h).
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.wire import ethernet, ipv4, ipv6


@dataclass(frozen=True, slots=True)
class IfAddress:
    """One version of IP on a link. `header_bytes`: of a header without options; before an IPv6 jumbogram it
    is longer."""

    address: int
    prefix: int
    address_bits: int
    ethertype: int
    header_bytes: int

    @property
    def is_v6(self) -> bool:
        return self.address_bits == 128

    @property
    def broadcast(self) -> int | None:
        """The highest address of an IPv4 prefix; None where the prefix has no broadcast address."""
        host_bits = self.address_bits - self.prefix
        if self.is_v6 or host_bits < 2:
            return None
        return self.address | (1 << host_bits) - 1

    def is_on_link(self, address: int) -> bool:
        """Whether `address` lies in the prefix of this address and is another one."""
        host_bits = self.address_bits - self.prefix
        same_prefix = address >> host_bits == self.address >> host_bits
        return bool(self.address) and same_prefix and address != self.address


def ipv4_address(address: int, prefix: int) -> IfAddress:
    return IfAddress(address, prefix, 32, ethernet.TYPE_IPV4, ipv4.HEADER_BYTES)


def ipv6_address(address: int, prefix: int) -> IfAddress:
    return IfAddress(address, prefix, 128, ethernet.TYPE_IPV6, ipv6.HEADER_BYTES)

"""The address plan: which addresses and MACs a host's NIC and a router's interfaces have.

In: numbers of segments, hosts and links between routers. Out: texts. Owns the plan.

Segment s is 10.s.0.0/16 and fd00:s::/64. In it host i's kernel is 10.s.0.i and fd00:s::i, its endpoint
10.s.1.i and fd00:s::1:i, and the gateway 10.s.255.254 and fd00:s::ffff. A second NIC of host i in the same
segment has 10.s.2.i and 10.s.3.i, and so on. Host 255 begins a block of its own: its kernel is 10.s.48.1.
The numbers stand in IPv6 addresses as they are read, in decimal
digits; segment 0 leaves its number out there. The links between routers are pairs, 172.16.0.0/31 and
fd01::/127 the first. A MAC is 02:00 and the four bytes of the IPv4 address.
"""

from __future__ import annotations

import ipaddress

import msgspec

from topologies.topology_error import TopologyError

HOSTS_MAX = 1024
_BLOCK_HOSTS = 254  # the last number of an address
_BLOCK_GROUPS = 48  # third numbers, two for each NIC of a host in the segment
SEGMENTS_MAX = 256  # the second number
UPLINKS_MAX = 65536  # the second number of an IPv6 address
_KERNEL, _ENDPOINT = 0, 1
_FIRST_UPLINK = int(ipaddress.IPv4Address("172.16.0.0"))


class SegmentPlan(msgspec.Struct, frozen=True):
    """The addresses of segment `number`."""

    number: int

    def __post_init__(self) -> None:
        if self.number >= SEGMENTS_MAX:
            raise TopologyError(
                f"there are more than {SEGMENTS_MAX} segments, and the address plan has no more; use fewer "
                "routers with hosts"
            )

    @property
    def prefix(self) -> str:
        return f"10.{self.number}.0.0/16"

    def kernel(self, host: int, copy: int) -> str:
        return self._address4(2 * copy + _KERNEL, host)

    def endpoint(self, host: int, copy: int) -> str:
        return self._address4(2 * copy + _ENDPOINT, host)

    def kernel6(self, host: int, copy: int) -> str:
        return self._address6(2 * copy + _KERNEL, host)

    def endpoint6(self, host: int, copy: int) -> str:
        return self._address6(2 * copy + _ENDPOINT, host)

    @property
    def gateway(self) -> str:
        return f"10.{self.number}.255.254/16"

    @property
    def gateway6(self) -> str:
        return f"{self._network6}ffff/64"

    def _address4(self, group: int, host: int) -> str:
        if group >= _BLOCK_GROUPS:
            raise TopologyError(
                f"host {host} has more than {_BLOCK_GROUPS // 2} NICs in one segment, and the address plan "
                "has no more; use fewer"
            )
        block, before = divmod(host - 1, _BLOCK_HOSTS)
        return f"10.{self.number}.{block * _BLOCK_GROUPS + group}.{before + 1}/16"

    def _address6(self, group: int, host: int) -> str:
        return f"{self._network6}{f'{group}:' if group else ''}{host}/64"

    @property
    def _network6(self) -> str:
        return f"fd00:{self.number}::" if self.number else "fd00::"


class UplinkPlan(msgspec.Struct, frozen=True):
    """The addresses of link `number` between two routers; `side` 0 or 1."""

    number: int

    def __post_init__(self) -> None:
        if self.number >= UPLINKS_MAX:
            raise TopologyError(f"there are more than {UPLINKS_MAX} links between routers; use fewer")

    def address(self, side: int) -> str:
        return f"{ipaddress.IPv4Address(_FIRST_UPLINK + 2 * self.number + side)}/31"

    def address6(self, side: int) -> str:
        network = f"fd01:{self.number:x}::" if self.number else "fd01::"
        return f"{network}{side or ''}/127"


def mac(address: str) -> str:
    """Of an interface with this IPv4 address."""
    four = ipaddress.IPv4Interface(address).packed
    return "02:00:" + ":".join(f"{byte:02x}" for byte in four[:4])

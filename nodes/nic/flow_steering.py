"""Flow steering: n-tuple rules that send matching flows to one rx queue, ahead of RSS.

In: addresses and ports as they lie in the header. Out: a queue number or None. Owns the rules, by
location; the lowest matching location wins. Source: ethtool -N/-n, struct ethtool_rx_flow_spec.
"""

from __future__ import annotations

import struct

import msgspec

_FLOW = struct.Struct("!IIHH")


class NtupleRule(msgspec.Struct, frozen=True):
    """tcp4; a field that is None matches anything. Addresses as 32-bit integers."""

    queue: int
    src_ip: int | None = None
    dst_ip: int | None = None
    src_port: int | None = None
    dst_port: int | None = None

    def matches(self, flow: tuple[int, int, int, int]) -> bool:
        wanted = (self.src_ip, self.dst_ip, self.src_port, self.dst_port)
        return all(want is None or want == have for want, have in zip(wanted, flow, strict=True))


class FlowSteering:
    def __init__(self) -> None:
        self.rules: dict[int, NtupleRule] = {}

    def insert(self, rule: NtupleRule, location: int | None) -> int:
        """Put `rule` at `location`, or at the lowest free one; returns where it is."""
        if location is None:
            location = next(i for i in range(len(self.rules) + 1) if i not in self.rules)
        self.rules[location] = rule
        return location

    def queue(self, flow: bytes) -> int | None:
        """`flow`: 12 bytes of addresses and ports; anything else matches no rule."""
        if not self.rules or len(flow) != _FLOW.size:
            return None
        fields = _FLOW.unpack(flow)
        matching = (self.rules[at].queue for at in sorted(self.rules) if self.rules[at].matches(fields))
        return next(matching, None)

"""Flow steering: n-tuple rules that choose an rx queue for matching flows, ahead of RSS.

In: addresses and ports as they lie in the header. Out: the rule that applies, or None. Owns the rules, by
location; the lowest matching location wins. Source: ethtool -N/-n, struct ethtool_rx_flow_spec.
"""

from __future__ import annotations

import msgspec

DROP = -1  # the queue of rules that discard (RX_CLS_FLOW_DISC)
RULES_MAX = 1024
_ADDRESS_BYTES = {12: 4, 36: 16}  # by the length of a TCP flow: two addresses and two ports


class NtupleRule(msgspec.Struct, frozen=True):
    """TCP over IPv4 (`address_bytes` 4) or IPv6 (16). A field that is None matches anything; of one that is
    not, the bits of its mask are compared, all if the mask is None. Addresses as integers. `context`: the
    RSS context that chooses the queue; 0: `queue` does."""

    queue: int
    src_ip: int | None = None
    dst_ip: int | None = None
    src_port: int | None = None
    dst_port: int | None = None
    src_ip_mask: int | None = None
    dst_ip_mask: int | None = None
    src_port_mask: int | None = None
    dst_port_mask: int | None = None
    address_bytes: int = 4
    context: int = 0

    def matches(self, flow: bytes) -> bool:
        """`flow`: source and destination address, source and destination port."""
        n = self.address_bytes
        number = int.from_bytes
        return (
            _ADDRESS_BYTES.get(len(flow)) == n
            and _equal(number(flow[:n], "big"), self.src_ip, self.src_ip_mask)
            and _equal(number(flow[n : 2 * n], "big"), self.dst_ip, self.dst_ip_mask)
            and _equal(number(flow[2 * n : 2 * n + 2], "big"), self.src_port, self.src_port_mask)
            and _equal(number(flow[2 * n + 2 :], "big"), self.dst_port, self.dst_port_mask)
        )


def _equal(have: int, want: int | None, mask: int | None) -> bool:
    return want is None or not (have ^ want) & (-1 if mask is None else mask)


class FlowSteering:
    def __init__(self) -> None:
        self.enabled = True  # ethtool -K ntuple
        self.rules: dict[int, NtupleRule] = {}

    def insert(self, rule: NtupleRule, location: int | None) -> int:
        """Put `rule` at `location`, or at the lowest free one; returns where it is."""
        if location is None:
            location = next(i for i in range(len(self.rules) + 1) if i not in self.rules)
        self.rules[location] = rule
        return location

    def match(self, flow: bytes) -> NtupleRule | None:
        """The rule for `flow`: 12 or 36 bytes of addresses and ports; anything else matches none."""
        if not self.rules:
            return None
        return next((self.rules[at] for at in sorted(self.rules) if self.rules[at].matches(flow)), None)

"""Flow steering: n-tuple rules that choose the rx queue of matching flows. They take precedence over RSS.

In: addresses, ports and protocols in the byte order of the headers. Out: the rule that matches, or None. Owns
the rules by location; of several that match, the one at the lowest location applies.
Source: ethtool -N and -n, struct ethtool_rx_flow_spec (include/uapi/linux/ethtool.h).
"""

from __future__ import annotations

import msgspec

from nodes.wire.ip import TCP

DROP = -1  # the queue of rules that discard (RX_CLS_FLOW_DISC)
_TCP_FLOWS = {12: 4, 36: 16}  # length of a TCP flow (two addresses, two ports): of an address
_OTHER_FLOWS = {9: 4, 33: 16}  # likewise of a flow of two addresses and a protocol


class NtupleRule(msgspec.Struct, frozen=True):
    """A rule for TCP (flow types tcp4, tcp6), or with `any_protocol` for IP packets (ip4, ip6), of IPv4
    (`address_bytes` 4) or IPv6 (16). A field that is None matches every value. Of other fields the bits in
    the mask are compared; a mask that is None has all bits. Addresses are integers. `context`: the RSS
    context that chooses the queue; 0: the packets go to `queue`."""

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
    any_protocol: bool = False
    protocol: int | None = None
    protocol_mask: int | None = None

    def matches(self, flow: bytes) -> bool:
        """`flow`: source address, destination address, source port, destination port; or source address,
        destination address, protocol (header_split.Parsed)."""
        n = self.address_bytes
        number = int.from_bytes
        is_tcp = _TCP_FLOWS.get(len(flow)) == n
        if not is_tcp and not (self.any_protocol and _OTHER_FLOWS.get(len(flow)) == n):
            return False
        if not _equal(number(flow[:n], "big"), self.src_ip, self.src_ip_mask):
            return False
        if not _equal(number(flow[n : 2 * n], "big"), self.dst_ip, self.dst_ip_mask):
            return False
        if self.any_protocol:
            return _equal(TCP if is_tcp else flow[-1], self.protocol, self.protocol_mask)
        return _equal(number(flow[2 * n : 2 * n + 2], "big"), self.src_port, self.src_port_mask) and _equal(
            number(flow[2 * n + 2 :], "big"), self.dst_port, self.dst_port_mask
        )


def _equal(have: int, want: int | None, mask: int | None) -> bool:
    return want is None or not (have ^ want) & (-1 if mask is None else mask)


class FlowSteering:
    def __init__(self) -> None:
        self.enabled = True  # ethtool -K ntuple
        self.rules: dict[int, NtupleRule] = {}

    def insert(self, rule: NtupleRule, location: int | None) -> int:
        """Put `rule` at `location` (None: the lowest free one) in place of the rule there; returns where."""
        if location is None:
            location = next(i for i in range(len(self.rules) + 1) if i not in self.rules)
        self.rules[location] = rule
        return location

    def match(self, flow: bytes) -> NtupleRule | None:
        """The rule for `flow`; a packet that is not IP (b'') matches none."""
        if not self.rules:
            return None
        return next((self.rules[at] for at in sorted(self.rules) if self.rules[at].matches(flow)), None)

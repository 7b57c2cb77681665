"""struct ethtool_rx_flow_spec: an n-tuple rule as ethtool's ioctls have it.

In: bytes, or a rule as nodes/client/ethtool.py names its fields. Out: the other of the two. Owns nothing.
A field counts as far as its mask has bits; a rule of ours has no mask where all bits do.
Source: include/uapi/linux/ethtool.h.
"""

from __future__ import annotations

import errno
import ipaddress
import struct
from typing import Any, NamedTuple

from nodes.client.netdev import Attributes

# flow_type, h_u, h_ext, m_u, m_ext, ring_cookie, location
_SPEC = struct.Struct("=I52s20s52s20s4xQI4x")
SPEC_BYTES = _SPEC.size
LOCATION_AT = SPEC_BYTES - 8
_FLOW_RSS = 0x20000000
_DROP = 0xFFFFFFFFFFFFFFFF  # RX_CLS_FLOW_DISC
_ANY_PLACE = 0xFFFFFFFF  # RX_CLS_LOC_ANY


class _Flow(NamedTuple):
    """What a flow type's part of the union h_u has, in order. No rule of ours has those in `_UNKNOWN`."""

    number: int
    layout: struct.Struct
    fields: tuple[str, ...]


_ADDRESSES = ("src-ip", "dst-ip")
_UNKNOWN = ("tos", "l4-bytes")
_IP_VERSION, _IPV4 = "ip-version", 1  # ETH_RX_NFC_IP4: a constant, which is not compared
_FLOWS = {
    "tcp4": _Flow(0x01, struct.Struct("!4s4sHHB"), (*_ADDRESSES, "src-port", "dst-port", "tos")),
    "tcp6": _Flow(0x05, struct.Struct("!16s16sHHB"), (*_ADDRESSES, "src-port", "dst-port", "tos")),
    "ip4": _Flow(0x0D, struct.Struct("!4s4sIBBB"), (*_ADDRESSES, "l4-bytes", "tos", _IP_VERSION, "l4proto")),
    "ip6": _Flow(0x0E, struct.Struct("!16s16sIBB"), (*_ADDRESSES, "l4-bytes", "tos", "l4proto")),
}
_BITS = {"src-port": 16, "dst-port": 16, "l4proto": 8}


def unpack(spec: bytes, context: int) -> Attributes:
    """The rule; `context` counts with FLOW_RSS. EOPNOTSUPP for what no rule here can compare, EINVAL."""
    flow_type, values, _, masks, _, cookie, location = _SPEC.unpack(spec)
    plain = flow_type & ~_FLOW_RSS
    names = [name for name, flow in _FLOWS.items() if flow.number == plain]
    if not names:  # another protocol, or FLOW_EXT and FLOW_MAC_EXT: VLANs, MAC addresses
        raise OSError(errno.EOPNOTSUPP, f"flow type {flow_type:#x}")
    rule: Attributes = {"flow-type": names[0]}
    _, layout, fields = _FLOWS[names[0]]
    pairs = zip(layout.unpack_from(values), layout.unpack_from(masks), strict=True)
    for name, (value, mask) in zip(fields, pairs, strict=True):
        compared = any(mask) if isinstance(mask, bytes) else mask
        if compared and name != _IP_VERSION:
            if name in _UNKNOWN:
                raise OSError(errno.EOPNOTSUPP, f"a rule cannot compare {name}")
            rule[name] = _text(value)
            if mask != _whole(name, value):
                rule[f"{name}-mask"] = _text(mask)
    if cookie == _DROP:
        rule["queue"] = -1
    elif cookie >> 32:
        raise OSError(errno.EINVAL, f"ring cookie {cookie:#x}")
    elif cookie or not flow_type & _FLOW_RSS:
        rule["queue"] = cookie
    if flow_type & _FLOW_RSS:
        rule["context"] = context
    if location != _ANY_PLACE:
        rule["location"] = location
    return rule


def pack(rule: Attributes) -> tuple[bytes, int]:
    """The structure, and the RSS context."""
    number, layout, fields = _FLOWS[rule.get("flow-type", "tcp4")]
    values, masks = [], []
    for name, empty in zip(fields, layout.unpack(bytes(layout.size)), strict=True):
        value = _packed(rule[name]) if name in rule else _IPV4 if name == _IP_VERSION else empty
        whole = _whole(name, empty) if name in rule else empty
        values.append(value)
        masks.append(_packed(rule[f"{name}-mask"]) if f"{name}-mask" in rule else whole)
    context, queue = rule.get("context", 0), rule.get("queue", 0)
    packed = _SPEC.pack(
        number | (_FLOW_RSS if context else 0), layout.pack(*values), b"", layout.pack(*masks), b"",
        _DROP if queue < 0 else queue, rule["location"],
    )  # fmt: skip
    return packed, context


def _whole(name: str, like: Any) -> Any:
    """The mask that compares all bits."""
    return b"\xff" * len(like) if isinstance(like, bytes) else (1 << _BITS[name]) - 1


def _text(value: bytes | int) -> str | int:
    return str(ipaddress.ip_address(value)) if isinstance(value, bytes) else value


def _packed(value: str | int) -> bytes | int:
    return ipaddress.ip_address(value).packed if isinstance(value, str) else value

"""N-tuple rules between the request's text and the NIC's integers.

In: records of nodes.uapi.netlink. Out: NtupleRule of nodes.nic, and back; NetlinkError EINVAL for what is no
address. Owns nothing. Source: struct ethtool_rx_flow_spec; its m_u has the bits that are compared.
"""

from __future__ import annotations

import errno
import ipaddress
from typing import Literal

from nodes.control.netlink_error import NetlinkError
from nodes.nic.flow_steering import NtupleRule
from nodes.uapi import netlink

_BYTES: dict[str, int] = {"tcp4": 4, "tcp6": 16}
_FAMILIES = {4: ipaddress.IPv4Address, 16: ipaddress.IPv6Address}


def rule_of(request: netlink.Ntuple, queue: int) -> NtupleRule:
    """The rule that sends to `queue`. EINVAL for an address of another family or none, and for a mask
    without its field."""
    n = _BYTES[request.flow_type]
    for field in ("src_ip", "dst_ip", "src_port", "dst_port"):
        if getattr(request, f"{field}_mask") is not None and getattr(request, field) is None:
            name = field.replace("_", "-")
            raise NetlinkError(errno.EINVAL, f"{name}-mask is given without {name}", f"{name}-mask")
    return NtupleRule(
        queue,
        _number(request.src_ip, n, "src-ip"),
        _number(request.dst_ip, n, "dst-ip"),
        request.src_port,
        request.dst_port,
        _number(request.src_ip_mask, n, "src-ip-mask"),
        _number(request.dst_ip_mask, n, "dst-ip-mask"),
        request.src_port_mask,
        request.dst_port_mask,
        n,
        request.context or 0,
    )


def record_of(location: int, rule: NtupleRule) -> netlink.Ntuple:
    """As it was asked for."""
    n = rule.address_bytes
    flow_type: Literal["tcp4", "tcp6"] = "tcp4" if n == 4 else "tcp6"
    return netlink.Ntuple(
        flow_type,
        _text(rule.src_ip, n),
        _text(rule.src_ip_mask, n),
        _text(rule.dst_ip, n),
        _text(rule.dst_ip_mask, n),
        rule.src_port,
        rule.src_port_mask,
        rule.dst_port,
        rule.dst_port_mask,
        None if rule.context else rule.queue,
        rule.context or None,
        location,
    )


def _number(text: str | None, address_bytes: int, attribute: str) -> int | None:
    if text is None:
        return None
    try:
        return int(_FAMILIES[address_bytes](text))
    except ValueError:
        family = "IPv4" if address_bytes == 4 else "IPv6"
        raise NetlinkError(errno.EINVAL, f"{text!r} is not an {family} address", attribute) from None


def _text(number: int | None, address_bytes: int) -> str | None:
    return None if number is None else str(_FAMILIES[address_bytes](number))

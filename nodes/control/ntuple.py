"""The n-tuple rules of one device: ethtool -n and -N.

In: a NetDevice, records of nodes.uapi.netlink. Out: records, NetlinkError; a refused request changes nothing.
Owns nothing: the rules are the device's. A record has addresses as text, NtupleRule has them as integers.
Source: net/ethtool/ioctl.c; struct ethtool_rx_flow_spec, whose m_u has the bits that are compared.
"""

from __future__ import annotations

import errno
import ipaddress

from nodes.control.devices import header_of
from nodes.control.netlink_error import NetlinkError
from nodes.control.policy import require
from nodes.nic.flow_steering import DROP, NtupleRule
from nodes.nic.net_device import NetDevice
from nodes.uapi import netlink
from nodes.uapi.netlink import RULES_MAX

FEATURE = "rx-ntuple-filter"
_BYTES: dict[str, int] = {"tcp4": 4, "tcp6": 16, "ip4": 4, "ip6": 16}
_OF_TCP, _OF_IP = ("src_port", "dst_port"), ("l4proto",)  # beside the addresses
_FAMILIES = {4: ipaddress.IPv4Address, 16: ipaddress.IPv6Address}


def ntuple_insert(device: NetDevice, request: netlink.Ntuple) -> netlink.Location:
    """EOPNOTSUPP while the feature is off, EINVAL for a queue or context that does not exist and for a text
    that is no address, ENOSPC when the table is full."""
    steering, at = device.steering, request.location
    if not steering.enabled:
        raise NetlinkError(errno.EOPNOTSUPP, f"{FEATURE} is off: turn it on first")
    _check_destination(device, request)
    if at is not None and at >= RULES_MAX:
        raise NetlinkError(errno.EINVAL, f"location {at}: choose 0 to {RULES_MAX - 1}", "location")
    if len(steering.rules) >= RULES_MAX and at not in steering.rules:
        raise NetlinkError(errno.ENOSPC, f"the device has room for {RULES_MAX} rules")
    location = steering.insert(_rule_of(request), at)
    device.steering_changed()
    return netlink.Location(header_of(device), location)


def ntuple_delete(device: NetDevice, request: netlink.Location) -> None:
    """EINVAL without a location, ENOENT when no rule is there."""
    location, _ = _find(device, request)
    del device.steering.rules[location]
    device.steering_changed()


def ntuple_get(device: NetDevice, request: netlink.Location) -> netlink.Ntuple:
    """EINVAL without a location, ENOENT when no rule is there."""
    return _record_of(device, *_find(device, request))


def ntuple_dump(device: NetDevice) -> list[netlink.Ntuple]:
    """Every rule, by location."""
    return [_record_of(device, *each) for each in sorted(device.steering.rules.items())]


def _check_destination(device: NetDevice, request: netlink.Ntuple) -> None:
    """Queue and context of a new rule: it has one of them, and the device has it."""
    queues = len(device.rx_queues)
    if request.context:
        if request.context not in device.rss_contexts:
            raise NetlinkError(errno.EINVAL, f"there is no RSS context {request.context}", "context")
        if request.queue:
            text = f"queue {request.queue} beside a context: leave it out"
            raise NetlinkError(errno.EINVAL, text, "queue")
    elif request.queue is None or request.queue >= queues:
        text = f"queue {request.queue}: choose 0 to {queues - 1}, or {DROP} to drop"
        raise NetlinkError(errno.EINVAL, text, "queue")


def _find(device: NetDevice, request: netlink.Location) -> tuple[int, NtupleRule]:
    location = require(request.location, "location")
    rule = device.steering.rules.get(location)
    if rule is None:
        raise NetlinkError(errno.ENOENT, f"no rule at location {location}", "location")
    return location, rule


def _rule_of(request: netlink.Ntuple) -> NtupleRule:
    """EINVAL for an address of another IP version or none, for a mask without its field, and for a field that
    the flow type does not have (ethtool_rx_flow_spec's union)."""
    n, any_protocol = _BYTES[request.flow_type], request.flow_type.startswith("ip")
    for field in ("src_ip", "dst_ip", *_OF_TCP, *_OF_IP):
        name = field.replace("_", "-")
        if getattr(request, f"{field}_mask") is not None and getattr(request, field) is None:
            raise NetlinkError(errno.EINVAL, f"{name}-mask is given without {name}", f"{name}-mask")
        if field in (_OF_TCP if any_protocol else _OF_IP) and getattr(request, field) is not None:
            raise NetlinkError(errno.EINVAL, f"flow-type {request.flow_type} has no {name}", name)
    return NtupleRule(
        queue=request.queue or 0,
        src_ip=_number(request.src_ip, n, "src-ip"),
        dst_ip=_number(request.dst_ip, n, "dst-ip"),
        src_port=request.src_port,
        dst_port=request.dst_port,
        src_ip_mask=_number(request.src_ip_mask, n, "src-ip-mask"),
        dst_ip_mask=_number(request.dst_ip_mask, n, "dst-ip-mask"),
        src_port_mask=request.src_port_mask,
        dst_port_mask=request.dst_port_mask,
        address_bytes=n,
        context=request.context or 0,
        any_protocol=any_protocol,
        protocol=request.l4proto,
        protocol_mask=request.l4proto_mask,
    )


def _record_of(device: NetDevice, location: int, rule: NtupleRule) -> netlink.Ntuple:
    """The rule as ntuple_insert was given it."""
    n = rule.address_bytes
    flow_type: netlink.FlowType = "tcp4" if n == 4 else "tcp6"
    if rule.any_protocol:
        flow_type = "ip4" if n == 4 else "ip6"
    return netlink.Ntuple(
        header_of(device),
        flow_type,
        src_ip=_text(rule.src_ip, n),
        src_ip_mask=_text(rule.src_ip_mask, n),
        dst_ip=_text(rule.dst_ip, n),
        dst_ip_mask=_text(rule.dst_ip_mask, n),
        src_port=rule.src_port,
        src_port_mask=rule.src_port_mask,
        dst_port=rule.dst_port,
        dst_port_mask=rule.dst_port_mask,
        l4proto=rule.protocol,
        l4proto_mask=rule.protocol_mask,
        queue=None if rule.context else rule.queue,
        context=rule.context or None,
        location=location,
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

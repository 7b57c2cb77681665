"""The RSS table and key of one device, and its RSS contexts: ethtool -x and -X.

In: a NetDevice, records of nodes.uapi.netlink. Out: records, NetlinkError; a refused request changes nothing.
Owns nothing: tables and keys are the device's. Source: net/ethtool/rss.c.
"""

from __future__ import annotations

import errno

from nodes.control.devices import header_of
from nodes.control.netlink_error import NetlinkError
from nodes.control.policy import require
from nodes.nic.net_device import NetDevice
from nodes.nic.rss import Rss
from nodes.uapi import netlink

RSS_CONTEXTS_MAX = 16


def rss_get(device: NetDevice, request: netlink.RssContext) -> netlink.Rss:
    """ENOENT for a context that does not exist."""
    return _record_of(device, request.context or 0)


def rss_dump(device: NetDevice, first: int) -> list[netlink.Rss]:
    """The device's own table and key, as context 0, then those of its contexts; from context `first` on."""
    return [_record_of(device, each) for each in (0, *sorted(device.rss_contexts)) if each >= first]


def rss_set(device: NetDevice, request: netlink.Rss) -> None:
    """ENOENT for a context that does not exist. EINVAL, and nothing is set, for a queue that is not in use, a
    table whose size does not divide the device's, a key of another size, and the reset of a context other
    than 0."""
    rss = _find(device, request.context or 0)
    if request.indir == () and request.context:
        text = f"context {request.context} has no default table: give one"
        raise NetlinkError(errno.EINVAL, text, "indir")
    _fill(device, rss, request)
    device.steering_changed()


def rss_create(device: NetDevice, request: netlink.Rss) -> netlink.RssContext:
    """EBUSY for a context that exists, ENOSPC when the device has room for no more, EINVAL as rss_set."""
    contexts = device.rss_contexts
    if request.context and request.context in contexts:
        raise NetlinkError(errno.EBUSY, f"RSS context {request.context} is there already", "context")
    if len(contexts) >= RSS_CONTEXTS_MAX:
        raise NetlinkError(errno.ENOSPC, f"the device has room for {RSS_CONTEXTS_MAX} RSS contexts")
    rss = Rss(len(device.rx_queues))
    _fill(device, rss, request)
    context = request.context or next(i for i in range(1, len(contexts) + 2) if i not in contexts)
    contexts[context] = rss
    return netlink.RssContext(header_of(device), context)


def rss_delete(device: NetDevice, request: netlink.RssContext) -> None:
    """EINVAL without a context, ENOENT for one that does not exist, EBUSY while a rule uses it."""
    context = require(request.context or None, "context")
    _find(device, context)
    if any(rule.context == context for rule in device.steering.rules.values()):
        raise NetlinkError(errno.EBUSY, f"a rule uses RSS context {context}: delete it first", "context")
    del device.rss_contexts[context]


def _find(device: NetDevice, context: int) -> Rss:
    if not context:
        return device.rss
    if context not in device.rss_contexts:
        raise NetlinkError(errno.ENOENT, f"there is no RSS context {context}", "context")
    return device.rss_contexts[context]


def _record_of(device: NetDevice, context: int) -> netlink.Rss:
    rss = _find(device, context)
    return netlink.Rss(header_of(device), context or None, tuple(rss.table), None, rss.key.hex())


def _fill(device: NetDevice, rss: Rss, request: netlink.Rss) -> None:
    """Check the whole request, then write table and key."""
    queues, indir, size = len(device.rx_queues), request.indir, len(rss.table)
    if indir and (size % len(indir) or max(indir) >= queues):
        text = f"give {size} entries, or a divisor of it, of 0 to {queues - 1}"
        raise NetlinkError(errno.EINVAL, text, "indir")
    if request.equal is not None and not 1 <= request.equal <= queues:
        raise NetlinkError(errno.EINVAL, f"equal {request.equal}: choose 1 to {queues}", "equal")
    if request.hkey is not None:
        rss.key = _hash_key(request.hkey, len(rss.key))
    if indir:
        rss.table = [*indir] * (size // len(indir))
    elif indir is not None:
        rss.set_equal(queues)
    if request.equal is not None:
        rss.set_equal(request.equal)
    if indir is not None or request.equal is not None:
        rss.configured = bool(indir or request.equal)


def _hash_key(text: str, size: int) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != size:
        raise NetlinkError(errno.EINVAL, f"hash key {text!r}: give {size} bytes in hexadecimal", "hkey")
    return key

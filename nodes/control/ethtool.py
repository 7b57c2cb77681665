"""The ethtool family: rings, header split, channels, RSS and its contexts, n-tuple rules, features, counters.

In: records of nodes.uapi.netlink. Out: records, NetlinkError; a refused request changes nothing. Owns
nothing: the settings are the device's. Source: net/ethtool/{rings,channels,rss,features,common,ioctl}.c.
"""

from __future__ import annotations

import errno

import msgspec

from nodes.control import ntuple
from nodes.control.netdev import require
from nodes.control.netlink_error import NetlinkError
from nodes.nic.flow_steering import DROP, RULES_MAX
from nodes.nic.net_device import NetDevice
from nodes.nic.rings import TcpDataSplit
from nodes.nic.rss import Rss
from nodes.uapi import netlink

TX_RING_MAX = 4096
RSS_CONTEXTS_MAX = 16
_SG, _TSO, _NTUPLE = "tx-scatter-gather", "tx-tcp-segmentation", "rx-ntuple-filter"
_CHANGEABLE = (_SG, _TSO, _NTUPLE)
_ALWAYS_ON = ("rx-checksum", "tx-checksum-ip-generic", "rx-hashing", "rx-gro-hw")
_SPLITS = tuple(TcpDataSplit)


class Ethtool:
    def __init__(self, device: NetDevice) -> None:
        self._device = device

    # --- rings

    def rings_get(self, _: netlink.Empty) -> netlink.RingsInfo:
        r, tx = self._device.rings, self._device.tx
        return netlink.RingsInfo(
            r.rx_max, TX_RING_MAX, r.rx, tx.ring_size, r.rx_buf_len, r.tcp_data_split.value,
            r.hds_thresh, r.hds_thresh_max,
        )  # fmt: skip

    def rings_set(self, request: netlink.Rings) -> None:
        """-G. EINVAL for what a bound dma-buf forbids (table B2, B3) and for sizes beyond the maximum,
        EOPNOTSUPP for what the device cannot change."""
        rings, tx = self._device.rings, self._device.tx
        if request.rx_buf_len not in (None, rings.rx_buf_len):
            raise NetlinkError(errno.EOPNOTSUPP, "the device cannot change rx-buf-len", "rx-buf-len")
        if request.hds_thresh is not None and not self._device.config.kernel.hds_thresh:
            raise NetlinkError(errno.EINVAL, "this kernel has no attribute 'hds-thresh'", "hds-thresh")
        split = rings.tcp_data_split if request.tcp_data_split is None else _split(request.tcp_data_split)
        thresh = rings.hds_thresh if request.hds_thresh is None else request.hds_thresh
        if (split, thresh) != (rings.tcp_data_split, rings.hds_thresh):
            self._check_split(split, thresh)
        _check_size(request.rx, rings.rx_max, "rx")
        _check_size(request.tx, TX_RING_MAX, "tx")
        rings.tcp_data_split, rings.hds_thresh = split, thresh
        if request.tx is not None:
            tx.ring_size = request.tx
        if request.rx is not None:
            rings.rx = request.rx
            for rxq in self._device.all_rx_queues:
                rxq.ring_size = request.rx

    def _check_split(self, split: TcpDataSplit, hds_thresh: int) -> None:
        if self._min_mp_channels():
            if split is not TcpDataSplit.ENABLED:
                text = "tcp-data-split stays enabled while a dma-buf is bound"
                raise NetlinkError(errno.EINVAL, text, "tcp-data-split")
            if hds_thresh:
                raise NetlinkError(errno.EINVAL, "hds-thresh stays 0 while a dma-buf is bound", "hds-thresh")
        most = self._device.rings.hds_thresh_max
        if hds_thresh > most:
            raise NetlinkError(errno.EINVAL, f"hds-thresh {hds_thresh}: choose 0 to {most}", "hds-thresh")

    def _min_mp_channels(self) -> int:
        """One above the highest queue with a memory provider, 0 if none (dev_get_min_mp_channel_count)."""
        return max((q.id + 1 for q in self._device.rx_queues if q.pool.provider.dmabuf_id), default=0)

    # --- channels

    def channels_get(self, _: netlink.Empty) -> netlink.ChannelsInfo:
        most, count = self._device.config.rx_queues, len(self._device.rx_queues)
        if self._device.config.nic.combined:
            return netlink.ChannelsInfo(combined_max=most, combined_count=count)
        return netlink.ChannelsInfo(rx_max=most, tx_max=1, rx_count=count, tx_count=1)

    def channels_set(self, request: netlink.Channels) -> None:
        """-L. EINVAL for counts beyond the maximum, for none, and for fewer than the RSS tables, the rules
        or the bound queues need: exactly one above the highest bound queue is too few (table B1, B8)."""
        now = self.channels_get(netlink.Empty())
        limits = (now.rx_max or 0, now.tx_max or 0, 0, now.combined_max or 0)
        before = (now.rx_count or 0, now.tx_count or 0, 0, now.combined_count or 0)
        wanted = (request.rx_count, request.tx_count, request.other_count, request.combined_count)
        asked = tuple(b if w is None else w for b, w in zip(before, wanted, strict=True))
        if asked == before:
            return
        for name, count, limit in zip(("rx", "tx", "other", "combined"), asked, limits, strict=True):
            if count > limit:
                raise NetlinkError(
                    errno.EINVAL, f"{count} {name} channels: the device has {limit}", f"{name}-count"
                )
        rx, tx, _, combined = asked
        if not combined and not (rx and tx):
            changed = "combined" if limits[3] else "tx" if rx else "rx"
            text = "no rx or no tx channel would be left: keep one of each"
            raise NetlinkError(errno.EINVAL, text, f"{changed}-count")
        for need, what in self._needs():
            if rx + combined <= need:
                text = f"{rx + combined} channels are too few for the {what} ({need})"
                raise NetlinkError(errno.EINVAL, text)
        self._device.use_rx_queues(rx + combined)

    def _needs(self) -> list[tuple[int, str]]:
        """What new counts must exceed, in the kernel's order (ethtool_check_max_channel)."""
        device = self._device
        tables = [*device.rss_contexts.values(), *([device.rss] if device.rss.configured else [])]
        rules = [rule.queue for rule in device.steering.rules.values() if not rule.context]
        needs = [
            (max((max(rss.table) for rss in tables), default=-1), "indirection table"),
            (max(rules, default=-1), "n-tuple filters"),
        ]
        if device.config.kernel.guards_bound_queues:
            needs.append((self._min_mp_channels() or -1, "bound memory provider"))
        return needs

    # --- rss

    def rss_get(self, request: netlink.RssContext) -> netlink.Rss:
        """-x. ENOENT for a context that is not there."""
        return self._rss_info(request.context or 0)

    def rss_dump(self, _: netlink.Empty) -> list[netlink.Rss]:
        return [self._rss_info(context) for context in (0, *sorted(self._device.rss_contexts))]

    def _rss_info(self, context: int) -> netlink.Rss:
        rss = self._rss(context)
        return netlink.Rss(context or None, tuple(rss.table), None, rss.key.hex())

    def _rss(self, context: int) -> Rss:
        if not context:
            return self._device.rss
        if context not in self._device.rss_contexts:
            raise NetlinkError(errno.ENOENT, f"there is no RSS context {context}", "context")
        return self._device.rss_contexts[context]

    def rss_set(self, request: netlink.Rss) -> None:
        """-X. ENOENT for an absent context; EINVAL, and nothing set, for an absent queue, a table whose
        size does not divide the device's, a key of another size, and a reset of a context of one's own."""
        rss = self._rss(request.context or 0)
        if request.indir == () and request.context:
            raise NetlinkError(
                errno.EINVAL, f"context {request.context} has no default table: give one", "indir"
            )
        self._fill(rss, request)
        self._device.steering_changed()

    def _fill(self, rss: Rss, request: netlink.Rss) -> None:
        queues, indir = len(self._device.rx_queues), request.indir
        if indir and (len(rss.table) % len(indir) or max(indir) >= queues):
            text = f"give {len(rss.table)} entries, or a divisor of it, of 0 to {queues - 1}"
            raise NetlinkError(errno.EINVAL, text, "indir")
        if request.equal is not None and not 1 <= request.equal <= queues:
            raise NetlinkError(errno.EINVAL, f"equal {request.equal}: choose 1 to {queues}", "equal")
        if request.hkey is not None:
            rss.key = _hash_key(request.hkey, len(rss.key))
        if indir:
            rss.table = [*indir] * (len(rss.table) // len(indir))
        elif indir is not None:
            rss.set_equal(queues)
        if request.equal is not None:
            rss.set_equal(request.equal)
        if indir is not None or request.equal is not None:
            rss.configured = bool(indir or request.equal)

    def rss_create(self, request: netlink.Rss) -> netlink.RssContext:
        """-X context new. EBUSY for a context that is there, ENOSPC when there are too many."""
        contexts = self._device.rss_contexts
        if request.context and request.context in contexts:
            raise NetlinkError(errno.EBUSY, f"RSS context {request.context} is there already", "context")
        if len(contexts) >= RSS_CONTEXTS_MAX:
            raise NetlinkError(errno.ENOSPC, f"the device has room for {RSS_CONTEXTS_MAX} RSS contexts")
        rss = Rss(len(self._device.rx_queues))
        self._fill(rss, request)
        context = request.context or next(i for i in range(1, len(contexts) + 2) if i not in contexts)
        contexts[context] = rss
        return netlink.RssContext(context)

    def rss_delete(self, request: netlink.RssContext) -> None:
        """-X context N delete. EINVAL without one, ENOENT, EBUSY while a rule uses it."""
        context = require(request.context or None, "context")
        self._rss(context)
        if any(rule.context == context for rule in self._device.steering.rules.values()):
            raise NetlinkError(errno.EBUSY, f"a rule uses RSS context {context}: delete it first", "context")
        del self._device.rss_contexts[context]

    # --- n-tuple rules

    def ntuple_insert(self, request: netlink.Ntuple) -> netlink.Location:
        """-N. EINVAL for a queue or context that is not there and for what is no address, EOPNOTSUPP with
        the feature off, ENOSPC when the table is full."""
        steering, queues = self._device.steering, len(self._device.rx_queues)
        if not steering.enabled:
            raise NetlinkError(errno.EOPNOTSUPP, f"{_NTUPLE} is off: turn it on first")
        if request.context:
            if request.context not in self._device.rss_contexts:
                text = f"there is no RSS context {request.context}"
                raise NetlinkError(errno.EINVAL, text, "context")
            if request.queue:
                text = f"queue {request.queue} beside a context: leave it out"
                raise NetlinkError(errno.EINVAL, text, "queue")
        elif request.queue is None or request.queue >= queues:
            text = f"queue {request.queue}: choose 0 to {queues - 1}, or {DROP} to drop"
            raise NetlinkError(errno.EINVAL, text, "queue")
        at = request.location
        if at is not None and at >= RULES_MAX:
            raise NetlinkError(errno.EINVAL, f"location {at}: choose 0 to {RULES_MAX - 1}", "location")
        if len(steering.rules) >= RULES_MAX and at not in steering.rules:
            raise NetlinkError(errno.ENOSPC, f"the device has room for {RULES_MAX} rules")
        location = steering.insert(ntuple.rule_of(request, request.queue or 0), at)
        self._device.steering_changed()
        return netlink.Location(location)

    def ntuple_delete(self, request: netlink.Location) -> None:
        """-N delete. ENOENT when there is no such rule."""
        self._rule(request)
        del self._device.steering.rules[require(request.location, "location")]
        self._device.steering_changed()

    def ntuple_get(self, request: netlink.Location) -> netlink.Ntuple:
        """ENOENT when there is no such rule."""
        return self._rule(request)

    def _rule(self, request: netlink.Location) -> netlink.Ntuple:
        location = require(request.location, "location")
        rule = self._device.steering.rules.get(location)
        if rule is None:
            raise NetlinkError(errno.ENOENT, f"no rule at location {location}", "location")
        return ntuple.record_of(location, rule)

    def ntuple_dump(self, _: netlink.Empty) -> list[netlink.Ntuple]:
        return [ntuple.record_of(*each) for each in sorted(self._device.steering.rules.items())]

    # --- features and counters

    def features_get(self, _: netlink.Empty) -> netlink.Features:
        device = self._device
        states = (device.sg, device.tso and device.sg, device.steering.enabled)
        on = (name for name, state in zip(_CHANGEABLE, states, strict=True) if state)
        return netlink.Features(_CHANGEABLE, (*_ALWAYS_ON, *on))

    def features_set(self, request: netlink.FeaturesSet) -> netlink.Features:
        """-K. The state that results: what is fixed stays as it is. EINVAL for a name that is none. Without
        segmentation, connections made from now on send a wire packet at a time; without scatter-gather there
        is no segmentation (netdev_fix_features) and no sending from dma-bufs; without n-tuple filters the
        rules are gone."""
        wanted = require(request.wanted, "wanted")
        unknown = [name for name in wanted if name not in (*_CHANGEABLE, *_ALWAYS_ON)]
        if unknown:
            raise NetlinkError(errno.EINVAL, f"there is no feature {unknown[0]!r}", "wanted")
        self._device.sg = wanted.get(_SG, self._device.sg)
        self._device.tso = wanted.get(_TSO, self._device.tso)
        steering = self._device.steering
        steering.enabled = wanted.get(_NTUPLE, steering.enabled)
        if not steering.enabled:
            steering.rules.clear()
            self._device.steering_changed()
        return self.features_get(netlink.Empty())

    def stats_get(self, _: netlink.Empty) -> dict[str, int]:
        """-S: the device's sums, its page pools' (rx_pp_*), and each queue's."""
        device = self._device
        rows = [msgspec.structs.asdict(q.counters) for q in device.all_rx_queues]
        stats = {name: sum(row[name] for row in rows) for name in rows[0]}
        stats["rx_fifo_overruns"] = device.overruns()
        stats["rx_steering_drops"] = device.rx_steering_drops
        tx = msgspec.structs.asdict(device.tx.counters)
        stats |= tx
        stats["tx_unreadable_drops"] = device.tx_unreadable_drops
        hsplit = [msgspec.structs.asdict(q.hsplit) for q in device.all_rx_queues]
        stats |= {name: sum(row[name] for row in hsplit) for name in hsplit[0]}
        pools = [msgspec.structs.asdict(q.pool.stats) for q in device.rx_queues]
        stats |= {_PP_NAMES.get(n, f"rx_pp_{n}"): sum(each[n] for each in pools) for n in pools[0]}
        for rxq in device.rx_queues:
            stats |= {f"rx_queue_{rxq.id}_{n[3:]}": v for n, v in rows[rxq.id].items()}
        return stats | {f"tx_queue_0_{name[3:]}": value for name, value in tx.items()}


_PP_NAMES = {  # where ethtool's name is another (net/core/page_pool.c)
    "alloc_slow_high_order": "rx_pp_alloc_slow_ho",
    "recycle_released_refcnt": "rx_pp_recycle_released_ref",
}


def _split(value: str | int) -> TcpDataSplit:
    return _SPLITS[value] if isinstance(value, int) else TcpDataSplit(value)


def _check_size(size: int | None, most: int, name: str) -> None:
    if size is not None and not 1 <= size <= most:
        raise NetlinkError(errno.EINVAL, f"{name} ring of {size}: choose 1 to {most}", name)


def _hash_key(text: str, size: int) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != size:
        raise NetlinkError(errno.EINVAL, f"hash key {text!r}: give {size} bytes in hexadecimal", "hkey")
    return key

"""What ethtool refuses, what a bound dma-buf forbids, and that a refused request changes nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netlink_error import NetlinkError
from nodes.machine.routes import totals
from nodes.nic.rss import DEFAULT_KEY
from nodes.uapi.netlink import (
    Channels,
    ChannelsInfo,
    FeaturesSet,
    HeaderOnly,
    Location,
    Ntuple,
    Rings,
    Rss,
    RssContext,
    RssDump,
)
from tests.control.conftest import ETH0, on_nic
from tests.control.test_bind import bind
from tests.nic.bench import Bench
from tests.nic.frames import Tcp

GET = HeaderOnly(ETH0)
MAIN = RssContext(ETH0)


@contextmanager
def refused(ethtool: Ethtool, number: int, text: str) -> Iterator[None]:
    """The request fails, and rings, RSS and rules stay as they are."""
    before = (ethtool.rings_get(GET), ethtool.rss_get(MAIN), ethtool.ntuple_dump(GET))
    with pytest.raises(NetlinkError, match=text) as caught:
        yield
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]
    assert (ethtool.rings_get(GET), ethtool.rss_get(MAIN), ethtool.ntuple_dump(GET)) == before


# --- rings


def test_rings_start_unsplit_and_can_be_split(ethtool: Ethtool) -> None:
    assert ethtool.rings_get(GET).tcp_data_split == "unknown"
    ethtool.rings_set(Rings(ETH0, tcp_data_split="enabled", hds_thresh=0, rx=64))
    found = ethtool.rings_get(GET)
    assert (found.tcp_data_split, found.hds_thresh, found.rx) == ("enabled", 0, 64)


def test_a_new_ring_size_is_every_queues(ethtool: Ethtool, bench: Bench) -> None:
    ethtool.rings_set(Rings(ETH0, rx=33))
    assert {rxq.ring_size for rxq in bench.device.rx_queues} == {33}


@pytest.mark.parametrize("rx", [0, 8193])
def test_a_ring_of_none_or_too_many_is_einval(ethtool: Ethtool, rx: int) -> None:
    with refused(ethtool, errno.EINVAL, f"rx ring of {rx}: choose 1 to 8192"):
        ethtool.rings_set(Rings(ETH0, rx=rx, tcp_data_split="enabled"))


def test_what_the_device_cannot_change_is_eopnotsupp(ethtool: Ethtool) -> None:
    with refused(ethtool, errno.EOPNOTSUPP, "cannot change"):
        ethtool.rings_set(Rings(ETH0, rx_buf_len=8192))


def test_a_threshold_beyond_the_devices_is_einval(ethtool: Ethtool) -> None:
    with refused(ethtool, errno.EINVAL, "hds-thresh 1024: choose 0 to 1023"):
        ethtool.rings_set(Rings(ETH0, hds_thresh=1024))


def test_frames_up_to_the_threshold_are_not_split(ethtool: Ethtool, bench: Bench) -> None:
    ethtool.rings_set(Rings(ETH0, tcp_data_split="enabled", hds_thresh=154))
    for size in (100, 101):  # after 54 bytes of headers
        bench.wire.put(Tcp(bytes(size), seq=size).frame())
    whole, split = [got.skb.payload for got in bench.poll()]
    assert whole is not None
    assert split is not None
    assert [each.frags[0].offset % 4096 for each in (whole, split)] == [54, 0]


@pytest.mark.parametrize(("split", "name"), [(0, "unknown"), (1, "disabled"), (2, "enabled")])
def test_header_split_has_the_kernels_numbers(ethtool: Ethtool, split: int, name: str) -> None:
    ethtool.rings_set(Rings(ETH0, tcp_data_split=split))
    assert ethtool.rings_get(GET).tcp_data_split == name


def test_a_tx_ring_lets_packets_wait_before_the_stack_is_stopped(ethtool: Ethtool, bench: Bench) -> None:
    ethtool.rings_set(Rings(ETH0, tx=3))
    assert ethtool.rings_get(GET).tx == 3
    assert bench.device.tx.ring_size == 3
    with refused(ethtool, errno.EINVAL, "tx ring of 4097: choose 1 to 4096"):
        ethtool.rings_set(Rings(ETH0, tx=4097))


@pytest.mark.parametrize("split", ["disabled", "unknown"])
def test_header_split_stays_while_a_dma_buf_is_bound(ethtool: Ethtool, netdev: Netdev, split: str) -> None:
    ethtool.rings_set(Rings(ETH0, tcp_data_split="enabled"))
    binding = bind(netdev, 7)
    request = Rings(ETH0, tcp_data_split="disabled" if split == "disabled" else "unknown", rx=100)
    with refused(ethtool, errno.EINVAL, "tcp-data-split stays enabled"):  # B2
        ethtool.rings_set(request)
    netdev.unbind(binding)
    ethtool.rings_set(request)
    assert ethtool.rings_get(GET).tcp_data_split == split


def test_the_threshold_stays_while_a_dma_buf_is_bound(ethtool: Ethtool, netdev: Netdev) -> None:
    ethtool.rings_set(Rings(ETH0, tcp_data_split="enabled"))
    bind(netdev, 7)
    with refused(ethtool, errno.EINVAL, "hds-thresh stays 0 while"):  # B3
        ethtool.rings_set(Rings(ETH0, hds_thresh=1))
    ethtool.rings_set(Rings(ETH0, tcp_data_split="enabled", hds_thresh=0, rx=128))  # neither changes


def test_channels_are_the_rx_queues(ethtool: Ethtool) -> None:
    assert ethtool.channels_get(GET) == ChannelsInfo(ETH0, rx_max=8, tx_max=1, rx_count=8, tx_count=1)


def test_fewer_channels_take_fewer_queues_into_use(ethtool: Ethtool, bench: Bench) -> None:
    for queue in (2, 7):
        bench.device.rss.table = [queue] * 128
        bench.device.steering_changed()
        bench.wire.put(Tcp(bytes(9), seq=queue).frame())
        bench.poll()
    bench.device.rss.set_equal(8)
    ethtool.channels_set(Channels(ETH0, rx_count=3))
    assert ethtool.channels_get(GET).rx_count == len(bench.device.rx_queues) == 3
    assert set(bench.device.rss.table) == {0, 1, 2}
    assert bench.device.all_rx_queues[7].posted == 0
    bench.wire.put(Tcp(bytes(9), seq=1).frame())
    assert bench.poll()[0].skb.queue < 3
    ethtool.channels_set(Channels(ETH0, rx_count=8))
    assert set(bench.device.rss.table) == set(range(8))
    assert bench.device.rx_queues[7].counters.rx_packets == 1, "counters outlive the channel"


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (Channels(ETH0, rx_count=9), "9 rx channels: the device has 8"),
        (Channels(ETH0, tx_count=2), "2 tx channels: the device has 1"),
        (Channels(ETH0, combined_count=4), "4 combined channels: the device has 0"),
        (Channels(ETH0, other_count=1), "1 other channels: the device has 0"),
        (Channels(ETH0, rx_count=0), "keep one of each"),
        (Channels(ETH0, tx_count=0), "keep one of each"),
    ],
)
def test_channels_that_cannot_be_are_einval(ethtool: Ethtool, request_: Channels, text: str) -> None:
    with refused(ethtool, errno.EINVAL, text):
        ethtool.channels_set(request_)


def test_the_same_channels_are_no_change(ethtool: Ethtool, netdev: Netdev, bench: Bench) -> None:
    """No queue restarts, and a bound last queue, which would forbid a change to 8, does not matter."""
    ethtool.rings_set(Rings(ETH0, tcp_data_split="enabled"))
    bind(netdev, 7)
    pools = [rxq.pool for rxq in bench.device.rx_queues]
    ethtool.channels_set(Channels(ETH0, rx_count=8, tx_count=1))
    ethtool.channels_set(Channels(ETH0))
    assert [rxq.pool for rxq in bench.device.rx_queues] == pools
    assert ethtool.channels_get(GET).rx_count == 8


@on_nic("combined")
def test_combined_channels_are_pairs_of_queues(ethtool: Ethtool, bench: Bench) -> None:
    assert ethtool.channels_get(GET) == ChannelsInfo(ETH0, combined_max=8, combined_count=8)
    ethtool.channels_set(Channels(ETH0, combined_count=3, rx_count=0))
    assert ethtool.channels_get(GET) == ChannelsInfo(ETH0, combined_max=8, combined_count=3)
    assert (len(bench.device.rx_queues), bench.device.tx_queue_count) == (3, 3)
    for request, text, attribute in (
        (Channels(ETH0, combined_count=9), "9 combined channels: the device has 8", "combined-count"),
        (Channels(ETH0, rx_count=1), "1 rx channels: the device has 0", "rx-count"),
        (Channels(ETH0, combined_count=0), "keep one of each", "combined-count"),
    ):
        with pytest.raises(NetlinkError, match=text) as caught:
            ethtool.channels_set(request)
        assert caught.value.attribute == attribute
    assert ethtool.channels_get(GET).combined_count == 3


# --- rss


def test_equal_leaves_the_last_queues_free(ethtool: Ethtool) -> None:
    ethtool.rss_set(Rss(ETH0, equal=7))
    assert set(ethtool.rss_get(MAIN).indir or ()) == set(range(7))


def test_a_table_is_taken_whole(ethtool: Ethtool) -> None:
    table = tuple(i % 2 for i in range(128))
    ethtool.rss_set(Rss(ETH0, indir=table))
    assert ethtool.rss_get(MAIN).indir == table


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (Rss(ETH0, indir=(0,) * 127), "give 128 entries, or a divisor of it, of 0 to 7"),
        (Rss(ETH0, indir=(0,) * 256), "give 128 entries"),
        (Rss(ETH0, indir=(8,) * 128), "give 128 entries"),
        (Rss(ETH0, equal=0), "equal 0: choose 1 to 8"),
        (Rss(ETH0, equal=9), "equal 9: choose 1 to 8"),
        (Rss(ETH0, indir=(1,) * 128, equal=9), "equal 9"),
        (Rss(ETH0, hkey="00" * 39), "give 40 bytes in hexadecimal"),
        (Rss(ETH0, hkey="key"), "give 40 bytes in hexadecimal"),
        (Rss(ETH0, indir=(1,) * 128, hkey=""), "give 40 bytes"),
    ],
)
def test_a_table_or_key_that_does_not_fit_is_einval(ethtool: Ethtool, request_: Rss, text: str) -> None:
    with refused(ethtool, errno.EINVAL, text):
        ethtool.rss_set(request_)


def test_a_part_of_a_table_is_repeated_and_none_is_the_default(ethtool: Ethtool, bench: Bench) -> None:
    ethtool.rss_set(Rss(ETH0, indir=(1, 3)))
    assert ethtool.rss_get(MAIN).indir == (1, 3) * 64
    assert bench.device.rss.configured
    ethtool.rss_set(Rss(ETH0, indir=()))
    assert ethtool.rss_get(MAIN).indir == tuple(range(8)) * 16
    assert not bench.device.rss.configured


def test_contexts_are_made_used_and_deleted(ethtool: Ethtool, bench: Bench) -> None:
    first = ethtool.rss_create(Rss(ETH0, equal=2)).context
    assert ethtool.rss_create(Rss(ETH0, context=5, indir=(6,), hkey="ab" * 40)).context == 5
    assert first == 1
    assert [rss.context for rss in ethtool.rss_dump(RssDump(ETH0))] == [None, 1, 5]
    assert [rss.context for rss in ethtool.rss_dump(RssDump(ETH0, 1))] == [1, 5]
    assert [rss.context for rss in ethtool.rss_dump(RssDump(ETH0, 2))] == [5]
    ethtool.rss_set(Rss(ETH0, context=1, indir=(4,)))
    assert ethtool.rss_get(RssContext(ETH0, 1)).indir == (4,) * 128
    rule = ethtool.ntuple_insert(Ntuple(ETH0, dst_port=7000, context=5))
    assert ethtool.ntuple_dump(GET) == [Ntuple(ETH0, dst_port=7000, context=5, location=0)]
    bench.wire.put(Tcp(bytes(9), dst_port=7000).frame())
    assert bench.poll()[0].skb.queue == 6
    with refused(ethtool, errno.EBUSY, "a rule uses RSS context 5"):
        ethtool.rss_delete(RssContext(ETH0, 5))
    ethtool.ntuple_delete(rule)
    ethtool.rss_delete(RssContext(ETH0, 5))
    with refused(ethtool, errno.ENOENT, "no RSS context 5"):
        ethtool.rss_get(RssContext(ETH0, 5))


def test_what_a_context_cannot_be_is_refused(ethtool: Ethtool) -> None:
    ethtool.rss_create(Rss(ETH0))
    for number, text, act in (
        (errno.EBUSY, "is there already", lambda: ethtool.rss_create(Rss(ETH0, context=1))),
        (errno.ENOENT, "no RSS context 2", lambda: ethtool.rss_set(Rss(ETH0, context=2, equal=1))),
        (errno.ENOENT, "no RSS context 2", lambda: ethtool.rss_delete(RssContext(ETH0, 2))),
        (errno.EINVAL, "'context' is missing", lambda: ethtool.rss_delete(RssContext(ETH0))),
        (errno.EINVAL, "no default table", lambda: ethtool.rss_set(Rss(ETH0, context=1, indir=()))),
    ):
        with refused(ethtool, number, text):
            act()
    for _ in range(15):
        ethtool.rss_create(Rss(ETH0))
    with refused(ethtool, errno.ENOSPC, "room for 16 RSS contexts"):
        ethtool.rss_create(Rss(ETH0))


def test_the_hash_key_can_be_set(ethtool: Ethtool, bench: Bench) -> None:
    assert ethtool.rss_get(MAIN).hkey == DEFAULT_KEY.hex()
    ethtool.rss_set(Rss(ETH0, hkey="ab" * 40))
    assert bench.device.rss.key == b"\xab" * 40


# --- n-tuple rules


def queue_of(bench: Bench, port: int) -> int:
    bench.wire.put(Tcp(b"data", dst_port=port).frame())
    (got,) = bench.poll()
    return got.skb.queue


def test_rules_move_flows_that_are_there_already(ethtool: Ethtool, bench: Bench) -> None:
    ethtool.rss_set(Rss(ETH0, equal=1))
    assert queue_of(bench, 7000) == 0
    location = ethtool.ntuple_insert(Ntuple(ETH0, dst_port=7000, dst_ip="10.0.0.1", queue=7)).location
    assert queue_of(bench, 7000) == 7
    ethtool.ntuple_delete(Location(ETH0, location))
    assert queue_of(bench, 7000) == 0
    ethtool.rss_set(Rss(ETH0, indir=(3,) * 128))
    assert queue_of(bench, 7000) == 3


def test_rules_are_shown_as_they_were_given(ethtool: Ethtool) -> None:
    given = [
        Ntuple(ETH0, src_ip="10.0.0.2", dst_ip="10.0.0.1", src_port=1, dst_port=2, queue=7, location=4),
        Ntuple(ETH0, dst_port=7000, queue=6, location=0),
    ]
    assert [ethtool.ntuple_insert(rule).location for rule in given] == [4, 0]
    assert ethtool.ntuple_dump(GET) == given[::-1]


def test_a_rule_without_location_takes_the_lowest_free_one(ethtool: Ethtool) -> None:
    ethtool.ntuple_insert(Ntuple(ETH0, queue=1, location=0))
    assert ethtool.ntuple_insert(Ntuple(ETH0, queue=1)).location == 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Ntuple(ETH0, dst_port=1), "queue None: choose 0 to 7, or -1 to drop"),
        (Ntuple(ETH0, queue=1, flow_type="tcp6", dst_ip="10.0.0.1"), "'10.0.0.1' is not an IPv6 address"),
        (Ntuple(ETH0, queue=1, src_ip_mask="255.0.0.0"), "src-ip-mask is given without src-ip"),
        (Ntuple(ETH0, queue=1, dst_port_mask=1), "dst-port-mask is given without dst-port"),
        (Ntuple(ETH0, queue=1, location=1024), "location 1024: choose 0 to 1023"),
        (Ntuple(ETH0, context=1), "there is no RSS context 1"),
        (Ntuple(ETH0, queue=8), "queue 8: choose 0 to 7"),
        (Ntuple(ETH0, queue=1, src_ip="10.0.0"), "'10.0.0' is not an IPv4 address"),
        (Ntuple(ETH0, queue=1, dst_ip="::1"), "'::1' is not an IPv4 address"),
    ],
)
def test_a_rule_that_makes_no_sense_is_einval(ethtool: Ethtool, rule: Ntuple, text: str) -> None:
    with refused(ethtool, errno.EINVAL, text):
        ethtool.ntuple_insert(rule)


def test_a_rule_can_discard(ethtool: Ethtool, bench: Bench) -> None:
    ethtool.ntuple_insert(Ntuple(ETH0, dst_port=7000, dst_port_mask=0xFFF8, queue=-1))
    for port in (7000, 7007, 7008):
        bench.wire.put(Tcp(bytes(9), dst_port=port).frame())
    assert len(bench.poll()) == 1
    assert bench.device.rx_steering_drops == 2
    assert ethtool.stats_get(GET).stats["rx_steering_drops"] == 2


def test_rules_are_shown_with_their_masks(ethtool: Ethtool) -> None:
    given = [
        Ntuple(ETH0, "tcp4", "10.0.0.0", "255.0.0.0", dst_port=1, dst_port_mask=255, queue=-1, location=0),
        Ntuple(ETH0, "tcp6", dst_ip="fc00::1", dst_ip_mask="ffff::", queue=2, location=1),
    ]
    for rule in given:
        ethtool.ntuple_insert(rule)
    assert ethtool.ntuple_dump(GET) == given
    assert ethtool.ntuple_get(Location(ETH0, 1)) == given[1]


def test_a_full_table_is_enospc(ethtool: Ethtool) -> None:
    for _ in range(1024):
        ethtool.ntuple_insert(Ntuple(ETH0, queue=1))
    with refused(ethtool, errno.ENOSPC, "room for 1024 rules"):
        ethtool.ntuple_insert(Ntuple(ETH0, queue=1))


# --- features and counters


def test_features_that_are_fixed_stay_and_others_change(ethtool: Ethtool, bench: Bench) -> None:
    before = ethtool.features_get(GET)
    assert ethtool.features_set(FeaturesSet(ETH0, {"rx-checksum": False})) == before
    ethtool.ntuple_insert(Ntuple(ETH0, queue=1))
    off = {"rx-ntuple-filter": False, "tx-tcp-segmentation": False}
    after = ethtool.features_set(FeaturesSet(ETH0, off))
    assert set(before.active) - set(after.active) == set(off) < set(before.hw)
    assert not bench.device.tso
    assert ethtool.ntuple_dump(GET) == []
    with refused(ethtool, errno.EOPNOTSUPP, "turn it on first"):
        ethtool.ntuple_insert(Ntuple(ETH0, queue=1))
    with refused(ethtool, errno.EINVAL, "no feature 'colour'"):
        ethtool.features_set(FeaturesSet(ETH0, {"tx-tcp-segmentation": True, "colour": True}))
    assert not bench.device.tso


def test_without_scatter_gather_there_is_no_segmentation(ethtool: Ethtool) -> None:
    before = ethtool.features_get(GET)
    after = ethtool.features_set(FeaturesSet(ETH0, {"tx-scatter-gather": False}))
    assert set(before.active) - set(after.active) == {"tx-scatter-gather", "tx-tcp-segmentation"}
    assert ethtool.features_set(FeaturesSet(ETH0, {"tx-tcp-segmentation": True})) == after
    assert ethtool.features_set(FeaturesSet(ETH0, {"tx-scatter-gather": True})) == before


def test_the_counters_have_ethtools_names(ethtool: Ethtool, bench: Bench) -> None:
    bench.device.rss.table = [3] * 128
    bench.wire.put(Tcp(bytes(9)).frame())
    bench.poll()
    stats = ethtool.stats_get(GET).stats
    assert (stats["rx_packets"], stats["rx_queue_3_packets"], stats["rx_queue_2_packets"]) == (1, 1, 0)
    pool = bench.device.rx_queues[3].pool.stats
    moved = totals(bench.device.dma.ledger.snapshot())
    assert stats["pcie_switch_bytes"] == stats["pcie_root_bytes"] == moved.pcie_root_bytes == 9 + 54
    assert stats["rx_pp_alloc_slow"] == pool.alloc_slow > 0
    names = {name for name in stats if name.startswith("rx_pp_")}
    assert names == {
        *(f"rx_pp_alloc_{n}" for n in ("fast", "slow", "slow_ho", "empty", "refill", "waive")),
        *(f"rx_pp_recycle_{n}" for n in ("cached", "cache_full", "ring", "ring_full", "released_ref")),
    }


def test_deleting_what_is_not_there_is_enoent(ethtool: Ethtool) -> None:
    with refused(ethtool, errno.ENOENT, "no rule at location 3"):
        ethtool.ntuple_delete(Location(ETH0, 3))

"""Table B, a test a row: what the device refuses while a dma-buf is bound to one of its rx queues."""

from __future__ import annotations

import errno

import pytest

from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netlink_error import NetlinkError
from nodes.uapi.netlink import Channels, HeaderOnly, Ntuple, Rings, Rss, RssContext
from tests.control.conftest import ETH0, on_nic
from tests.control.test_bind import bind, bound_queues, ready

GET = HeaderOnly(ETH0)
EITHER_KIND = on_nic("generic", "combined")  # of channels: the rule counts rx + combined


def set_channels(ethtool: Ethtool, count: int) -> str:
    """The text of the refusal, '' when the request is granted."""
    before = ethtool.channels_get(GET)
    combined = before.combined_count is not None
    asked = Channels(ETH0, combined_count=count) if combined else Channels(ETH0, rx_count=count)
    try:
        ethtool.channels_set(asked)
    except NetlinkError as refused:
        refusal = refused
    else:
        return ""
    assert refusal.errno == errno.EINVAL
    assert ethtool.channels_get(GET) == before
    return str(refusal.strerror)


@EITHER_KIND
@pytest.mark.parametrize(("bound", "min_count"), [(0, 2), (3, 5), (6, 8)])
def test_b1_channels_stay_above_the_highest_bound_queue_by_more_than_one(
    ethtool: Ethtool, netdev: Netdev, bound: int, min_count: int
) -> None:
    ready(netdev)
    binding = bind(netdev, bound)
    if bound + 1 < 8:  # 8 of 8 would be no change
        assert set_channels(ethtool, bound + 1).startswith(f"{bound + 1} channels are too few for the bound")
    assert set_channels(ethtool, max(1, bound)) != ""
    assert bound_queues(netdev) == {bound: binding.dmabuf_id}
    assert set_channels(ethtool, min_count) == ""
    assert bound_queues(netdev) == {bound: binding.dmabuf_id}
    netdev.unbind(binding)
    assert set_channels(ethtool, 1) == ""


@EITHER_KIND
def test_b1_unchanged_channels_are_granted_with_the_last_queue_bound(
    ethtool: Ethtool, netdev: Netdev
) -> None:
    ready(netdev)
    bind(netdev, 7)
    assert set_channels(ethtool, 8) == ""
    assert set_channels(ethtool, 7).startswith("7 channels are too few")


@pytest.mark.parametrize("split", [0, 1])
def test_b2_header_split_stays_while_bound(ethtool: Ethtool, netdev: Netdev, split: int) -> None:
    ready(netdev)
    binding = bind(netdev, 7)
    with pytest.raises(NetlinkError, match="tcp-data-split stays enabled") as caught:
        ethtool.rings_set(Rings(ETH0, tcp_data_split=split, rx=100))
    assert (caught.value.errno, caught.value.attribute) == (errno.EINVAL, "tcp-data-split")
    assert ethtool.rings_get(GET).rx != 100
    netdev.unbind(binding)
    ethtool.rings_set(Rings(ETH0, tcp_data_split=split, rx=100))


def test_b3_the_threshold_stays_0_while_bound(ethtool: Ethtool, netdev: Netdev) -> None:
    ready(netdev)
    binding = bind(netdev, 7)
    with pytest.raises(NetlinkError, match="hds-thresh stays 0") as caught:
        ethtool.rings_set(Rings(ETH0, hds_thresh=5000))  # the device's own limit is checked later
    assert (caught.value.errno, caught.value.attribute) == (errno.EINVAL, "hds-thresh")
    netdev.unbind(binding)
    ethtool.rings_set(Rings(ETH0, hds_thresh=5))


@EITHER_KIND
def test_b8_channels_stay_above_what_tables_and_rules_name(ethtool: Ethtool) -> None:
    ethtool.rss_set(Rss(ETH0, equal=3))
    ethtool.ntuple_insert(Ntuple(ETH0, queue=4, location=0))
    assert set_channels(ethtool, 4) == "4 channels are too few for the n-tuple filters (4)"
    assert set_channels(ethtool, 2) == "2 channels are too few for the indirection table (2)"
    assert set_channels(ethtool, 5) == ""
    context = ethtool.rss_create(Rss(ETH0, indir=(4,)))
    ethtool.ntuple_insert(Ntuple(ETH0, queue=-1, location=0))
    assert set_channels(ethtool, 4) == "4 channels are too few for the indirection table (4)"
    ethtool.rss_delete(context)
    assert set_channels(ethtool, 3) == ""


def test_b8_the_default_table_follows_the_channels(ethtool: Ethtool) -> None:
    for count in (2, 8):
        assert set_channels(ethtool, count) == ""
        assert set(ethtool.rss_get(RssContext(ETH0)).indir or ()) == set(range(count))


def test_what_the_kernel_leaves_to_the_user_is_granted(ethtool: Ethtool, netdev: Netdev) -> None:
    """RSS may choose a bound queue, and so may any rule."""
    ready(netdev)
    bind(netdev, 6)
    ethtool.rss_set(Rss(ETH0, indir=(6,)))
    ethtool.ntuple_insert(Ntuple(ETH0, dst_port=80, queue=6))
    assert set(ethtool.rss_get(RssContext(ETH0)).indir or ()) == {6}
    assert [rule.queue for rule in ethtool.ntuple_dump(GET)] == [6]

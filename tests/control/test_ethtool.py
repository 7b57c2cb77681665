"""What ethtool refuses, what a bound dma-buf forbids, and that a refused request changes nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netlink_error import NetlinkError
from nodes.netlink import Empty, Location, Ntuple, Rings, Rss
from nodes.nic.rss import DEFAULT_KEY
from tests.control.test_bind import bind
from tests.nic.bench import Bench
from tests.nic.frames import Tcp

GET = Empty()


@contextmanager
def refused(ethtool: Ethtool, number: int, text: str) -> Iterator[None]:
    """The request fails, and rings, RSS and rules stay as they are."""
    before = (ethtool.rings_get(GET), ethtool.rss_get(GET), ethtool.ntuple_get(GET))
    with pytest.raises(NetlinkError, match=text) as caught:
        yield
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]
    assert (ethtool.rings_get(GET), ethtool.rss_get(GET), ethtool.ntuple_get(GET)) == before


# --- rings


def test_rings_start_unsplit_and_can_be_split(ethtool: Ethtool) -> None:
    assert ethtool.rings_get(GET).tcp_data_split == "unknown"
    ethtool.rings_set(Rings(tcp_data_split="enabled", hds_thresh=0, rx=64))
    found = ethtool.rings_get(GET)
    assert (found.tcp_data_split, found.hds_thresh, found.rx) == ("enabled", 0, 64)


def test_a_new_ring_size_is_every_queues(ethtool: Ethtool, bench: Bench) -> None:
    ethtool.rings_set(Rings(rx=33))
    assert {rxq.ring_size for rxq in bench.device.rx_queues} == {33}


@pytest.mark.parametrize("rx", [0, 8193])
def test_a_ring_of_none_or_too_many_is_einval(ethtool: Ethtool, rx: int) -> None:
    with refused(ethtool, errno.EINVAL, f"rx ring of {rx}: choose 1 to 8192"):
        ethtool.rings_set(Rings(rx=rx, tcp_data_split="enabled"))


@pytest.mark.parametrize("rings", [Rings(rx_max=8192), Rings(rx_buf_len=8192)])
def test_what_the_device_cannot_change_is_eopnotsupp(ethtool: Ethtool, rings: Rings) -> None:
    with refused(ethtool, errno.EOPNOTSUPP, "cannot change"):
        ethtool.rings_set(rings)


def test_a_threshold_is_einval(ethtool: Ethtool) -> None:
    with refused(ethtool, errno.EINVAL, "splits at 0 only"):
        ethtool.rings_set(Rings(hds_thresh=1))


@pytest.mark.parametrize("split", ["disabled", "unknown"])
def test_header_split_stays_while_a_dma_buf_is_bound(ethtool: Ethtool, netdev: Netdev, split: str) -> None:
    ethtool.rings_set(Rings(tcp_data_split="enabled"))
    binding = bind(netdev, 7)
    request = Rings(tcp_data_split="disabled" if split == "disabled" else "unknown", rx=100)
    with refused(ethtool, errno.EINVAL, "tcp-data-split stays enabled"):  # B2
        ethtool.rings_set(request)
    netdev.unbind(binding)
    ethtool.rings_set(request)
    assert ethtool.rings_get(GET).tcp_data_split == split


def test_the_threshold_stays_while_a_dma_buf_is_bound(ethtool: Ethtool, netdev: Netdev) -> None:
    ethtool.rings_set(Rings(tcp_data_split="enabled"))
    bind(netdev, 7)
    with refused(ethtool, errno.EINVAL, "hds-thresh stays 0 while"):  # B3
        ethtool.rings_set(Rings(hds_thresh=1))
    ethtool.rings_set(Rings(tcp_data_split="enabled", hds_thresh=0, rx=128))  # no change of either


def test_channels_are_the_rx_queues(ethtool: Ethtool) -> None:
    assert ethtool.channels_get(GET).rx_count == 8


# --- rss


def test_equal_leaves_the_last_queues_free(ethtool: Ethtool) -> None:
    ethtool.rss_set(Rss(equal=7))
    assert set(ethtool.rss_get(GET).indir or ()) == set(range(7))


def test_a_table_is_taken_whole(ethtool: Ethtool) -> None:
    table = tuple(i % 2 for i in range(128))
    ethtool.rss_set(Rss(indir=table))
    assert ethtool.rss_get(GET).indir == table


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (Rss(indir=(0,) * 127), "give 128 entries of 0 to 7"),
        (Rss(indir=()), "give 128 entries"),
        (Rss(indir=(8,) * 128), "give 128 entries of 0 to 7"),
        (Rss(equal=0), "equal 0: choose 1 to 8"),
        (Rss(equal=9), "equal 9: choose 1 to 8"),
        (Rss(indir=(1,) * 128, equal=9), "equal 9"),
        (Rss(hkey="00" * 39), "give 40 bytes in hexadecimal"),
        (Rss(hkey="key"), "give 40 bytes in hexadecimal"),
        (Rss(indir=(1,) * 128, hkey=""), "give 40 bytes"),
    ],
)
def test_a_table_or_key_that_does_not_fit_is_einval(ethtool: Ethtool, request_: Rss, text: str) -> None:
    with refused(ethtool, errno.EINVAL, text):
        ethtool.rss_set(request_)


def test_the_hash_key_can_be_set(ethtool: Ethtool, bench: Bench) -> None:
    assert ethtool.rss_get(GET).hkey == DEFAULT_KEY.hex()
    ethtool.rss_set(Rss(hkey="ab" * 40))
    assert bench.device.rss.key == b"\xab" * 40


# --- n-tuple rules


def queue_of(bench: Bench, port: int) -> int:
    bench.wire.put(Tcp(b"data", dst_port=port).frame())
    (got,) = bench.poll()
    return got.skb.queue


def test_rules_move_flows_that_are_there_already(ethtool: Ethtool, bench: Bench) -> None:
    ethtool.rss_set(Rss(equal=1))
    assert queue_of(bench, 7000) == 0
    location = ethtool.ntuple_insert(Ntuple(dst_port=7000, dst_ip="10.0.0.1", queue=7)).location
    assert queue_of(bench, 7000) == 7
    ethtool.ntuple_delete(Location(location))
    assert queue_of(bench, 7000) == 0
    ethtool.rss_set(Rss(indir=(3,) * 128))
    assert queue_of(bench, 7000) == 3


def test_rules_are_shown_as_they_were_given(ethtool: Ethtool) -> None:
    given = [
        Ntuple("tcp4", "10.0.0.2", "10.0.0.1", 1, 2, queue=7, location=4),
        Ntuple(dst_port=7000, queue=6, location=0),
    ]
    assert [ethtool.ntuple_insert(rule).location for rule in given] == [4, 0]
    assert ethtool.ntuple_get(GET) == given[::-1]


def test_a_rule_without_location_takes_the_lowest_free_one(ethtool: Ethtool) -> None:
    ethtool.ntuple_insert(Ntuple(queue=1, location=0))
    assert ethtool.ntuple_insert(Ntuple(queue=1)).location == 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Ntuple(dst_port=1), "queue None: choose 0 to 7"),
        (Ntuple(queue=8), "queue 8: choose 0 to 7"),
        (Ntuple(queue=1, src_ip="10.0.0"), "'10.0.0' is not an IPv4 address"),
        (Ntuple(queue=1, dst_ip="::1"), "'::1' is not an IPv4 address"),
    ],
)
def test_a_rule_that_makes_no_sense_is_einval(ethtool: Ethtool, rule: Ntuple, text: str) -> None:
    with refused(ethtool, errno.EINVAL, text):
        ethtool.ntuple_insert(rule)


def test_deleting_what_is_not_there_is_enoent(ethtool: Ethtool) -> None:
    with refused(ethtool, errno.ENOENT, "no rule at location 3"):
        ethtool.ntuple_delete(Location(3))

"""The ethtool family of a host with two NICs: which device a header names, and how a bad one is refused."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import cast

import msgspec
import pytest

from nodes.client import ethtool_command
from nodes.client.calls import Calls
from nodes.client.ethtool import Ethtool as EthtoolClient
from nodes.control import policy
from nodes.control.devices import Devices, header_of
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netlink_error import NetlinkError
from nodes.uapi.netlink import (
    Channels,
    FeaturesSet,
    Header,
    HeaderOnly,
    Location,
    Ntuple,
    Rings,
    Rss,
    RssContext,
    RssDump,
)
from tests.control.local_host import LocalCalls, local_host
from tests.control.two_nics import ABSENT, ETH0, ETH1, FIRST, SECOND, bind_rx, refusal, split
from tests.control.two_nics import devices as devices
from tests.control.two_nics import ethtool as ethtool
from tests.control.two_nics import netdev as netdev

BY_INDEX, BY_NAME = Header(dev_index=SECOND), Header(dev_name="eth1")
ACTS: dict[str, Callable[[Ethtool, Header | None], object]] = {
    "rings-get": lambda ethtool, h: ethtool.rings_get(HeaderOnly(h)),
    "rings-set": lambda ethtool, h: ethtool.rings_set(Rings(h, rx=100)),
    "channels-get": lambda ethtool, h: ethtool.channels_get(HeaderOnly(h)),
    "channels-set": lambda ethtool, h: ethtool.channels_set(Channels(h, rx_count=2)),
    "rss-get": lambda ethtool, h: ethtool.rss_get(RssContext(h)),
    "rss-set": lambda ethtool, h: ethtool.rss_set(Rss(h, equal=2)),
    "rss-create-act": lambda ethtool, h: ethtool.rss_create(Rss(h, context=9)),
    "rss-delete-act": lambda ethtool, h: ethtool.rss_delete(RssContext(h, 8)),
    "ntuple-insert": lambda ethtool, h: ethtool.ntuple_insert(Ntuple(h, queue=1)),
    "ntuple-get": lambda ethtool, h: ethtool.ntuple_get(Location(h, 900)),
    "ntuple-delete": lambda ethtool, h: ethtool.ntuple_delete(Location(h, 900)),
    "features-get": lambda ethtool, h: ethtool.features_get(HeaderOnly(h)),
    "features-set": lambda ethtool, h: ethtool.features_set(FeaturesSet(h, {"rx-hashing": True})),
    "stats-get": lambda ethtool, h: ethtool.stats_get(HeaderOnly(h)),
}
BAD_HEADERS: list[tuple[Header | None, tuple[str, str, str]]] = [
    (None, ("EINVAL", "request header missing", "header")),
    (Header(), ("EINVAL", "neither ifindex nor name specified", "header")),
    (Header(ABSENT), ("ENODEV", "no device matches ifindex", "header.dev-index")),
    (Header(0), ("ENODEV", "no device matches ifindex", "header.dev-index")),
    (Header(ABSENT, "eth1"), ("ENODEV", "no device matches ifindex", "header.dev-index")),
    (Header(dev_name="eth2"), ("ENODEV", "no device matches name", "header.dev-name")),
    (Header(dev_name=""), ("ENODEV", "no device matches name", "header.dev-name")),
    (Header(FIRST, "eth1"), ("ENODEV", "ifindex and name do not match", "header")),
    (Header(SECOND, ""), ("ENODEV", "ifindex and name do not match", "header")),
]


@pytest.mark.parametrize("operation", ACTS)
@pytest.mark.parametrize("header", [BY_INDEX, BY_NAME, ETH1])
def test_a_header_names_a_device_by_index_by_name_or_by_both(
    ethtool: Ethtool, devices: Devices, header: Header, operation: str
) -> None:
    """The reply has both; the other device stays as it is."""
    untouched = settings(ethtool, ETH0)
    ethtool.rss_create(Rss(ETH1, context=8, equal=1))
    ethtool.ntuple_insert(Ntuple(ETH1, queue=0, location=900))
    reply = ACTS[operation](ethtool, header)
    changed = ("rings-set", "channels-set", "rss-set", "rss-delete-act", "ntuple-delete")
    assert (None if operation in changed else ETH1) == getattr(reply, "header", None)
    assert settings(ethtool, ETH0) == untouched
    assert header_of(devices[SECOND]) == ETH1


def settings(ethtool: Ethtool, header: Header) -> list[object]:
    """All that ethtool shows of one device but its counters."""
    get = HeaderOnly(header)
    shown: list[object] = [ethtool.rings_get(get), ethtool.channels_get(get), ethtool.features_get(get)]
    return [*shown, *ethtool.rss_dump(RssDump(header)), *ethtool.ntuple_dump(get)]


def test_settings_are_those_of_the_device_that_the_header_names(ethtool: Ethtool) -> None:
    ethtool.rings_set(Rings(BY_NAME, rx=77))
    ethtool.channels_set(Channels(BY_INDEX, rx_count=5))
    gets = [HeaderOnly(header) for header in (ETH0, ETH1)]
    assert [ethtool.rings_get(get).rx for get in gets] == [512, 77]
    assert [ethtool.channels_get(get).rx_count for get in gets] == [4, 5]
    assert [ethtool.channels_get(get).rx_max for get in gets] == [4, 6]


@pytest.mark.parametrize("operation", ACTS)
@pytest.mark.parametrize(("header", "expected"), BAD_HEADERS)
def test_a_bad_header_is_refused_as_the_kernel_refuses_it(
    ethtool: Ethtool, header: Header | None, expected: tuple[str, str, str], operation: str
) -> None:
    before = settings(ethtool, ETH0), settings(ethtool, ETH1)
    assert refusal(lambda: ACTS[operation](ethtool, header)) == expected
    assert (settings(ethtool, ETH0), settings(ethtool, ETH1)) == before


def test_the_header_is_refused_before_the_other_attributes(ethtool: Ethtool) -> None:
    request = Rings(Header(ABSENT), rx=1 << 31, hds_thresh=1 << 31)
    assert refusal(lambda: ethtool.rings_set(request))[0] == "ENODEV"


def test_dumps_cover_the_device_of_their_header_or_every_device(ethtool: Ethtool) -> None:
    ethtool.rss_create(Rss(ETH1))
    for header in (ETH1, ETH0):
        ethtool.ntuple_insert(Ntuple(header, queue=1))
    for of_all in (None, Header()):
        assert [each.header for each in ethtool.rss_dump(RssDump(of_all))] == [ETH0, ETH1, ETH1]
        assert [each.header for each in ethtool.ntuple_dump(HeaderOnly(of_all))] == [ETH0, ETH1]
    for header in (BY_INDEX, BY_NAME, ETH1):
        assert [each.context for each in ethtool.rss_dump(RssDump(header))] == [None, 1]
        assert [each.header for each in ethtool.ntuple_dump(HeaderOnly(header))] == [ETH1]
    for bad, expected in BAD_HEADERS[2:]:
        request = HeaderOnly(bad)
        assert refusal(lambda request=request: ethtool.rss_dump(request)) == expected  # type: ignore[misc]
        assert refusal(lambda request=request: ethtool.ntuple_dump(request)) == expected  # type: ignore[misc]


def test_channels_are_guarded_by_the_bindings_of_their_own_device(netdev: Netdev, ethtool: Ethtool) -> None:
    split(ethtool, ETH0, ETH1)
    bind_rx(netdev, SECOND, 3)
    text = "3 channels are too few for the bound memory provider (4)"
    assert refusal(lambda: ethtool.channels_set(Channels(ETH1, rx_count=3)))[1] == text
    ethtool.channels_set(Channels(ETH0, rx_count=1))
    ethtool.channels_set(Channels(ETH1, rx_count=5))


def test_header_split_is_guarded_by_the_bindings_of_their_own_device(
    netdev: Netdev, ethtool: Ethtool
) -> None:
    split(ethtool, ETH0, ETH1)
    bind_rx(netdev, SECOND, 3)
    assert refusal(lambda: ethtool.rings_set(Rings(ETH1, tcp_data_split=1)))[2] == "tcp-data-split"
    assert refusal(lambda: ethtool.rings_set(Rings(ETH1, hds_thresh=1)))[2] == "hds-thresh"
    ethtool.rings_set(Rings(ETH0, tcp_data_split="disabled", hds_thresh=1))


# --- the policy of a header, and the client's


@pytest.mark.parametrize(
    ("header", "number", "attribute"),
    [
        ({"dev-index": -1}, errno.ERANGE, "header.dev-index"),
        ({"dev-index": 1 << 32}, errno.ERANGE, "header.dev-index"),
        ({"dev-index": "2"}, errno.EINVAL, "header.dev-index"),
        ({"dev-name": 2}, errno.EINVAL, "header.dev-name"),
        ({"dev-name": "x" * 128}, errno.ERANGE, "header.dev-name"),
        ({"colour": 2}, errno.EINVAL, "header.colour"),
        (2, errno.EINVAL, "header"),
    ],
)
def test_a_header_satisfies_the_policy(header: object, number: int, attribute: str) -> None:
    with pytest.raises(NetlinkError) as caught:
        policy.parse(msgspec.msgpack.encode({"header": header}), Rings)
    assert (caught.value.errno, caught.value.attribute) == (number, attribute)


def test_the_client_names_its_own_device_unless_told_another(devices: Devices) -> None:
    eth0 = EthtoolClient(cast(Calls, LocalCalls(devices)), FIRST)
    eth1 = eth0.of(SECOND)
    eth1.rings_set({"rx": 66})
    eth0.do("rings-set", {"header": {"dev-name": "eth1"}, "tx": 33})
    assert [client.rings_get()["rx"] for client in (eth0, eth1)] == [512, 66]
    assert eth1.rings_get()["tx"] == eth1.do("rings-get")["tx"] == 33
    assert eth1.rings_get()["header"] == {"dev-index": SECOND, "dev-name": "eth1"}
    rule = eth1.ntuple_insert({"queue": 2})
    assert (eth0.ntuple_get(), len(eth1.ntuple_get())) == ([], 1)
    names = [each["header"]["dev-name"] for each in eth0.dump("rss-get", {"header": {}})]
    assert names == ["eth0", "eth1"]
    assert eth1.names() == {"eth0": FIRST, "eth1": SECOND}
    eth0.ntuple_delete(rule)  # the reply's header says of which device
    assert eth1.ntuple_get() == []
    assert ["rx_queue_5_packets" in client.stats_get() for client in (eth0, eth1)] == [False, True]


def test_ethtools_options_are_about_the_interface_that_follows_them(devices: Devices) -> None:
    host = local_host(devices[FIRST], devices[SECOND])
    for line in ("-G eth1 rx 55", "-G eth0 rx 44", "-G rx 33"):
        assert ethtool_command.run(host, line.split()) == ""
    assert [device.rings.rx for device in devices.values()] == [33, 55]
    assert ethtool_command.run(host, ["-l", "eth1"]).startswith("Channel parameters for eth1:")
    assert ethtool_command.run(host, ["-l"]).startswith("Channel parameters for eth0:")
    with pytest.raises(ethtool_command.EthtoolUsage, match="'eth2' is one word too many"):
        ethtool_command.run(host, ["-l", "eth2"])

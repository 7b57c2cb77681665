"""Routes that a host is told at its start: what they may be, and sentences about what they cannot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from nodes.endpoint.options import parse as parse_words
from nodes.host_config import HostConfig, NicConfig, check, decode, encode
from nodes.host_routes import HostRoute, parse
from nodes.option import OptionError

NICS = (
    NicConfig(interface="eth0", address="10.0.1.1/24", address6="fd00:1::1/64"),
    NicConfig(interface="eth1", address="10.0.2.1/24"),
)


def host(*routes: str, **nic: str) -> HostConfig:
    """With `nic` as further fields of the first NIC."""
    first = NicConfig(interface="eth0", address="10.0.1.1/24", address6="fd00:1::1/64", **nic)
    return HostConfig(nics=(first, NICS[1]), channel="/tmp/h1.sock", routes=routes)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("10.9.0.0/16,via=10.0.1.254", {"prefix": "10.9.0.0/16", "via": "10.0.1.254"}),
        ("10.9.0.7,dev=eth1", {"prefix": "10.9.0.7/32", "dev": "eth1"}),
        ("default,via=10.0.1.254,metric=7", {"prefix": "0.0.0.0/0", "via": "10.0.1.254", "metric": 7}),
        ("default,via=fd00:1::fe", {"prefix": "::/0", "via": "fd00:1::fe"}),
        ("fd01::/64,src=fd00:1::1,dev=eth0", {"prefix": "fd01::/64", "source": "fd00:1::1", "dev": "eth0"}),
        ("10.9.0.0/16,unreachable", {"prefix": "10.9.0.0/16", "refusal": "unreachable"}),
    ],
)
def test_a_route_is_one_word(text: str, fields: dict[str, Any]) -> None:
    defaults = {"via": None, "dev": "", "metric": 0, "source": None, "refusal": ""}
    found = {name: value if value in (None, "", 0) or isinstance(value, int | str) else str(value)
             for name, value in asdict(parse(text)).items()}  # fmt: skip
    assert found == defaults | fields
    check(host(text))
    assert decode(encode(host(text))) == host(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10.9.1.0/16,via=10.0.1.254", "has bits behind its prefix length; write 10.9.0.0/16"),
        ("fd01::1/64,via=fd00:1::fe", "has bits behind its prefix length; write fd01::/64"),
        ("10.9.0.0/16", "leads nowhere; write it like"),
        ("10.9.0.0/16,via", "has 'via'; write it like"),
        ("10.9.0.0/16,via=", "has 'via='"),
        ("10.9.0.0/16,by=10.0.1.254", "has 'by=10.0.1.254'"),
        ("10.9.0.0/16,via=10.0.1.254,via=10.0.1.253", "has 'via=10.0.1.253'"),
        ("10.9.0.0/16,throw", "has 'throw'"),
        ("10.9.0.0/16,unreachable,via=10.0.1.254", "refuses packets and sends them as well"),
        ("10.9.0.0/16,via=gateway", "'gateway' is no address"),
        ("via=10.0.1.254", "leads nowhere"),
        ("10.9/16,via=10.0.1.254", "begins with no prefix"),
        ("10.9.0.0/16,via=fd00:1::fe", "mixes IPv4 and IPv6"),
        ("10.9.0.0/16,dev=eth0,metric=low", "has a metric that is no number from 0 to 4294967295"),
        ("10.9.0.0/16,dev=eth0,metric=4294967296", "has a metric that is no number"),
    ],
)
def test_a_word_that_is_no_route_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    for attempt in (lambda: parse(text), lambda: check(host(text))):
        with pytest.raises(OptionError) as refused:
            attempt()
        assert sentence in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (host("10.9.0.0/16,via=10.0.3.1"), "the gateway 10.0.3.1 is on no link of this host"),
        (host("10.9.0.0/16,via=10.0.1.1"), "the gateway 10.0.1.1 is on no link"),
        (host("10.9.0.0/16,via=10.0.1.255"), "the gateway 10.0.1.255 is on no link"),
        (host("10.9.0.0/16,via=10.0.1.254,dev=eth1"), "the gateway 10.0.1.254 is on no link of eth1"),
        (host("10.9.0.0/16,dev=eth7"), "no NIC is called 'eth7'; choose one of eth0, eth1"),
        (host("10.9.0.0/16,dev=eth0,src=10.0.9.9"), "10.0.9.9 is no address of this host"),
        (host("10.9.0.0/16,dev=eth0", "10.9.0.0/16,dev=eth1"), "10.9.0.0/16 has a route already"),
        (host(gateway="10.0.2.254"), "--gateway 10.0.2.254 is no neighbour on eth0, whose link has 10."),
        (host(gateway="10.0.1.1"), "--gateway 10.0.1.1 is no neighbour"),
        (host(gateway="10.0.1.0"), "--gateway 10.0.1.0 is no neighbour"),
        (host(gateway="router"), "nics[0].gateway: 'router' is not an IPv4 address"),
        (host(gateway6="fd00:2::fe"), "--gateway6 fd00:2::fe is no neighbour"),
        (host(gateway6="fe80::1"), "nics[0].gateway6: 'fe80::1"),
    ],
)
def test_what_does_not_fit_the_nics_is_refused_in_one_sentence(config: HostConfig, sentence: str) -> None:
    with pytest.raises(OptionError) as refused:
        check(config)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_gateway6_needs_an_address6() -> None:
    nic = NicConfig(interface="eth1", address="10.0.2.1/24", gateway6="fd00:2::fe")
    with pytest.raises(OptionError, match="eth1 has no such address itself"):
        check(HostConfig(nics=(nic,), channel="/tmp/h1.sock"))


def test_different_metrics_and_highest_ipv6_addresses_are_fine() -> None:
    check(host("10.9.0.0/16,dev=eth0", "10.9.0.0/16,dev=eth1,metric=2", gateway="10.0.1.254"))
    check(host(gateway6="fd00:1::ffff:ffff:ffff:ffff"))
    point_to_point = NicConfig(interface="eth0", address="10.0.1.0/31", gateway="10.0.1.1")
    check(HostConfig(nics=(point_to_point,), channel="/tmp/h1.sock"))


def test_the_command_line_takes_several_routes_and_a_gateway_for_each_nic(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [
        "--interface", "eth0", "--address", "10.0.1.1/24", "--gateway", "10.0.1.254",
        "--interface", "eth1", "--address", "10.0.2.1/24", "--gateway", "10.0.2.254",
        "--channel", "/tmp/h1.sock", "--route", "10.9.0.0/16,via=10.0.2.253",
    ]  # fmt: skip
    config = parse_words([*words, "--route", "10.8.0.0/16,unreachable"])
    assert [nic.gateway for nic in config.nics] == ["10.0.1.254", "10.0.2.254"]
    assert config.routes == ("10.9.0.0/16,via=10.0.2.253", "10.8.0.0/16,unreachable")
    for wrong, sentence in (
        ("10.8.0.0/16,via=10.0.3.1", "endpoint: route '10.8.0.0/16,via=10.0.3.1': the gateway "),
        ("10.8.0.1/16,via=10.0.1.254", "endpoint: --route: '10.8.0.1/16' has bits behind its prefix length"),
    ):
        with pytest.raises(SystemExit) as ended:
            parse_words([*words, "--route", wrong])
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(sentence)


def test_a_host_route_says_nothing_that_was_not_given() -> None:
    assert parse("10.9.0.0/16,prohibit") == HostRoute(parse("10.9.0.0/16,dev=x").prefix, refusal="prohibit")

"""ethtool's options change what they change in ethtool, and the output is ethtool's."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from nodes.client import ethtool_command
from nodes.client.ethtool_command import EthtoolUsage
from nodes.client.host import Host
from tests.control.conftest import on_nic
from tests.control.local_host import local_host
from tests.nic.bench import Bench


@pytest.fixture
def host(bench: Bench) -> Host:
    return local_host(bench.device)


def ethtool(host: Host, line: str) -> str:
    return ethtool_command.run(host, line.split())


def test_channels(host: Host) -> None:
    expected = (
        "Channel parameters for eth0:\nPre-set maximums:\nRX:\t\t8\nTX:\t\t1\nOther:\t\tn/a\nCombined:\tn/a\n"
        "Current hardware settings:\nRX:\t\t8\nTX:\t\t1\nOther:\t\tn/a\nCombined:\tn/a"
    )
    assert ethtool(host, "-l eth0") == ethtool(host, "--show-channels") == expected
    assert ethtool(host, "-L eth0 rx 3 tx 1") == ""
    assert "RX:\t\t3" in ethtool(host, "-l")


def test_driver_settings_and_what_the_driver_does_not_have(host: Host) -> None:
    assert ethtool(host, "-i eth0") == ethtool(host, "--driver")
    assert ethtool(host, "-i").splitlines()[0] == "driver: devmem-testbed"
    assert ethtool(host, "eth0").splitlines() == [
        "Settings for eth0:", "\tSpeed: Unknown!", "\tDuplex: Unknown! (255)",
    ]  # fmt: skip
    for line, number in (("-c eth0", errno.EOPNOTSUPP), ("-a", errno.EOPNOTSUPP), ("eth9", errno.ENODEV)):
        with pytest.raises(OSError) as refused:
            ethtool(host, line)
        assert refused.value.errno == number


@on_nic("combined")
def test_combined_channels(host: Host) -> None:
    assert ethtool(host, "-L combined 3") == ""
    expected = (
        "Channel parameters for eth0:\n"
        "Pre-set maximums:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\tn/a\nCombined:\t8\n"
        "Current hardware settings:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\tn/a\nCombined:\t3"
    )
    assert ethtool(host, "-l") == expected
    assert ethtool(host, "-n").startswith("3 RX rings available")


def test_rings(host: Host) -> None:
    assert ethtool(host, "-G eth0 rx 64 tx 32 tcp-data-split on hds-thresh 7") == ""
    lines = ethtool(host, "-g").splitlines()
    assert lines[:3] == ["Ring parameters for eth0:", "Pre-set maximums:", "RX:\t\t\t8192"]
    current = lines[lines.index("Current hardware settings:") :]
    for line in ("RX:\t\t\t64", "TX:\t\t\t32", "RX Mini:\t\tn/a", "TCP data split:\t\ton"):
        assert line in current
    assert current[-1] == "HDS thresh:\t\t7"
    ethtool(host, "-G tcp-data-split auto")
    assert "TCP data split:\t\tn/a" in ethtool(host, "-g")


def test_features(host: Host, bench: Bench) -> None:
    assert ethtool(host, "-K eth0 tso off ntuple-filters off") == ""
    lines = ethtool(host, "-k").splitlines()
    assert lines[0] == "Features for eth0:"
    for line in ("rx-checksumming: on [fixed]", "tcp-segmentation-offload: off", "ntuple-filters: off"):
        assert line in lines
    assert not bench.device.tso
    with pytest.raises(EthtoolUsage, match="Could not change any device features"):
        ethtool(host, "-K rx-gro-hw off")


RULES = """8 RX rings available
Total 3 rules

Filter: 0
\tRule Type: TCP over IPv4
\tSrc IP addr: 10.0.0.0 mask: 0.0.0.255
\tDest IP addr: 0.0.0.0 mask: 255.255.255.255
\tTOS: 0x0 mask: 0xff
\tSrc port: 0 mask: 0xffff
\tDest port: 7000 mask: 0x7
\tAction: Direct to queue 5

Filter: 1
\tRule Type: TCP over IPv4
\tSrc IP addr: 0.0.0.0 mask: 255.255.255.255
\tDest IP addr: 10.0.0.1 mask: 0.0.0.0
\tTOS: 0x0 mask: 0xff
\tSrc port: 9 mask: 0x0
\tDest port: 0 mask: 0xffff
\tRSS Context ID: 1
\tAction: Direct to queue 0

Filter: 7
\tRule Type: TCP over IPv6
\tSrc IP addr: :: mask: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
\tDest IP addr: fc00::1 mask: ::
\tTraffic Class: 0x0 mask: 0xff
\tSrc port: 0 mask: 0xffff
\tDest port: 0 mask: 0xffff
\tAction: Drop
"""


def test_rules(host: Host, bench: Bench) -> None:
    assert ethtool(host, "-X context new equal 2") == "New RSS context is 1"
    first = "-N eth0 flow-type tcp4 src-ip 10.0.0.0 m 0.0.0.255 dst-port 7000 m 7 action 5"
    assert ethtool(host, first) == "Added rule with ID 0"
    assert ethtool(host, "-U flow-type tcp4 dst-ip 10.0.0.1 src-port 9 context 1") == "Added rule with ID 1"
    assert ethtool(host, "-N flow-type tcp6 dst-ip fc00::1 action -1 loc 7") == "Added rule with ID 7"
    assert ethtool(host, "-n eth0") == RULES
    assert ethtool(host, "-n eth0 rule 7") == RULES[RULES.index("Filter: 7") :]
    rule = bench.device.steering.rules[0]
    assert (rule.src_ip_mask, rule.dst_port_mask) == (0xFFFFFF00, 0xFFF8), "the bits that are compared"
    assert ethtool(host, "-N delete 7") == ""
    assert sorted(bench.device.steering.rules) == [0, 1]


RAW = """Filter: 0
\tRule Type: Raw IPv4
\tSrc IP addr: 10.0.0.2 mask: 0.0.0.0
\tDest IP addr: 10.0.0.0 mask: 0.0.0.255
\tTOS: 0x0 mask: 0xff
\tProtocol: 6 mask: 0x0
\tL4 bytes: 0x0 mask: 0xffffffff
\tAction: Direct to queue 3

Filter: 1
\tRule Type: Raw IPv6
\tSrc IP addr: :: mask: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
\tDest IP addr: fc00::1 mask: ::
\tTraffic Class: 0x0 mask: 0xff
\tProtocol: 0 mask: 0xff
\tL4 bytes: 0x0 mask: 0xffffffff
\tAction: Drop
"""


def test_rules_for_ip_packets_of_any_or_of_one_protocol(host: Host, bench: Bench) -> None:
    first = "-N flow-type ip4 src-ip 10.0.0.2 dst-ip 10.0.0.0 m 0.0.0.255 l4proto 6 action 3"
    assert ethtool(host, first) == "Added rule with ID 0"
    assert ethtool(host, "-N flow-type ip6 dst-ip fc00::1 action -1") == "Added rule with ID 1"
    assert ethtool(host, "-n").split("\n", 3)[3] == RAW
    assert bench.device.steering.rules[0].protocol == 6
    for line, attribute in (
        ("-N flow-type ip4 dst-port 7000 action 3", "dst-port"),
        ("-N flow-type tcp4 l4proto 6 action 3", "l4proto"),
        ("-N flow-type ip4 src-ip fc00::1 action 3", "src-ip"),
    ):
        with pytest.raises(OSError) as refused:
            ethtool(host, line)
        assert (refused.value.errno, getattr(refused.value, "attribute", "")) == (errno.EINVAL, attribute)
    with pytest.raises(OSError) as refused:
        ethtool(host, "-N flow-type ip4 l4proto 256 action 3")
    assert refused.value.errno == errno.ERANGE


def test_the_indirection_table(host: Host, bench: Bench) -> None:
    assert ethtool(host, "-X eth0 equal 7") == ""
    lines = ethtool(host, "-x eth0").splitlines()
    assert lines[0] == "RX flow hash indirection table for eth0 with 8 RX ring(s):"
    assert lines[1] == "    0:      0     1     2     3     4     5     6     0"
    key = ":".join(f"{byte:02x}" for byte in bench.device.rss.key)
    assert lines[17:20] == ["RSS hash key:", key, "RSS hash function:"]
    ethtool(host, "-X start 2 weight 1 3")
    assert bench.device.rss.table == [2] * 32 + [3] * 96
    ethtool(host, "-X start 3 equal 2")
    assert bench.device.rss.table == [3, 4] * 64
    ethtool(host, "-X default hkey " + ":".join(["ab"] * 40))
    assert bench.device.rss.table == [*range(8)] * 16
    assert bench.device.rss.key == b"\xab" * 40
    ethtool(host, "-X context new equal 1")
    ethtool(host, "-X context 1 equal 4")
    assert "     0     1     2     3" in ethtool(host, "-x context 1")
    ethtool(host, "-X context 1 delete")
    assert not bench.device.rss_contexts


def test_statistics(host: Host) -> None:
    lines = ethtool(host, "-S").splitlines()
    assert lines[0] == "NIC statistics:"
    assert "     rx_queue_7_packets: 0" in lines
    assert "     rx_pp_alloc_slow_ho: 0" in lines


def shown(host: Host, line: str) -> dict[str, Any]:
    """The only object of the list."""
    (nic,) = json.loads(ethtool(host, line))
    assert nic.pop("ifname") == "eth0"
    return dict(nic)


def test_json_has_ethtools_keys(host: Host, bench: Bench) -> None:
    ethtool(host, "-G rx 64 tcp-data-split on")
    ethtool(host, "-X context new equal 2")
    assert shown(host, "--json -l eth0") == {"rx-max": 8, "tx-max": 1, "rx": 8, "tx": 1}
    assert shown(host, "--json --show-ring eth0") == {
        "rx-max": 8192, "tx-max": 4096, "hds-thresh-max": 1023, "rx": 64, "tx": 1, "rx-buf-len": 4096,
        "tcp-data-split": "on", "hds-thresh": 0, "tx-push": False, "rx-push": False,
    }  # fmt: skip
    features = shown(host, "--json -k")
    assert features["rx-checksumming"] == {"active": True, "fixed": True, "requested": True}
    assert features["tcp-segmentation-offload"] == {"active": True, "fixed": None, "requested": None}
    assert features["tx-tcp-segmentation"] == {"active": True, "fixed": False, "requested": True}
    assert shown(host, "--json -x eth0 context 1") == {
        "rss-indirection-table": [0, 1] * 64,
        "rss-hash-key": [*bench.device.rss.key],
        "rss-hash-function": "toeplitz",
    }


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--json", "--json goes with -l, -g, -k, -x; give one of them"),
        ("--json -S", "--json goes with -l, -g, -k, -x; give one of them"),
        ("--json -g eth0 3", "'3' is one word too many after -g"),
        ("", "what to do is missing"),
        ("-Q", "option '-Q' is not known; choose from -l"),
        ("-l rx 3", "'rx' is one word too many after -l"),
        ("-L rx", "rx is missing at the end"),
        ("-L rx many", "rx 'many' is not a number"),
        ("-L both 3", "parameter 'both' is not known; choose from rx, tx"),
        ("-G colour 3", "ring parameter 'colour' is not known"),
        ("-G tcp-data-split maybe", "tcp-data-split 'maybe' is none of auto, on, off"),
        ("-K colour on", "feature 'colour' is not known"),
        ("-K tso maybe", "tso 'maybe' is none of on, off"),
        ("-N add 3", "-N takes flow-type or delete, not 'add'"),
        ("-N flow-type udp4", "flow-type 'udp4' is none of tcp4, tcp6, ip4, ip6"),
        ("-N flow-type tcp4 vlan 3", "field 'vlan' is not known"),
        ("-N flow-type tcp4 src-ip 1.2.3.4 m many", "mask 'many' is not an address"),
        ("-X weight 0 0", "all of them are 0"),
        ("-X colour", "parameter 'colour' is not known"),
    ],
)
def test_words_that_make_no_sense_are_refused_with_a_remedy(host: Host, line: str, text: str) -> None:
    with pytest.raises(EthtoolUsage, match=text):
        ethtool(host, line)


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("-L rx 9", errno.EINVAL),
        ("-G rx 99999", errno.EINVAL),
        ("-G rx -1", errno.ERANGE),
        ("-N delete 3", errno.ENOENT),
        ("-n rule 3", errno.ENOENT),
        ("-x context 3", errno.ENOENT),
        ("-X weight 1 1 1 1 1 1 1 1 1", errno.EINVAL),
    ],
)
def test_the_devices_refusals_come_through(host: Host, line: str, number: int) -> None:
    with pytest.raises(OSError) as caught:
        ethtool(host, line)
    assert caught.value.errno == number

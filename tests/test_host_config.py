"""A host's configuration as JSON: what arrives is what was sent, and what cannot be is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nodes.host_config import HostConfig, HostOptions, NicConfig, decode, encode
from nodes.option import OptionError, declared

NICS = (
    NicConfig(interface="h1-eth0", address="10.0.1.1/16", address6="fd00::1:1/64", mac="02:00:0a:00:01:01"),
    NicConfig(interface="h1-eth1", address="10.1.1.1/16"),
)
CONFIG = HostConfig(
    nics=NICS, channel="/tmp/h1.sock", name="h1", rx_queues=9, nic="gve", header_buffer_bytes=100,
    host_mem_bw_bytes_per_s=2e9, impair="loss=0.01", seed=7, dad=False,
)  # fmt: skip


def test_a_host_survives_json() -> None:
    assert decode(encode(CONFIG)) == CONFIG


def test_a_mac_that_is_not_given_is_made_from_the_address() -> None:
    assert NICS[0].mac_bytes == bytes((2, 0, 10, 0, 1, 1))
    assert NICS[1].mac_bytes == bytes((2, 0, 10, 1, 1, 1))
    assert NICS[1].ipv6 is None


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(encode(CONFIG)) | fields)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "it describes no host: "),
        ("[]", "it describes no host: Expected `object`"),
        (changed(rx_queue=1), "it describes no host: Object contains unknown field `rx_queue`"),
        (changed(rx_queues="9"), "it describes no host: Expected `int`, got `str` - at `$.rx_queues`"),
        (changed(rx_queues=65), "rx_queues: 65 is out of range; choose 1 to 64"),
        (changed(gso_max_bytes=9999999), "gso_max_bytes: 9999999 is out of range; choose 1514 to 524280"),
        (changed(rx_buf_len=5), "rx_buf_len: 5 is no choice; choose from 4096, 8192, 16384"),
        (changed(tcp_ecn=3), "tcp_ecn: 3 is no choice; choose from 0, 1, 2"),
        (changed(kernel="5.15"), "kernel: '5.15' is no choice; choose from v17"),
        (changed(nic="e1000"), "nic: 'e1000' is no choice; choose from generic"),
        (changed(header_buffer_bytes=10), "--header-buffer 10: choose 54 to"),
        (changed(host_mem_bw_bytes_per_s=1), "host_mem_bw_bytes_per_s: 1 is out of range; choose 1000000 to"),
        (changed(impair="loss=2"), "impair: loss=2 is not a chance from 0 to 1"),
        (changed(channel=""), "channel: the path is empty; give one like /tmp/h1.sock"),
        (changed(kernel_address="h1"), "kernel_address: 'h1' is not an IPv4 address"),
        (changed(nics=[]), "nics: a host has at least one NIC"),
        (
            changed(nics=[{"interface": "a", "address": "10.0.1.1/16"}, {"interface": "b", "address": "x"}]),
            "nics[1].address: 'x' is not an IPv4 address with a prefix length",
        ),
        (
            changed(nics=[{"interface": "a", "address": "10.0.1.1/16", "mac": "01:00:00:00:00:01"}]),
            "nics[0].mac: '01:00:00:00:00:01' is no unicast address",
        ),
        (
            changed(nics=[{"interface": "a", "address": "10.0.1.1/16", "address6": "fe80::1/64"}]),
            "nics[0].address6: 'fe80::1/64' is no global unicast address",
        ),
    ],
)
def test_json_of_no_possible_host_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(OptionError) as refused:
        decode(text)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_every_field_that_hosts_share_is_an_option() -> None:
    assert [each.field for each in declared(HostOptions)] == list(HostOptions.__struct_fields__)

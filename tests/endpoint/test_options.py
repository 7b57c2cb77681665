"""The endpoint's command line: what cannot be is refused in one sentence with status 2, before anything."""

from __future__ import annotations

import io
import ipaddress
from pathlib import Path

import pytest

from nodes.endpoint.options import parse
from nodes.host_config import HostConfig, NicConfig, encode
from nodes.nic.nic_model import nic_model
from nodes.option import declared

NEEDED = {"--interface": "veth1", "--address": "10.0.1.1/16", "--channel": "/tmp/x.sock"}


def words(**more: str) -> list[str]:
    options = NEEDED | {f"--{name.replace('_', '-')}": value for name, value in more.items()}
    return [word for option in options.items() for word in option]


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("rx_queues", "0", "--rx-queues: 0 is out of range; choose 1 to 64"),
        ("rx_queues", "-3", "--rx-queues: -3 is out of range"),
        ("rx_queues", "65", "--rx-queues: 65 is out of range"),
        ("rx_queues", "many", "--rx-queues: 'many' is no number; choose 1 to 64"),
        ("rx_buf_len", "5", "--rx-buf-len: '5' is no size of a buffer; choose 4096, 8192, 16384,"),
        ("rx_buf_len", "131072", "--rx-buf-len: '131072'"),
        ("gso_max", "9999999", "--gso-max: 9999999 is out of range; choose 1514 to 524280"),
        ("gso_max", "0", "--gso-max: 0 is out of range"),
        ("host_mem_bw", "0", "--host-mem-bw: 0 is out of range; choose 1000000 to"),
        ("host_mem_bw", "nan", "--host-mem-bw: nan is out of range"),
        ("host_mem_bw", "inf", "--host-mem-bw: inf is out of range"),
        ("mac", "01:00:00:00:00:01", "--mac: '01:00:00:00:00:01' is no unicast address"),
        ("mac", "00:00:00:00:00:00", "--mac: '00:00:00:00:00:00' is no unicast address"),
        ("mac", "12", "--mac: MAC address '12' has 1 bytes, not 6; write six bytes in hexadecimal"),
        ("mac", "zz:00:00:00:00:01", "write six bytes in hexadecimal"),
        ("address", "10.0.1.1", "--address: '10.0.1.1' has no prefix length; write it like 10.0.1.1/16"),
        ("address", "10.0.1", "--address: '10.0.1' is not an IPv4 address with a prefix length"),
        ("address", "2001:db8::1/64", "--address: '2001:db8::1/64' is not an IPv4 address"),
        ("address", "10.0.0.0/16", "--address: '10.0.0.0/16' cannot be a host's address"),
        ("address", "10.0.255.255/16", "cannot be a host's address"),
        ("address", "224.0.0.1/4", "cannot be a host's address"),
        ("address", "127.0.0.1/8", "cannot be a host's address"),
        ("address", "0.0.0.0/0", "cannot be a host's address"),
        ("address6", "2001:db8::1", "--address6: '2001:db8::1' has no prefix length"),
        ("address6", "10.0.1.1/16", "--address6: '10.0.1.1/16' is not an IPv6 address"),
        ("address6", "fe80::1/64", "--address6: 'fe80::1/64' is no global unicast address"),
        ("address6", "ff02::1/64", "is no global unicast address"),
        ("address6", "::ffff:10.0.0.1/96", "is no global unicast address"),
        ("kernel_address", "h1", "--kernel-address: 'h1' is not an IPv4 address"),
        ("channel", "", "--channel: the path is empty; give one like /tmp/h1.sock"),
        ("impair", "loss=2", "--impair: loss=2 is not a chance from 0 to 1"),
        ("kernel", "5.15", "--kernel: invalid choice: '5.15'"),
        ("nic", "e1000", "--nic: invalid choice: 'e1000'"),
        ("header_buffer", "10", "--header-buffer 10: choose 54 to"),
        ("tcp_ecn", "3", "--tcp-ecn: invalid choice: 3"),
        ("frobnicate", "1", "unrecognized arguments: --frobnicate"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    option: str, value: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words(**{option: value}))
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.startswith("endpoint: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_a_missing_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--interface", "veth1", "--channel", "/tmp/x.sock"])
    assert "--address" in capsys.readouterr().err


def test_values_arrive_as_what_they_are() -> None:
    options = parse(words(address6="fd00::1/64", rx_queues="64", gso_max="524280", header_buffer="54"))
    (nic,) = options.nics
    assert nic.ipv4 == ipaddress.IPv4Interface("10.0.1.1/16")
    assert nic.ipv6 == ipaddress.IPv6Interface("fd00::1/64")
    assert nic.mac_bytes == bytes((2, 0, 10, 0, 1, 1))  # a local one, made from the address
    assert (options.rx_queues, options.gso_max_bytes) == (64, 524280)
    assert nic_model(options.nic, options.header_buffer_bytes).header_buffer_bytes == 54
    assert (options.rx_buf_len, options.host_mem_bw_bytes_per_s, options.impair) == (4096, None, None)


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The sentence with which the words are refused."""
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    return err


CHANNEL = ["--channel", "/tmp/x.sock"]


def test_the_options_of_the_only_nic_stand_in_any_order() -> None:
    nic = ["--address", "10.0.1.1/16", "--mac", "02:00:00:00:00:01", "--interface", "eth0"]
    config = parse([*nic, *CHANNEL, "--address6", "fd00::1/64"])
    expected = NicConfig(
        interface="eth0", address="10.0.1.1/16", address6="fd00::1/64", mac="02:00:00:00:00:01"
    )
    assert config.nics == (expected,)
    assert parse([*nic, *CHANNEL, "--address", "10.0.9.9/16"]).nics[0].address == "10.0.9.9/16"


def test_each_interface_begins_a_nic_to_which_the_options_behind_it_belong() -> None:
    first = ["--interface", "eth0", "--address", "10.0.1.1/16", "--mac", "02:00:00:00:00:01"]
    second = [
        "--interface",
        "eth1",
        "--rx-queues",
        "4",
        "--address6",
        "fd01::1/64",
        "--address",
        "10.1.1.1/16",
    ]
    config = parse([*first, *CHANNEL, *second])
    assert config.rx_queues == 4
    assert config.nics == (
        NicConfig(interface="eth0", address="10.0.1.1/16", mac="02:00:00:00:00:01"),
        NicConfig(interface="eth1", address="10.1.1.1/16", address6="fd01::1/64"),
    )


def test_which_nic_an_option_belongs_to_must_be_plain(capsys: pytest.CaptureFixture[str]) -> None:
    two = ["--interface", "eth0", "--address", "10.0.1.1/16", "--interface", "eth1"]
    sentence = said(capsys, *CHANNEL, "--mac", "02:00:00:00:00:01", *two, "--address", "10.1.1.1/16")
    assert sentence.startswith("endpoint: --mac 02:00:00:00:00:01 stands before every --interface; write it")
    assert said(capsys, *CHANNEL, *two) == (
        "endpoint: --interface eth1 has no --address; give one behind it\n"
    )


def test_a_host_comes_as_json_from_a_word_a_file_or_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse(words(rx_queues="9", tcp_ecn="1", seed="3", host_mem_bw="2GB/s"))
    assert config.host_mem_bw_bytes_per_s == 2e9
    text = encode(config)
    (tmp_path / "h1.json").write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    for where in (text, str(tmp_path / "h1.json"), "-"):
        assert parse(["--config", where]) == config


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--config", "{}"], "--config: it describes no host: Object missing required field `nics`"),
        (["--config", "/nowhere/h1.json"], "--config: '/nowhere/h1.json' cannot be read (No such file"),
        (["--config", "{}", "--seed", "3"], "--config describes the whole host; leave the other options out"),
        (["--config", "{}", "--interface", "eth0"], "--config describes the whole host"),
        ([], "the following arguments are required: --interface, --address, --channel"),
    ],
)
def test_json_that_describes_no_host_is_refused(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, *argv).startswith(f"endpoint: {sentence}")


def test_every_declared_option_is_offered_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    told = "".join(capsys.readouterr().out.split())
    for each in (*declared(HostConfig), *declared(NicConfig)):
        assert "".join(each.option.help.split()) in told
        assert all(flag in told for flag in each.flags)


def test_the_help_tells_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for limit in ("1 to 64", "4096, 8192, 16384, 32768 or 65536", "1514 to 524280", "1e6 and more"):
        assert limit in told

"""Ethernet, ARP and ICMP echo, compared with frames of other machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire import arp, ethernet, icmp
from nodes.wire.arp import Arp
from nodes.wire.checksum import internet_checksum
from nodes.wire.ipv4 import address_int

ARP_REQUEST = bytes.fromhex(
    "ffffffffffff 00071a2b3c4d 0806"
    "0001 0800 06 04 0001 00071a2b3c4d c0a80101 000000000000 c0a80102" + "00" * 18
)
# "ping" of Windows: identifier 1, sequence number 1, abc…
ECHO_REQUEST = bytes.fromhex("08004d5a00010001") + b"abcdefghijklmnopqrstuvwabcdefghi"

macs = st.binary(min_size=6, max_size=6)
u32 = st.integers(0, 2**32 - 1)


# --- ethernet


def test_ethernet_addresses_and_type_are_read_and_written_alike() -> None:
    to, source, ethertype = ethernet.parse(ARP_REQUEST)
    assert (to, source, ethertype) == (ethernet.BROADCAST, bytes.fromhex("00071a2b3c4d"), ethernet.TYPE_ARP)
    assert ethernet.ethertype(ARP_REQUEST) == ethertype
    assert ethernet.emit(to, source, ethertype) == ARP_REQUEST[: ethernet.HEADER_BYTES]


def test_a_mac_address_is_parsed_as_it_was_written() -> None:
    assert ethernet.mac_text(ethernet.mac_bytes("02:00:00:00:00:1f")) == "02:00:00:00:00:1f"


@pytest.mark.parametrize("text", ["02:00", "02:00:00:00:00:01:02", "zz:00:00:00:00:01", ""])
def test_a_mac_address_of_another_length_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"6|hexadecimal"):
        ethernet.mac_bytes(text)


# --- arp


def test_an_arp_request_with_padding_is_parsed() -> None:
    packet = arp.parse(ARP_REQUEST, ethernet.HEADER_BYTES)
    mac = bytes.fromhex("00071a2b3c4d")
    assert packet == Arp(arp.REQUEST, mac, address_int("192.168.1.1"), bytes(6), address_int("192.168.1.2"))


@given(st.sampled_from([arp.REQUEST, arp.REPLY]), macs, u32, macs, u32)
def test_an_arp_packet_is_parsed_as_it_was_emitted(
    op: int, mac: bytes, ip: int, to_mac: bytes, to_ip: int
) -> None:
    packet = Arp(op, mac, ip, to_mac, to_ip)
    data = arp.emit(packet)
    assert len(data) == 28
    assert arp.parse(b"!" + data, 1) == packet


@pytest.mark.parametrize("cut", [0, 1, 27])
def test_a_short_arp_packet_is_not_parsed(cut: int) -> None:
    assert arp.parse(ARP_REQUEST[14 : 14 + cut], 0) is None


@pytest.mark.parametrize(("at", "value"), [(1, 6), (2, 0x86), (4, 8), (5, 16)])
def test_arp_for_other_types_of_address_is_not_parsed(at: int, value: int) -> None:
    packet = bytearray(ARP_REQUEST[14:])
    packet[at] = value
    assert arp.parse(bytes(packet), 0) is None


# --- icmp


def test_an_echo_request_is_answered_with_the_same_data() -> None:
    reply = icmp.echo_reply(ECHO_REQUEST)
    assert reply == bytes.fromhex("0000555a00010001") + ECHO_REQUEST[8:]


@given(st.binary(max_size=99))
def test_every_echo_reply_has_a_good_checksum(data: bytes) -> None:
    request = bytearray(bytes.fromhex("0800000000070009") + data)
    request[2:4] = internet_checksum(bytes(request)).to_bytes(2, "big")
    reply = icmp.echo_reply(bytes(request))
    assert reply is not None
    assert internet_checksum(reply) == 0
    assert reply[4:] == bytes(request[4:])


@pytest.mark.parametrize(
    "message",
    [
        ECHO_REQUEST[:7],
        b"",
        ECHO_REQUEST[:-1] + b"!",  # damaged
        bytes.fromhex("0000555a00010001") + ECHO_REQUEST[8:],  # a reply
        bytes.fromhex("0303fcfc00000000"),  # port unreachable
    ],
)
def test_other_and_damaged_messages_get_no_echo_reply(message: bytes) -> None:
    assert icmp.echo_reply(message) is None

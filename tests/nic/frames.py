"""Frames as another machine sends them, with right checksums unless a test wants a wrong one.

In: a frame's fields. Out: its bytes. Owns nothing. TCP options are NOPs, IPv4 options too.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from nodes.wire import arp, ethernet, ipv4, tcp
from nodes.wire.arp import Arp
from nodes.wire.checksum import internet_checksum

OUR_MAC, PEER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
OUR_IP, PEER_IP = ipv4.address_int("10.0.0.1"), ipv4.address_int("10.0.0.2")
MIN_FRAME_BYTES = 60
_UDP = 17


@dataclass(frozen=True)
class Tcp:
    """One segment to OUR_IP. `ip_options` and `tcp_options`: bytes, multiples of 4, at most 40."""

    payload: bytes = b""
    src_port: int = 40000
    dst_port: int = 7000
    src_ip: int = PEER_IP
    ip_options: int = 0
    tcp_options: int = 0
    flags: int = tcp.ACK
    seq: int = 1

    @property
    def header_bytes(self) -> int:
        """Length of the Ethernet, IPv4 and TCP headers."""
        return 54 + self.ip_options + self.tcp_options

    def frame(self, bad_checksum: bool = False) -> bytes:
        """The frame, padded to 60 bytes as on an Ethernet."""
        offset = (20 + self.tcp_options) << 2
        fields = (self.src_port, self.dst_port, self.seq, 0, offset, self.flags, 0xFFFF, 0, 0)
        segment = struct.pack("!HHIIBBHHH", *fields) + b"\x01" * self.tcp_options + self.payload
        pseudo = struct.pack("!IIHI", self.src_ip, OUR_IP, ipv4.TCP, len(segment))
        checksum = internet_checksum(pseudo + segment) ^ bad_checksum
        segment = segment[:16] + checksum.to_bytes(2, "big") + segment[18:]
        return _frame(_ipv4(segment, ipv4.TCP, self.src_ip, self.ip_options))


def udp(payload: bytes) -> bytes:
    return _frame(_ipv4(struct.pack("!HHHH", 53, 5353, 8 + len(payload), 0) + payload, _UDP))


def icmp(payload: bytes) -> bytes:
    return _frame(_ipv4(bytes.fromhex("0800000000010001") + payload, ipv4.ICMP))


def fragment(offset_bytes: int, more: bool, payload: bytes) -> bytes:
    """A fragment of a TCP packet. At offset 0 without `more` it is a whole packet with `payload` as TCP
    header."""
    return _frame(_ipv4(payload, ipv4.TCP, fragment_field=offset_bytes // 8 | more << 13))


def arp_request() -> bytes:
    packet = arp.emit(Arp(arp.REQUEST, PEER_MAC, PEER_IP, bytes(6), OUR_IP))
    header = ethernet.emit(ethernet.BROADCAST, PEER_MAC, ethernet.TYPE_ARP)
    return (header + packet).ljust(MIN_FRAME_BYTES, b"\0")


def _ipv4(
    payload: bytes, protocol: int, src_ip: int = PEER_IP, options: int = 0, fragment_field: int = 0
) -> bytes:
    words = 5 + options // 4
    length = words * 4 + len(payload)
    total = length if length <= 0xFFFF else 0  # BIG TCP
    fields = (0x40 | words, 0, total, 1, fragment_field, 64, protocol, 0, src_ip, OUR_IP)
    header = struct.pack("!BBHHHBBHII", *fields) + b"\x01" * options
    return header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:] + payload


def _frame(packet: bytes) -> bytes:
    return (ethernet.emit(OUR_MAC, PEER_MAC, ethernet.TYPE_IPV4) + packet).ljust(MIN_FRAME_BYTES, b"\0")

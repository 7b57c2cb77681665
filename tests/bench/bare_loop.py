"""The floor: a bare Python loop on AF_PACKET, which does nothing with what it sends and receives.

`python -m tests.bench.bare_loop send INTERFACE` sends super-packets of 64 KiB until it is ended; `receive
INTERFACE SECONDS` peeks at each, then reads it into a header buffer and a page, and prints how many gigabits
of payload came a second. What the receiver cannot take is lost. The Ethernet addresses are nobody's: no stack
but these two takes the frames.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time

from nodes.nic.socket_buffer import set_buffers
from nodes.wire.checksum import internet_checksum

_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_ETH_P_IP = 0x0800
_PEEK = int(socket.MSG_PEEK | socket.MSG_TRUNC)
_PAYLOAD = 45 * 1448  # as many segments as 64 KiB allow
_BUFFER_BYTES = 64 << 20
_TURN = 64  # frames between two looks at the clock
# struct virtio_net_hdr: the checksum is the NIC's to make, and segments of 1448 bytes of IPv4.
_VNET = struct.pack("=BBHHHH", 1, 1, 66, 1448, 34, 16)


def headers() -> bytes:
    """virtio_net_hdr, then Ethernet, IPv4 and TCP with timestamps."""
    addresses = bytes([10, 9, 9, 1, 10, 9, 9, 2])
    ip = bytearray(struct.pack("!BBHHHBBH8s", 0x45, 0, 52 + _PAYLOAD, 0, 0x4000, 64, 6, 0, addresses))
    ip[10:12] = struct.pack("!H", internet_checksum(bytes(ip)))
    tcp = struct.pack("!HHIIBBHHH12s", 9, 9, 1, 1, 0x80, 0x10, 512, 0, 0, b"\x01\x01\x08\x0a" + bytes(8))
    ethernet = bytes.fromhex("02be0c000002 02be0c000001 0800")
    return b"".join((_VNET, ethernet, ip, tcp))


def opened(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    set_buffers(sock, _BUFFER_BYTES, _BUFFER_BYTES)
    sock.bind((interface, _ETH_P_IP))
    return sock


def send(interface: str) -> None:
    sock, header, page = opened(interface), headers(), memoryview(bytes(_PAYLOAD))
    fd = sock.fileno()
    while True:
        os.writev(fd, (header, page))


def receive(interface: str, seconds: float) -> float:
    """Gb/s, from the first frame on."""
    sock = opened(interface)
    header, page, peeked = bytearray(len(headers())), bytearray(1 << 16), bytearray(128)
    fd = sock.fileno()
    os.readv(fd, (header, page))
    count, began = 0, time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        for _ in range(_TURN):
            sock.recv_into(peeked, 0, _PEEK)
            count += os.readv(fd, (header, page)) - len(header)
    return count * 8 / (now - began) / 1e9


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2])
    print(receive(sys.argv[2], float(sys.argv[3])), flush=True)

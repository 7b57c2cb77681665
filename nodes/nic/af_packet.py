"""The wire: frames of one Linux interface, through an AF_PACKET socket with PACKET_VNET_HDR.

In: frames for the endpoint's own MAC (a BPF filter keeps all else away). Out: frames, super-packets
included. The kernel copies a frame once, straight into the views that `nic.dma` made: that copy is the
NIC's DMA. Owns the socket; the only system calls of the NIC are here.
Source: packet(7), include/uapi/linux/virtio_net.h.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from nodes.wire.ethernet import BROADCAST, TYPE_ARP

PEEK_BYTES = 192  # the NIC's parser: vnet header, Ethernet, the longest IP and TCP headers that are split

_SOL_PACKET = 263
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23
_PACKET_STATISTICS = 6
_ETH_P_ALL = 3
_ARPHRD_ETHER = 1
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_SO_SNDBUFFORCE = 32
_PEEK = int(socket.MSG_PEEK | socket.MSG_TRUNC)  # an enum's | costs 2 us, at every frame
_RCVBUF_BYTES = 64 << 20  # the FIFO between wire and rx queues: several windows of super-packets
_SNDBUF_BYTES = 16 << 20

# struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
_VNET = struct.Struct("=BBHHHH")
VNET_BYTES = _VNET.size
NEEDS_CSUM, DATA_VALID = 1, 2
_GSO_NONE, _GSO_TCPV4, _GSO_TCPV6, _GSO_ECN = 0, 1, 4, 0x80


class WireError(RuntimeError):
    """The interface cannot serve as a wire; the message says why and what helps."""


@dataclass(slots=True)
class Arriving:
    """A frame still on the wire: its first bytes, its length, and what the link knows of it."""

    first: memoryview  # up to PEEK_BYTES of the frame; reused by the next peek
    length: int  # bytes of the whole frame
    gso_size: int  # payload bytes of each wire packet it stands for, 0 if it is one packet
    checksum_good: bool  # checked already, or not yet filled in by a sender on this machine


@dataclass(slots=True)
class Departing:
    """How the NIC must finish a frame: cut it every `gso_size` payload bytes, fill in the checksum."""

    header_bytes: int = 0
    gso_size: int = 0
    csum_start: int = 0  # 0: leave checksums alone
    csum_offset: int = 0
    ipv6: bool = False


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class AfPacket:
    """Raises WireError when the interface is unknown or the process may not open it."""

    def __init__(self, ifname: str, mac: bytes, groups: Sequence[bytes] = ()) -> None:
        """Frames to `mac` and to the multicast MACs `groups` are received, and broadcast ARP."""
        try:
            # Protocol 0 receives nothing until the filter is in place and bind() names the protocol.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise WireError(f"opening AF_PACKET on {ifname!r} needs CAP_NET_RAW: run it as root") from None
        try:
            self._configure(ifname, (mac, *groups))
        except BaseException:
            self._socket.close()
            raise
        self._peeked = bytearray(PEEK_BYTES)
        self._first = memoryview(self._peeked)[VNET_BYTES:]
        self._vnet = bytearray(VNET_BYTES)

    def _configure(self, ifname: str, macs: Sequence[bytes]) -> None:
        sock = self._socket
        sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RCVBUF_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SNDBUF_BYTES)
        _attach_filter(sock, macs)
        try:
            sock.bind((ifname, _ETH_P_ALL))
        except OSError as e:
            raise WireError(f"interface {ifname!r} cannot be opened: {e.strerror or e}") from None
        if sock.getsockname()[3] != _ARPHRD_ETHER:
            raise WireError(f"interface {ifname!r} is no Ethernet link: give a veth, a TAP or a NIC")
        sock.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def peek(self) -> Arriving | None:
        """The next frame's beginning; None when none waits. The frame stays until receive or drop."""
        try:
            count, _, _, _ = self._socket.recvmsg_into([self._peeked], 0, _PEEK)
        except BlockingIOError:
            return None
        except OSError as e:
            if e.errno == errno.ENETDOWN:  # reported once when the link goes down; it may come up again
                return None
            raise
        flags, _, _, gso_size, _, _ = _VNET.unpack_from(self._peeked)
        return Arriving(self._first, count - VNET_BYTES, gso_size, bool(flags & (NEEDS_CSUM | DATA_VALID)))

    def receive(self, views: Sequence[memoryview]) -> None:
        """Take the peeked frame off the wire, scattered over `views`."""
        self._take([self._vnet, *views])

    def drop(self) -> None:
        """Take the peeked frame off the wire and lose it."""
        self._take([self._vnet])

    def _take(self, views: Sequence[memoryview | bytearray]) -> None:
        try:
            self._socket.recvmsg_into(views)
        except OSError as e:
            if e.errno != errno.ENETDOWN:
                raise
            self._socket.recvmsg_into(views)  # the link went down since the peek; that is said once

    def send(self, headers: bytes, payload: Sequence[memoryview], how: Departing) -> bool:
        """Send one frame; False when the link is busy: try again when the descriptor is writable.

        Raises OSError for a frame the interface refuses (EMSGSIZE) or a link that is down (ENETDOWN).
        """
        flags = NEEDS_CSUM if how.csum_start else 0
        gso_type = (_GSO_TCPV6 if how.ipv6 else _GSO_TCPV4) if how.gso_size else _GSO_NONE
        vnet = _VNET.pack(flags, gso_type, how.header_bytes, how.gso_size, how.csum_start, how.csum_offset)
        try:
            self._socket.sendmsg([vnet + headers, *payload])
        except BlockingIOError:
            return False
        except OSError as e:
            if e.errno == errno.ENOBUFS:  # the qdisc dropped it, as a full switch would: TCP will see
                return True
            raise
        return True

    def overruns(self) -> int:
        """Frames lost since the last call because the FIFO before the rx queues was full."""
        stats = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", stats)[1])

    def close(self) -> None:
        self._socket.close()


def _attach_filter(sock: socket.socket, macs: Sequence[bytes]) -> None:
    """Accept frames to `macs` and broadcast ARP; the rest never wakes us (a kernel flow at 9 Gb/s on the
    same interface would cost a third of a core)."""
    load_word, load_half, equal, accept, reject = 0x20, 0x28, 0x15, 0x06, 0x06

    def accept_if_to(mac: bytes) -> list[tuple[int, int, int, int]]:
        return [
            (load_word, 0, 0, 2),  # destination, last four bytes
            (equal, 0, 3, int.from_bytes(mac[2:], "big")),
            (load_half, 0, 0, 0),  # destination, first two
            (equal, 0, 1, int.from_bytes(mac[:2], "big")),
            (accept, 0, 0, 0xFFFFFFFF),
        ]

    arp = [(load_half, 0, 0, 12), (equal, 0, 5, TYPE_ARP), *accept_if_to(BROADCAST)]
    program = [*(step for mac in macs for step in accept_if_to(mac)), *arp, (reject, 0, 0, 0)]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    prog = _SockFprog(len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(prog))

"""A wire of Linux: the frames of one interface, through an AF_PACKET socket with PACKET_VNET_HDR.

In: frames to the endpoint's own MAC address, of which `socket_filter` has the rule, and frames that the NIC
sends. Out: the same, super-packets included. The kernel copies a received frame once, straight into the views
that `nic.dma` made: that copy is the NIC's DMA. Owns the socket; the NIC's only system calls are here, in
the filter and in `own_queue`.
Source: packet(7), include/uapi/linux/virtio_net.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final

from nodes.nic.own_queue import LIMIT_BYTES, OwnQueue
from nodes.nic.socket_buffer import set_buffers
from nodes.nic.socket_filter import attach_filter
from nodes.nic.wire_port import PEEK_BYTES, RxFrame, TxOffload

_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23
_PACKET_STATISTICS = 6
_ETH_P_ALL = 3
_ARPHRD_ETHER = 1
_MR_MULTICAST, _MR_PROMISC, _MR_UNICAST = 0, 1, 3
_MREQ = struct.Struct("=iHH8s")  # struct packet_mreq: ifindex, type, length of the address, address
_PEEK: Final = int(socket.MSG_PEEK | socket.MSG_TRUNC)  # `|` of two enum members takes 2 us, for every frame
_RCVBUF_BYTES = 64 << 20  # the FIFO between wire and rx queues: several windows of super-packets

# struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
_VNET: Final = struct.Struct("=BBHHHH")
_VNET_BYTES: Final = 10
_vnet_received: Final[Callable[[bytearray], tuple[int, int]]] = struct.Struct("=B3xH4x").unpack_from
# Bound once: an attribute of a module is looked up at each use.
_readv: Final[Callable[[int, Sequence[memoryview | bytearray]], int]] = os.readv
_writev: Final[Callable[[int, Sequence[memoryview | bytes]], int]] = os.writev
_NEEDS_CSUM: Final = 1
_DATA_VALID: Final = 2
_GSO_NONE: Final = 0
_GSO_TCPV4: Final = 1
_GSO_TCPV6: Final = 4


class WireError(Exception):
    """The interface cannot serve as a wire; the message gives the reason and a remedy."""


class AfPacket:
    """A Wire: nodes.nic.wire_port has the contracts of peek, receive, drop, send and overruns."""

    def __init__(self, ifname: str, mac: bytes, groups: Sequence[bytes] = ()) -> None:
        """Receive frames to `mac`, frames to the multicast MACs `groups`, and broadcast ARP.

        Raises WireError for an unknown interface, one that is not Ethernet, and without CAP_NET_RAW.
        """
        try:
            # Protocol 0 receives nothing until the filter is in place and bind() names the protocol.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise WireError(f"opening AF_PACKET on {ifname!r} needs CAP_NET_RAW: run it as root") from None
        try:
            self._configure(ifname, (mac, *groups))
            self._own_queue = OwnQueue(self._socket, socket.if_nametoindex(ifname))
        except BaseException:
            self._socket.close()
            raise
        self._fd = self._socket.fileno()
        self._peeked = bytearray(_VNET_BYTES + PEEK_BYTES)
        self._head = memoryview(self._peeked)[_VNET_BYTES:]
        self._vnet = bytearray(_VNET_BYTES)
        self._encoded = TxOffload()  # of the last frame that was sent
        self._encoding = _encode(self._encoded)

    def _configure(self, ifname: str, macs: Sequence[bytes]) -> None:
        sock = self._socket
        sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        set_buffers(sock, _RCVBUF_BYTES, LIMIT_BYTES // 2)
        attach_filter(sock, macs)
        try:
            sock.bind((ifname, _ETH_P_ALL))
        except OSError as e:
            raise WireError(f"interface {ifname!r} cannot be opened: {e.strerror or e}") from None
        if sock.getsockname()[3] != _ARPHRD_ETHER:
            raise WireError(f"interface {ifname!r} is no Ethernet link: give a veth, a TAP or a NIC")
        ifindex = socket.if_nametoindex(ifname)
        for mac in macs:
            _join(sock, ifindex, mac)
        sock.setblocking(False)

    def fileno(self) -> int:
        return self._fd

    def peek(self) -> RxFrame | None:
        try:
            count = self._socket.recv_into(self._peeked, 0, _PEEK)
        except BlockingIOError:
            return None
        except OSError as e:
            if e.errno == errno.ENETDOWN:  # Linux reports it once; the link may come up again
                return None
            raise
        flags, gso_size = _vnet_received(self._peeked)
        return RxFrame(
            self._head.tobytes(), count - _VNET_BYTES, gso_size, bool(flags & (_NEEDS_CSUM | _DATA_VALID))
        )

    def receive(self, views: Sequence[memoryview]) -> None:
        self._take([self._vnet, *views])

    def drop(self) -> None:
        self._take([self._vnet])

    def _take(self, views: Sequence[memoryview | bytearray]) -> None:
        """Not by recvmsg_into: that would ask Linux for the name of the interface in a call of its own, for
        every frame."""
        try:
            _readv(self._fd, views)
        except OSError as e:
            if e.errno != errno.ENETDOWN:
                raise
            # The link went down after the peek. Linux reports that once, ahead of the frame.
            _readv(self._fd, views)

    def send(self, header: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        own = self._own_queue
        if own.stopped and not own.half_empty():
            return False
        if offload is not self._encoded:
            self._encoded, self._encoding = offload, _encode(offload)
        pieces: list[bytes | memoryview] = [self._encoding + header, *payload]
        return self._write(pieces) or (own.has_room() and self._write(pieces))

    def look_again(self) -> None:
        """For a wire that has been busy for long: nodes.endpoint.busy_wire."""
        self._own_queue.look_again()

    def _write(self, pieces: list[bytes | memoryview]) -> bool:
        try:
            _writev(self._fd, pieces)
        except BlockingIOError:
            return False
        except OSError as e:
            if e.errno == errno.ENOBUFS:  # the qdisc dropped the frame, as a full switch would
                return True
            raise
        return True

    def overruns(self) -> int:
        stats = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", stats)[1])

    def close(self) -> None:
        self._socket.close()
        self._own_queue.close()
        self._fd = -1  # the number may be another file's from now on


def _encode(offload: TxOffload) -> bytes:
    """struct virtio_net_hdr."""
    flags = _NEEDS_CSUM if offload.csum_start else 0
    gso_type = (_GSO_TCPV6 if offload.ipv6 else _GSO_TCPV4) if offload.gso_size else _GSO_NONE
    return _VNET.pack(
        flags, gso_type, offload.header_bytes, offload.gso_size, offload.csum_start, offload.csum_offset
    )


def _join(sock: socket.socket, ifindex: int, mac: bytes) -> None:
    """Have the interface let frames to `mac` through while the socket is open: a NIC filters MACs, and a
    bridge keeps its own alone. An interface without a list of unicast MACs becomes promiscuous (dev_uc_add);
    one whose list is full is made so here. A macvlan hears no other MAC than its own in either case."""
    kind = _MR_MULTICAST if mac[0] & 1 else _MR_UNICAST
    try:
        sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _MREQ.pack(ifindex, kind, len(mac), mac))
    except OSError:
        sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _MREQ.pack(ifindex, _MR_PROMISC, 0, b""))

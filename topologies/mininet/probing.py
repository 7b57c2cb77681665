"""The two ends of a measurement of one direction of a link: one sends frames, the other stamps them.

In: a link, one of its ends, a process in that end's network namespace. Out: when frames were sent, when the
kernel saw them, a rate. Owns a packet socket an end. The ends may be in two processes, on two machines: what
one tells the other are frozen records.

The sender fills the link's queue at once, with super-packets; the kernel sends them at the link's rate and
stamps them as they come, so that it does not matter when this process runs in between. The first ones are
the token bucket's burst and do not count. Frames have numbers, so that those that a link loses, repeats or
reorders change nothing. Frames go to a multicast address that no bridge passes on and no IP layer answers
(IEEE 802.1D: 01-80-C2-00-00-0E); their IP addresses are for documentation (RFC 5737). The number is in the
source MAC, which no link changes, and which is a group's, so that no bridge learns it.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from contextlib import suppress
from typing import NamedTuple

import msgspec

from topologies.calibration import LOSS_PROBES
from topologies.link import Link, LinkEnd
from topologies.mininet.isolation import network_namespace_of
from topologies.mininet.qdisc import TokenBucket, token_bucket
from topologies.mininet.socket_buffer import set_buffers

_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_SO_TIMESTAMPNS = 35
_BUFFER_BYTES = 64 << 20
_VNET = struct.Struct("=BBHHHH")  # struct virtio_net_hdr
_NEEDS_CSUM, _GSO_TCPV4 = 1, 1
_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHIIBBHHH")
_HEADER_BYTES = _ETHERNET.size + _IPV4.size + _TCP.size
_NUMBER_AT = _VNET.size + 6 + 2  # in the source MAC
_SOURCE = bytes.fromhex("0300")  # and the number
_DESTINATION = bytes.fromhex("0180c200000e")
_ADDRESSES = [ipaddress.IPv4Address(each).packed for each in ("192.0.2.1", "192.0.2.2")]
_TIMESPEC = struct.Struct("=qq")
_PROBES = 10  # the delay is the least of so many
_PROBE_S = 0.002  # between two
ROUNDS = 5  # the rate is the median of so many
_RATE_S, _RATE_FRAMES = 0.04, 10  # how long a round lasts, and how many super-packets it has at least
_SUPER_PACKET_S = 0.002  # what one takes at most, but a wire packet's worth
_SUPER_PACKET_BYTES = 60_000
_QUEUE_SHARE = 0.8  # of the queue is filled
_GIVE_UP_S = 2.0  # after which a frame will not come any more
_QUIET_S = 0.1  # the same, once frames come one after the other
_LOST_S = 0.5  # the same, where what does not come counts as lost
_JITTERS = 40  # a round lasts so many, so that they do not matter
_SENDS_BPS = 16e9  # what this process sends
_SLOW_SHARE, _BURSTS_COUNTED = 0.2, 5


class Probes(msgspec.Struct, frozen=True, tag=True):
    """Frames that were sent one by one: when, by the sender's clock (Unix nanoseconds), in their order."""

    sent_ns: tuple[int, ...]


class Train(msgspec.Struct, frozen=True, tag=True):
    """Frames that were sent at once: numbers from `first` up to `end`, of which the first `burst` do not
    count, each a super-packet of `wire_bytes`."""

    first: int
    end: int
    burst: int
    wire_bytes: int


class Stamps(msgspec.Struct, frozen=True, tag=True):
    """Those of the probes that arrived: their numbers, and when by the receiver's clock."""

    numbers: tuple[int, ...]
    at_ns: tuple[int, ...]

    def least_delay_s(self, probes: Probes) -> float | None:
        """None if nothing arrived. Of two machines it has the difference of their clocks."""
        pairs = zip(self.numbers, self.at_ns, strict=True)
        return min(((at - probes.sent_ns[number]) / 1e9 for number, at in pairs), default=None)

    def lost(self, probes: Probes) -> float:
        """The share of the probes."""
        return 1 - len(self.numbers) / len(probes.sent_ns)


class Rate(msgspec.Struct, frozen=True, tag=True):
    """Bits a second of whole Ethernet frames."""

    bps: float


class Sender:
    """`link`: as this end finds it."""

    def __init__(self, link: Link, end: LinkEnd, pid: int) -> None:
        self._link = link
        self._socket = _open(end, pid)

    def probes(self) -> Probes:
        """They are so short that they find room in the token bucket, and do not wait."""
        sent_ns = []
        for number in range(LOSS_PROBES if self._link.loss else _PROBES):
            sent_ns.append(time.clock_gettime_ns(time.CLOCK_REALTIME))
            self._socket.send(_frame(number, 0, 0))
            if number < _PROBES:
                time.sleep(_PROBE_S)
        return Probes(tuple(sent_ns))

    def train(self) -> Train:
        """Of a link that has a rate."""
        bucket = _bucket(self._link)
        shape = _shape(self._link, bucket)
        first = number = time.monotonic_ns() & 0x3FFFFFFF  # apart from the rounds before
        frame = _frame(0, shape.packets * shape.mss, shape.mss)
        for _ in range(shape.burst + shape.counted):
            frame[_NUMBER_AT : _NUMBER_AT + 4] = number.to_bytes(4, "big")
            with suppress(OSError):  # ENOBUFS: the queue was full, and the next frame has this number
                self._socket.send(frame)
                number += 1
        return Train(first, number, shape.burst, shape.wire_bytes)

    def rest(self) -> None:
        """Until the token bucket is full again."""
        bucket = _bucket(self._link)
        time.sleep(bucket.burst / bucket.rate)

    def close(self) -> None:
        self._socket.close()


class Receiver:
    """`link`: as the other end finds it. Frames wait in the socket until they are asked for."""

    def __init__(self, link: Link, end: LinkEnd, pid: int) -> None:
        self._link = link
        self._socket = _open(end, pid)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def stamps(self, probes: Probes) -> Stamps:
        """A relay's queue has no bucket, and sends probes bit by bit, which is no delay of the link."""
        link = self._link
        bit_by_bit_ns = _HEADER_BYTES * 8e9 / link.rate_bps if link.ecn_threshold_bytes else 0.0
        found = _stamps(self._socket, range(len(probes.sent_ns)), _patience_s(link), _LOST_S)
        return Stamps(tuple(found), tuple(round(at_ns - bit_by_bit_ns) for at_ns in found.values()))

    def rate_bps(self, train: Train) -> float:
        """Between the first super-packet after the burst and the last one; 0 if too few came."""
        bucket = _bucket(self._link)
        quiet_s = _QUIET_S + bucket.limit / bucket.rate
        stamps = _stamps(self._socket, range(train.first, train.end), _patience_s(self._link), quiet_s)
        return _rate_bps(stamps, train)

    def close(self) -> None:
        self._socket.close()


def _rate_bps(stamps: dict[int, int], train: Train) -> float:
    counted = sorted(number for number in stamps if number >= train.first + train.burst)
    if len(counted) < 2:
        return 0.0
    begin, end = counted[0], counted[-1]
    return (end - begin) * train.wire_bytes * 8e9 / max(1, stamps[end] - stamps[begin])


def _open(end: LinkEnd, pid: int) -> socket.socket:
    with network_namespace_of(pid):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        set_buffers(sock, _BUFFER_BYTES, _BUFFER_BYTES)
        sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        sock.bind((end.interface, _ETH_P_ALL))  # before a bridge can take the frame
    except OSError:
        sock.close()
        raise
    return sock


def _bucket(link: Link) -> TokenBucket:
    bucket = token_bucket(link)
    if link.ecn_threshold_bytes:  # the relay has the queue, without a bucket in front of it
        bucket = msgspec.structs.replace(bucket, burst=0)
    return bucket


def _stamps(rx: socket.socket, numbers: range, patience_s: float, quiet_s: float) -> dict[int, int]:
    """When each of these frames came first, in nanoseconds; without those that do not."""
    stamps: dict[int, int] = {}
    rx.settimeout(patience_s)
    with suppress(TimeoutError):
        while len(stamps) < len(numbers):
            arrived = _receive(rx)
            if arrived.number in numbers:
                stamps.setdefault(arrived.number, arrived.at_ns)
            rx.settimeout(quiet_s)
    return stamps


def _patience_s(link: Link) -> float:
    return _GIVE_UP_S + link.delay_s + link.jitter_s


class _Shape(NamedTuple):
    """What a round sends: `burst` super-packets that do not count and `counted` ones, each of `packets` wire
    packets with `mss` bytes of payload."""

    burst: int
    counted: int
    packets: int
    mss: int

    @property
    def wire_bytes(self) -> int:
        """Of a super-packet."""
        return self.packets * (self.mss + _HEADER_BYTES)


def _shape(link: Link, bucket: TokenBucket) -> _Shape:
    mss = link.mtu - _IPV4.size - _TCP.size
    wire_packet = mss + _HEADER_BYTES
    room = min(_SUPER_PACKET_BYTES, round(bucket.rate * _SUPER_PACKET_S))
    packets = max(1, room // wire_packet)
    super_packet = packets * wire_packet
    lasts_s = max(_RATE_S, _JITTERS * link.jitter_s)
    wanted = max(_RATE_FRAMES, round(bucket.rate * lasts_s) // super_packet)
    fits = max(2, int(bucket.limit * _QUEUE_SHARE) // super_packet)
    # On a fast line tokens come in while this process fills the queue: it takes so many times the burst. And
    # a burst more, when the process was interrupted, must not count for much: what overflows the queue is
    # lost, and changes nothing.
    share = min(8 * bucket.rate / _SENDS_BPS, 0.9)
    if share > _SLOW_SHARE:
        fits = max(fits, _BURSTS_COUNTED * bucket.burst // super_packet)
    return _Shape(round(bucket.burst / (1 - share)) // super_packet + 1, min(wanted, fits), packets, mss)


class _Arrived(NamedTuple):
    """A frame's number, and when the kernel saw it."""

    number: int
    at_ns: int


def _frame(number: int, payload_bytes: int, mss: int) -> bytearray:
    """A TCP segment, or a super-packet of several, with its virtio_net_hdr; checksums are left out."""
    vnet = _VNET.pack(0, 0, 0, 0, 0, 0)
    if payload_bytes > mss:
        at = _ETHERNET.size + _IPV4.size
        vnet = _VNET.pack(_NEEDS_CSUM, _GSO_TCPV4, _HEADER_BYTES, mss, at, 16)
    ethernet = _ETHERNET.pack(_DESTINATION, _SOURCE + number.to_bytes(4, "big"), _ETH_P_IP)
    length = _IPV4.size + _TCP.size + payload_bytes
    ip = _IPV4.pack(0x45, 0, length, 0, 0, 1, socket.IPPROTO_TCP, 0, *_ADDRESSES)
    tcp = _TCP.pack(9, 9, 0, 0, 0x50, 0x10, 0, 0, 0)
    return bytearray(vnet + ethernet + ip + tcp + bytes(payload_bytes))


def _receive(rx: socket.socket) -> _Arrived:
    """The next frame of ours. Raises TimeoutError."""
    while True:
        data, ancillary, _, _ = rx.recvmsg(
            _VNET.size + _HEADER_BYTES, socket.CMSG_SPACE(_TIMESPEC.size), socket.MSG_TRUNC
        )
        if data.startswith(_DESTINATION, _VNET.size) and ancillary:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            return _Arrived(int.from_bytes(data[_NUMBER_AT:][:4], "big"), seconds * 10**9 + nanoseconds)

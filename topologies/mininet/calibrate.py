"""Measures the links of a network that something is asked of, before anything runs on them.

In: links, and the processes whose network namespaces their ends are in. Out: a LinkCalibration a direction.
Owns two packet sockets a direction, while it lasts.

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
import statistics
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import NamedTuple

import msgspec

from topologies.calibration import LOSS_PROBES, LinkCalibration
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
_REPEATS = 3
_ROUNDS = 5  # the rate is the median of so many
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
_TOGETHER_BPS = 2_000_000_000  # what is measured at a time, in all

PidOf = Callable[[str], int]
_Direction = tuple[Link, LinkEnd, LinkEnd]


def calibrate(links: Sequence[Link], pid_of: PidOf) -> tuple[LinkCalibration, ...]:
    """Both directions of the links that something is asked of. `pid_of` a node: a process in its network
    namespace. Raises OSError."""
    found: list[LinkCalibration] = []
    shaped = [link for link in links if not link.is_plain]
    directions = [
        (link.sent_by(ends[0]), *ends) for link in shaped for ends in (link.ends, link.ends[::-1])
    ]
    for batch in _batches(directions):
        with ThreadPoolExecutor(len(batch)) as pool:
            found += pool.map(lambda direction: _measure(direction, pid_of), batch)
    return tuple(map(lambda direction, first: _repeated(direction, first, pid_of), directions, found))


def _repeated(direction: _Direction, found: LinkCalibration, pid_of: PidOf) -> LinkCalibration:
    """Other work on the machine may have disturbed what is off: it is measured again, by itself."""
    for _ in range(_REPEATS):
        if found.is_faithful:
            break
        found = _measure(direction, pid_of)
    return found


def _batches(directions: Sequence[_Direction]) -> Iterator[list[_Direction]]:
    """As many at a time as this process can send on."""
    batch: list[_Direction] = []
    for direction in directions:
        if batch and sum(link.rate_bps for link, *_ in (*batch, direction)) > _TOGETHER_BPS:
            yield batch
            batch = []
        batch.append(direction)
    if batch:
        yield batch


def _measure(direction: _Direction, pid_of: PidOf) -> LinkCalibration:
    link, sender, receiver = direction
    with ExitStack() as stack:
        tx = stack.enter_context(closing(_open(sender, pid_of)))
        rx = stack.enter_context(closing(_open(receiver, pid_of)))
        for sock in (tx, rx):
            set_buffers(sock, _BUFFER_BYTES, _BUFFER_BYTES)
        rx.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        delay_s, loss = _delay_and_loss(tx, rx, link)
        rate_bps = 0.0
        if link.rate_bps and delay_s is not None:
            rate_bps = statistics.median(_rate_bps(tx, rx, link) for _ in range(_ROUNDS))
    return LinkCalibration(
        sender.interface,
        receiver.interface,
        link.rate_bps,
        rate_bps,
        link.delay_s,
        delay_s,
        link.jitter_s,
        link.loss,
        loss,
        link.loss_deviation(LOSS_PROBES) if link.loss else None,
    )


def _open(end: LinkEnd, pid_of: PidOf) -> socket.socket:
    with network_namespace_of(pid_of(end.node)):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        sock.bind((end.interface, _ETH_P_ALL))  # before a bridge can take the frame
        return sock


def _delay_and_loss(tx: socket.socket, rx: socket.socket, link: Link) -> tuple[float | None, float | None]:
    """The least delay of a few probes, None if all were lost; and where loss is asked the share of many that
    were. Probes are so short that they find room in the token bucket, and do not wait; a relay's queue has no
    bucket, and sends them bit by bit, which is no delay of the link."""
    bit_by_bit_s = _HEADER_BYTES * 8 / link.rate_bps if link.ecn_threshold_bytes else 0.0
    sent_ns = []
    for number in range(LOSS_PROBES if link.loss else _PROBES):
        sent_ns.append(time.clock_gettime_ns(time.CLOCK_REALTIME))
        tx.send(_frame(number, 0, 0))
        if number < _PROBES:
            time.sleep(_PROBE_S)
    stamps = _stamps(rx, range(len(sent_ns)), _patience_s(link), _LOST_S)
    delays = [(at_ns - sent_ns[number]) / 1e9 - bit_by_bit_s for number, at_ns in stamps.items()]
    return min(delays, default=None), 1 - len(stamps) / len(sent_ns) if link.loss else None


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


class _Train(NamedTuple):
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


def _train(link: Link, bucket: TokenBucket) -> _Train:
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
    return _Train(round(bucket.burst / (1 - share)) // super_packet + 1, min(wanted, fits), packets, mss)


def _rate_bps(tx: socket.socket, rx: socket.socket, link: Link) -> float:
    """Between the first super-packet after the burst and the last one; 0 if too few came."""
    bucket = token_bucket(link)
    if link.ecn_threshold_bytes:  # the relay has the queue, without a bucket in front of it
        bucket = msgspec.structs.replace(bucket, burst=0)
    train = _train(link, bucket)
    first = number = time.monotonic_ns() & 0x3FFFFFFF  # apart from the rounds before
    frame = _frame(0, train.packets * train.mss, train.mss)
    for _ in range(train.burst + train.counted):
        frame[_NUMBER_AT : _NUMBER_AT + 4] = number.to_bytes(4, "big")
        with suppress(OSError):  # ENOBUFS: the queue was full, and the next frame has this number
            tx.send(frame)
            number += 1
    stamps = _stamps(rx, range(first, number), _patience_s(link), _QUIET_S + bucket.limit / bucket.rate)
    time.sleep(bucket.burst / bucket.rate)  # the bucket is full again
    counted = sorted(number for number in stamps if number >= first + train.burst)
    if len(counted) < 2:
        return 0.0
    begin, end = counted[0], counted[-1]
    return (end - begin) * train.wire_bytes * 8e9 / max(1, stamps[end] - stamps[begin])


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

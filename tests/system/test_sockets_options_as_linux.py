"""Socket options: the same calls on Linux's own sockets and on ours give the same answers.

As in test_sockets_life_as_linux.py, each script runs twice, and what every call answered is compared.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import suppress
from typing import Any

import pytest

from nodes.client.host import Host
from nodes.uapi import socket as uapi
from tests.system.both_stacks import (
    SOL,
    TCP,
    Sock,
    World,
    accept_queue,
    answer_alike,
    option,
    polled,
    until,
)
from tests.system.network import Network

pytestmark = pytest.mark.system
Message = tuple[bytes, list[tuple[int, int, bytes]], int, Any]  # what recvmsg returns
NUMBERS = (-1, 0, 1, 4, 7, 88, 300, 5000, 40000)
NUMBER_OPTIONS = [
    (SOL, socket.SO_TYPE),
    (SOL, socket.SO_PROTOCOL),
    (SOL, socket.SO_DOMAIN),
    (SOL, socket.SO_ACCEPTCONN),
    (SOL, socket.SO_ERROR),
    (SOL, socket.SO_REUSEADDR),
    (SOL, socket.SO_REUSEPORT),
    (SOL, socket.SO_KEEPALIVE),
    (SOL, socket.SO_BROADCAST),
    (SOL, socket.SO_OOBINLINE),
    (SOL, uapi.SO_BUSY_POLL),
    (SOL, socket.SO_PRIORITY),
    (SOL, socket.SO_MARK),
    (SOL, socket.SO_SNDBUF),
    (SOL, socket.SO_RCVBUF),
    (SOL, uapi.SO_INCOMING_NAPI_ID),
    (SOL, uapi.SO_INCOMING_CPU),
    (SOL, 12345),
    (TCP, socket.TCP_NODELAY),
    (TCP, socket.TCP_CORK),
    (TCP, socket.TCP_QUICKACK),
    (TCP, socket.TCP_MAXSEG),
    (TCP, socket.TCP_DEFER_ACCEPT),
    (TCP, socket.TCP_KEEPIDLE),
    (TCP, socket.TCP_KEEPINTVL),
    (TCP, socket.TCP_KEEPCNT),
    (TCP, socket.TCP_USER_TIMEOUT),
    (TCP, socket.TCP_LINGER2),
    (TCP, uapi.TCP_SAVE_SYN),
    (TCP, uapi.TCP_SAVED_SYN),
    (TCP, uapi.TCP_INQ),
    (TCP, uapi.TCP_NOTSENT_LOWAT),
    (TCP, uapi.TCP_THIN_LINEAR_TIMEOUTS),
    (TCP, uapi.TCP_THIN_DUPACK),
    (TCP, 12345),
    (socket.IPPROTO_IP, socket.IP_TOS),
    (socket.IPPROTO_IP, socket.IP_RECVTOS),
    (socket.IPPROTO_IP, uapi.IP_MTU_DISCOVER),
    (socket.IPPROTO_IP, socket.IP_TTL),
    (socket.IPPROTO_IP, uapi.IP_MINTTL),
    (socket.IPPROTO_IP, uapi.IP_RECVERR),
    (socket.IPPROTO_IP, uapi.IP_MTU),
]
TIMEVALS = [(1, 500_000), (0, 0), (-1, 0), (1, 1_000_000), (1, -1), (1, 0), ((1 << 63) - 1, 999_999)]
BUFFERS = {(SOL, socket.SO_SNDBUF), (SOL, socket.SO_RCVBUF)}


def options_of_one_number(world: World) -> None:
    for level, number in NUMBER_OPTIONS:
        sock = world.open()
        world.ask(sock.getsockopt, level, number)
        for value in NUMBERS:
            if (level, number) in BUFFERS and value == -1:
                continue  # the greatest that a sysctl allows
            world.ask(option, sock, level, number, value)
            world.ask(sock.getsockopt, level, number)
        world.ask(option, sock, level, number, b"\1")


def options_of_more_than_a_number(world: World) -> None:
    sock = world.open()
    for number in (uapi.SO_RCVTIMEO, uapi.SO_SNDTIMEO):
        for timeval in TIMEVALS:
            world.ask(option, sock, SOL, number, struct.pack("=qq", *timeval))
            world.ask(sock.getsockopt, SOL, number, 100)
        world.ask(option, sock, SOL, number, 1)
    for name in (b"reno", b"nonesuch", b"cubic", b"", b"reno\0"):
        world.ask(option, sock, TCP, socket.TCP_CONGESTION, name)
        world.ask(sock.getsockopt, TCP, socket.TCP_CONGESTION, 100)
    world.ask(sock.getsockopt, TCP, socket.TCP_CONGESTION, 3)
    for value in (struct.pack("=ii", 1, 5), struct.pack("=ii", 0, 5), b"\1\0\0\0"):
        world.ask(option, sock, SOL, socket.SO_LINGER, value)
        world.ask(sock.getsockopt, SOL, socket.SO_LINGER, 100)


def a_tos_brings_a_priority(world: World) -> None:
    sock = world.open()
    for tos in (0x08, 0x10, 0x18, 0xB8, 0, 0xE0):
        world.ask(option, sock, socket.IPPROTO_IP, socket.IP_TOS, tos)
        world.ask(sock.getsockopt, SOL, socket.SO_PRIORITY)
    world.ask(option, sock, socket.IPPROTO_IP, socket.IP_TOS, b"\x20")
    world.ask(sock.getsockopt, socket.IPPROTO_IP, socket.IP_TOS)
    world.ask(option, sock, socket.IPPROTO_IP, socket.IP_TOS, b"")


def a_byte_of_level_ip_where_there_is_no_room_for_an_int(world: World) -> None:
    client, _ = world.connected()
    for number in (socket.IP_TOS, socket.IP_TTL, uapi.IP_MTU_DISCOVER, uapi.IP_RECVERR, uapi.IP_MTU):
        for room in (1, 2, 3, 4, 8):
            world.ask(client.getsockopt, socket.IPPROTO_IP, number, room)


def a_saved_syn_is_read_once(world: World) -> None:
    """Headers without options, since Linux's SYN may have others; of Ethernet's, the type."""
    for value, start in ((1, 0), (2, 14)):
        listener, address = world.listener()
        world.ask(option, listener, TCP, uapi.TCP_SAVE_SYN, value)
        client = world.open()
        client.connect(address)
        server, _ = listener.accept()
        with server:
            for room in (0, 4, start + 39):
                world.ask(server.getsockopt, TCP, uapi.TCP_SAVED_SYN, room)
            saved = server.getsockopt(TCP, uapi.TCP_SAVED_SYN, 200)
            world.answers.append([len(saved), saved[start] if value == 1 else saved[start - 2 : start + 1]])
            world.ask(server.getsockopt, TCP, uapi.TCP_SAVED_SYN, 200)


def statistics_beside_a_stamp(world: World) -> None:
    """Which attributes, and how long."""
    client, server = world.connected()
    flags = uapi.SOF_TIMESTAMPING_OPT_STATS | uapi.SOF_TIMESTAMPING_TX_ACK | uapi.SOF_TIMESTAMPING_SOFTWARE
    world.ask(option, client, SOL, uapi.SO_TIMESTAMPING, flags)
    world.ask(option, client, SOL, uapi.SO_TIMESTAMPING, flags | uapi.SOF_TIMESTAMPING_OPT_TSONLY)
    for room in (0, 1000):
        world.ask(client.send, b"x" * 1000)
        world.ask(server.recv, 1000)
        until(lambda: bool(polled(client) & select.POLLERR))
        data, control, flags, name = client.recvmsg(room, 1000, uapi.MSG_ERRQUEUE)
        stats, at, kinds = control[1][2], 0, []
        while at < len(stats):
            length, kind = struct.unpack_from("=HH", stats, at)
            kinds.append((kind, length))
            at += length + 3 & ~3
        world.answers.append([len(data), flags, name, kinds, [each[:2] for each in control]])


def levels_that_do_not_exist(world: World) -> None:
    sock = world.open()
    for level in (socket.IPPROTO_IPV6, 999):
        world.ask(option, sock, level, 1, 1)
        world.ask(sock.getsockopt, level, 1)


def the_interface_can_be_bound_to(world: World) -> None:
    sock = world.open()
    for name in (b"nonesuch", b"h1-eth0", b"h1-eth0\0", b""):
        world.ask(option, sock, SOL, socket.SO_BINDTODEVICE, name)
        world.ask(sock.getsockopt, SOL, socket.SO_BINDTODEVICE, 16)
        world.ask(sock.getsockopt, SOL, socket.SO_BINDTODEVICE, 4)


def an_established_connection_takes_another_congestion_control(world: World) -> None:
    client, server = world.connected()
    for name in (b"reno", b"cubic", b"nonesuch"):
        world.ask(option, client, TCP, socket.TCP_CONGESTION, name)
        world.ask(client.getsockopt, TCP, socket.TCP_CONGESTION, 16)
        world.ask(client.send, b"x")
        world.ask(server.recv, 1)


def tcp_info_of_what_is_not_connected(world: World) -> None:
    fresh = world.open()
    info = fresh.getsockopt(TCP, socket.TCP_INFO, 500)
    world.answers.append([*info[:8], *struct.unpack_from("=9I", info, 8)])  # up to the times since boot
    world.answers.append(info[60:])
    listener, _ = world.listener(7)
    world.answers.append(listener.getsockopt(TCP, socket.TCP_INFO, 500))


def tcp_info_of_a_connection(world: World) -> None:
    """What does not depend on speed: state, options, MSS, ssthresh, advmss, reordering, data counters.
    (Linux's bytes_acked of the connecting end has one more, for the SYN.)"""
    client, server = world.connected()
    for _ in range(3):
        world.ask(client.send, b"x")
        world.ask(server.recv, 1)
    until(lambda: accept_queue(client)[0] == 0)  # of a connection: segments not acknowledged
    for sock in (client, server):
        info = sock.getsockopt(TCP, socket.TCP_INFO, 500)
        u32 = dict(enumerate(struct.unpack_from("=24I", info, 8)))
        world.answers.append([info[0], info[1], info[5] & 7, u32[2]])
        world.answers.append([u32[at] for at in (4, 5, 6, 7, 13, 17, 19, 20, 23)])
        world.answers.append([struct.unpack_from("=Q", info, at) for at in (112, 128)])
        world.answers.append(struct.unpack_from("=2I", info, 152))  # data_segs_in, data_segs_out
        limited_delivered = struct.unpack_from("=2Q2I", info, 176)  # rwnd_limited, ..., delivered_ce
        world.answers.append([limited_delivered, *struct.unpack_from("=2I", info, 220)])
    for at in (0, 12):  # how long ago data was sent, and received
        assert struct.unpack_from("=I", server.getsockopt(TCP, socket.TCP_INFO, 200), 44 + at)[0] < 1 << 30


def stamps_and_inq_beside_the_data(world: World) -> None:
    """All but the times. Linux begins to stamp what comes some time after it was asked to."""
    client, server = world.connected()
    flags = uapi.SOF_TIMESTAMPING_RX_SOFTWARE | uapi.SOF_TIMESTAMPING_SOFTWARE
    world.ask(option, server, SOL, uapi.SO_TIMESTAMPING, flags)
    world.ask(option, server, TCP, uapi.TCP_INQ, 1)
    until(lambda: client.send(b"x") == 1 and len(server.recvmsg(1, 100)[1]) == 2)
    until(lambda: unacknowledged(client) == 0)  # ids count from the first byte that is not
    keyed = uapi.SOF_TIMESTAMPING_OPT_ID | uapi.SOF_TIMESTAMPING_OPT_TSONLY
    sends = uapi.SOF_TIMESTAMPING_TX_SCHED | uapi.SOF_TIMESTAMPING_TX_SOFTWARE | uapi.SOF_TIMESTAMPING_TX_ACK
    world.ask(option, client, SOL, uapi.SO_TIMESTAMPING, sends | keyed | uapi.SOF_TIMESTAMPING_SOFTWARE)
    for number in range(2):
        world.ask(client.send, b"x" * 100)
        world.answers.append(stamps_up_to_the_ack(client))
        for room in (0, 16, 64, 80, 100) if number else (100,):
            world.answers.append(without_time(server.recvmsg(10, room)))
    one = [(SOL, uapi.SO_TIMESTAMPING, struct.pack("=I", uapi.SOF_TIMESTAMPING_TX_ACK))]
    world.ask(client.sendmsg, [b"abc"], one)
    world.answers.append(stamps_up_to_the_ack(client))
    world.ask(client.sendmsg, [b"abc"], [(SOL, uapi.SO_TIMESTAMPING, struct.pack("=I", 1 << 7))])
    for bad in (1 << 30, uapi.SOF_TIMESTAMPING_OPT_ID_TCP, -1):
        world.ask(option, server, SOL, uapi.SO_TIMESTAMPING, bad)
    world.ask(client.getsockopt, SOL, uapi.SO_TIMESTAMPING)
    world.ask(client.getsockopt, SOL, uapi.SO_TIMESTAMPING, 8)
    world.ask(option, world.open(), SOL, uapi.SO_TIMESTAMPING, keyed)


def unacknowledged(sock: Sock) -> int:
    """tcpi_unacked: packets."""
    return int(struct.unpack_from("=I", sock.getsockopt(TCP, socket.TCP_INFO, 104), 24)[0])


def stamps_up_to_the_ack(sock: Sock) -> dict[int, object]:
    """By ee_info. A bridge's port schedules and sends Linux's packet once more."""
    stamps: dict[int, object] = {}

    def acknowledged() -> bool:
        with suppress(BlockingIOError):
            message = sock.recvmsg(0, 200, uapi.MSG_ERRQUEUE)
            report = uapi.ExtendedErr(*uapi.EXTENDED_ERR.unpack_from(message[1][-1][2]))
            stamps[report.ee_info] = without_time(message)
        return uapi.SCM_TSTAMP_ACK in stamps

    until(acknowledged)
    return stamps


def without_time(message: Message) -> object:
    """A stamp's length, and whether it is of this minute."""
    data, control, flags, _ = message
    shown: list[object] = []
    for level, kind, body in control:
        stamp = (level, kind) == (SOL, uapi.SCM_TIMESTAMPING)
        if stamp and len(body) >= 8:
            assert abs(struct.unpack_from("=q", body)[0] - time.time()) < 60
        shown.append((level, kind, len(body) if stamp else body))
    return data, shown, flags


OPTIONS = (
    options_of_one_number,
    options_of_more_than_a_number,
    a_tos_brings_a_priority,
    a_byte_of_level_ip_where_there_is_no_room_for_an_int,
    a_saved_syn_is_read_once,
    statistics_beside_a_stamp,
    levels_that_do_not_exist,
    the_interface_can_be_bound_to,
    an_established_connection_takes_another_congestion_control,
    tcp_info_of_what_is_not_connected,
    tcp_info_of_a_connection,
    stamps_and_inq_beside_the_data,
)


def test_a_sockets_options_are_as_linuxs(network: Network, hosts: tuple[Host, Host]) -> None:
    answer_alike(network, hosts, OPTIONS)

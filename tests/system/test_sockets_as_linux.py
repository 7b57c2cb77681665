"""The same calls on Linux's own sockets and on ours give the same answers: a socket's life and its options.

Each script runs twice, over the kernel's addresses and the endpoints', and yields what every call answered:
a value, or the name of its errno. Nothing is compared that depends on speed.
"""

from __future__ import annotations

import errno
import itertools
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from nodes.client.host import Host
from nodes.uapi.socket import SO_INCOMING_NAPI_ID, SO_RCVTIMEO, SO_SNDTIMEO
from tests.system.network import Network

pytestmark = pytest.mark.system

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
CLOSED_PORT, PATIENCE_S = 9, 20.0
REUSE = ((), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT))
ESTABLISHED, SYN_SENT, FIN_WAIT_2, CLOSE, LISTEN = 1, 2, 5, 7, 10
RESET_ON_CLOSE = struct.pack("=ii", 1, 0)
Sock = Any  # socket.socket, or nodes.client.socket.Socket: what is under test is that one cannot tell
Answers = list[object]


@dataclass
class World:
    """Two hosts' sockets of one kind: `client` makes them on h1, `server` on h2, whose address is `there`.
    At `nowhere` there is nobody."""

    client: Callable[[], Sock]
    server: Callable[[], Sock]
    there: str
    nowhere: str
    stack: ExitStack
    answers: Answers = field(default_factory=list)

    def open(self, blocking: bool = True) -> Sock:
        sock = self.stack.enter_context(closing(self.client()))
        sock.setblocking(blocking)
        return sock

    def listener(self, backlog: int = 5) -> tuple[Sock, tuple[str, int]]:
        sock = self.stack.enter_context(closing(self.server()))
        sock.bind((self.there, 0))
        sock.listen(backlog)
        return sock, (self.there, sock.getsockname()[1])

    def connected(self) -> tuple[Sock, Sock]:
        """A client and its server."""
        listener, address = self.listener()
        client = self.open()
        client.connect(address)
        server, _ = listener.accept()
        return client, self.stack.enter_context(closing(server))

    def ask(self, call: Callable[..., object], *arguments: object) -> None:
        """Keep what `call` answers."""
        try:
            self.answers.append(call(*arguments))
        except OSError as refused:
            self.answers.append(errno.errorcode.get(refused.errno or 0, str(refused)))


def state_of(sock: Sock) -> int:
    return int(sock.getsockopt(TCP, socket.TCP_INFO, 1)[0])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.002)


def until_state(sock: Sock, *states: int) -> None:
    until(lambda: state_of(sock) in states)


def has_data(sock: Sock) -> bool:
    with suppress(BlockingIOError):
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False


def polled(sock: Sock) -> int:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    return sum(events for _, events in poll.poll(0))


def option(sock: Sock, level: int, number: int, value: int | bytes) -> None:
    """Set it, and get nothing: ours returns 0, Python's None."""
    sock.setsockopt(level, number, value)


# --- a socket's life


def a_refused_socket_connects_again(world: World) -> None:
    _, address = world.listener()
    sock = world.open()
    for _ in range(2):
        world.ask(sock.connect, (world.there, CLOSED_PORT))
        world.ask(sock.recv, 1)
        world.ask(sock.send, b"x")
        world.ask(sock.getpeername)
        world.ask(lambda: sock.getsockname()[0])
        world.ask(state_of, sock)
    world.ask(sock.connect, address)
    world.ask(sock.connect, address)
    world.ask(lambda: sock.getpeername() == address)


def a_refusal_without_a_waiting_call_is_reported_once(world: World) -> None:
    def refused() -> Sock:
        sock = world.open(blocking=False)
        world.ask(sock.connect, (world.there, CLOSED_PORT))
        until_state(sock, CLOSE)
        return sock

    sock = refused()
    for call in (sock.getpeername, lambda: sock.connect((world.there, CLOSED_PORT))):
        world.ask(call)
    world.ask(sock.connect, (world.there, CLOSED_PORT))
    sock = refused()
    world.ask(sock.getsockopt, SOL, socket.SO_ERROR)
    world.ask(sock.recv, 1)
    world.ask(sock.connect, (world.there, CLOSED_PORT))
    world.ask(sock.recv, 1)
    world.ask(sock.connect, (world.there, CLOSED_PORT))
    sock = refused()
    world.ask(sock.recv, 1)
    world.ask(sock.recv, 1)
    world.ask(sock.send, b"x")
    world.ask(sock.shutdown, socket.SHUT_WR)


def connecting_twice_is_ealready_then_success_once_then_eisconn(world: World) -> None:
    listener, address = world.listener()
    sock = world.open(blocking=False)
    world.ask(sock.connect, address)
    until_state(sock, ESTABLISHED)
    for _ in range(3):
        world.ask(sock.connect, address)
    world.ask(listener.connect, address)
    world.ask(sock.listen, 1)
    waiting = world.open(blocking=False)
    for _ in range(2):
        world.ask(waiting.connect, (world.nowhere, 80))
    world.ask(waiting.getpeername)
    world.ask(waiting.recv, 1)
    world.ask(waiting.send, b"x")
    world.ask(waiting.listen, 1)


def shutdown_in_syn_sent_disconnects(world: World) -> None:
    for how in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
        sock = world.open(blocking=False)
        world.ask(sock.connect, (world.nowhere, 80))
        world.ask(sock.shutdown, how)
        world.ask(state_of, sock)
        world.ask(sock.recv, 1)
        world.ask(sock.recv, 1)
        world.ask(lambda sock=sock: sock.getsockname()[0])
        world.ask(sock.connect, (world.nowhere, 80))
        world.ask(sock.shutdown, how)
        world.ask(sock.getsockopt, SOL, socket.SO_ERROR)


def shutdown_of_what_is_not_connected(world: World) -> None:
    sock = world.open()
    for how in (99, -1, socket.SHUT_RD):
        world.ask(sock.shutdown, how)
    world.ask(sock.recv, 1)
    world.ask(sock.send, b"x")
    world.ask(sock.accept)


def shutdown_before_connect_has_told_decides_how_it_went(world: World) -> None:
    _, address = world.listener()
    for port, state in ((address[1], ESTABLISHED), (CLOSED_PORT, CLOSE)):
        for how in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            sock = world.open(blocking=False)
            world.ask(sock.connect, (world.there, port))
            until_state(sock, state)
            world.ask(sock.shutdown, how)
            if state == CLOSE:
                world.ask(polled, sock)
            for _ in range(2):
                world.ask(sock.connect, address)
            world.ask(sock.listen, 1)
            world.ask(sock.getsockopt, SOL, socket.SO_ERROR)


def poll_of_what_was_shut_down_unconnected(world: World) -> None:
    for how in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
        sock = world.open()
        world.ask(sock.shutdown, how)
        world.ask(lambda sock=sock: polled(sock) & ~select.POLLHUP)  # ours has none before a connection


def shutdown_of_a_listener_stops_it_unless_it_is_for_sending(world: World) -> None:
    listener, address = world.listener()
    waits, late = world.open(), world.open()
    waits.connect(address)
    world.ask(listener.shutdown, socket.SHUT_WR)
    world.ask(listener.shutdown, 99)
    world.ask(listener.getsockopt, SOL, socket.SO_ACCEPTCONN)
    world.ask(listener.shutdown, socket.SHUT_RD)
    until_state(waits, CLOSE)
    world.ask(waits.recv, 1)
    world.ask(listener.accept)
    world.ask(listener.getsockopt, SOL, socket.SO_ACCEPTCONN)
    world.ask(state_of, listener)
    world.ask(lambda: listener.getsockname() == address)
    world.ask(late.connect, address)
    world.ask(listener.listen, 1)
    world.ask(late.connect, address)


def a_reset_connection_has_no_peer(world: World) -> None:
    client, server = world.connected()
    option(server, SOL, socket.SO_LINGER, RESET_ON_CLOSE)
    server.close()
    until_state(client, CLOSE)
    world.ask(client.getpeername)
    world.ask(client.shutdown, socket.SHUT_WR)
    world.ask(client.recv, 1)
    world.ask(client.recv, 1)
    world.ask(client.connect, (world.there, CLOSED_PORT))


def in_time_wait_the_socket_is_closed(world: World) -> None:
    client, server = world.connected()
    client.shutdown(socket.SHUT_WR)
    world.ask(server.recv, 1)
    server.close()
    until_state(client, CLOSE)
    world.ask(client.getpeername)
    world.ask(client.shutdown, socket.SHUT_WR)
    world.ask(client.shutdown, socket.SHUT_RD)
    world.ask(client.recv, 1)
    world.ask(client.send, b"x")
    world.ask(client.connect, (world.there, CLOSED_PORT))


def data_after_shut_rdwr_is_answered_by_reset(world: World) -> None:
    client, server = world.connected()
    client.shutdown(socket.SHUT_RDWR)
    world.ask(server.recv, 1)
    until_state(client, FIN_WAIT_2)
    world.ask(server.send, b"unwanted")
    until_state(client, CLOSE)
    until_state(server, CLOSE)
    world.ask(client.recv, 1)
    world.ask(client.recv, 1)
    world.ask(server.send, b"x")


def data_after_shut_rd_is_taken_until_both_sides_are_shut(world: World) -> None:
    client, server = world.connected()
    client.shutdown(socket.SHUT_RD)
    world.ask(client.recv, 1)
    world.ask(server.send, b"x")
    until(lambda: has_data(client))
    world.ask(client.recv, 1)
    world.ask(client.recv, 1)
    client.shutdown(socket.SHUT_WR)
    until_state(client, FIN_WAIT_2)
    world.ask(server.send, b"y")
    until_state(client, CLOSE)
    world.ask(client.recv, 1)
    world.ask(client.recv, 1)


def a_port_asked_for_by_number_outlives_a_refusal(world: World) -> None:
    probe = world.open()
    probe.bind(("", 0))
    port = probe.getsockname()[1]
    probe.close()
    sock = world.open()
    sock.bind(("", port))
    world.ask(sock.connect, (world.there, CLOSED_PORT))
    world.ask(lambda: sock.getsockname() == ("0.0.0.0", port))
    world.ask(world.open().bind, ("", port))
    world.ask(sock.connect, (world.there, CLOSED_PORT))
    world.ask(sock.bind, ("", 0))


def listening_lets_one_more_in_than_asked_for(world: World) -> None:
    listener, address = world.listener(0)
    first, *others = (world.open(blocking=False) for _ in range(3))
    world.ask(first.connect, address)
    until(lambda: accept_queue(listener)[0] == 1)
    for each in others:
        world.ask(each.connect, address)
    world.ask(accept_queue, listener)
    world.ask(lambda: [state_of(each) for each in (first, *others)])
    for backlog in (3, 1 << 20):  # Python's own sockets take a negative one for 0
        world.ask(listener.listen, backlog)
        world.ask(lambda: accept_queue(listener)[1])


def accept_queue(listener: Sock) -> tuple[int, ...]:
    """How many wait, and how many may."""
    return struct.unpack_from("=2I", listener.getsockopt(TCP, socket.TCP_INFO, 104), 24)


def timeouts_end_calls_that_block(world: World) -> None:
    short = struct.pack("=qq", 0, 20_000)
    client, server = world.connected()
    option(client, SOL, SO_RCVTIMEO, short)
    world.ask(client.recv, 1)
    world.ask(server.send, b"x")
    until(lambda: has_data(client))
    world.ask(client.recv, 5, socket.MSG_WAITALL)
    option(client, SOL, SO_SNDTIMEO, short)
    world.ask(send_until_refused, client)
    listener, _ = world.listener()
    option(listener, SOL, SO_RCVTIMEO, short)
    world.ask(listener.accept)
    sock = world.open()
    option(sock, SOL, SO_SNDTIMEO, short)
    world.ask(sock.connect, (world.nowhere, 80))
    world.ask(sock.connect, (world.nowhere, 80))


def send_until_refused(sock: Sock) -> None:
    while True:
        sock.send(bytes(1 << 16))


def a_broadcast_address_belongs_to_no_host(world: World) -> None:
    for address in (f"{world.there.rpartition('.')[0]}.255", "255.255.255.255", "224.0.0.1", "192.0.2.1"):
        world.ask(world.open(blocking=False).connect, (address, 80))


def ports_are_shared_by_who_agrees_to(world: World) -> None:
    """All that two sockets may ask for: SO_REUSEADDR, SO_REUSEPORT, and listening by the first."""
    for first_asks, second_asks, listens in itertools.product(REUSE, REUSE, (False, True)):
        first, second = world.open(), world.open()
        for sock, asked in ((first, first_asks), (second, second_asks)):
            for number in asked:
                option(sock, SOL, number, 1)
        first.bind(("", 0))
        if listens:
            first.listen(1)
        world.ask(second.bind, ("", first.getsockname()[1]))
        if not listens:
            first.listen(1)
        world.ask(second.listen, 1)
        first.close()
        second.close()


LIVES = (
    a_refused_socket_connects_again,
    a_refusal_without_a_waiting_call_is_reported_once,
    connecting_twice_is_ealready_then_success_once_then_eisconn,
    shutdown_in_syn_sent_disconnects,
    shutdown_of_what_is_not_connected,
    shutdown_before_connect_has_told_decides_how_it_went,
    poll_of_what_was_shut_down_unconnected,
    shutdown_of_a_listener_stops_it_unless_it_is_for_sending,
    a_reset_connection_has_no_peer,
    in_time_wait_the_socket_is_closed,
    data_after_shut_rdwr_is_answered_by_reset,
    data_after_shut_rd_is_taken_until_both_sides_are_shut,
    a_port_asked_for_by_number_outlives_a_refusal,
    listening_lets_one_more_in_than_asked_for,
    timeouts_end_calls_that_block,
    a_broadcast_address_belongs_to_no_host,
    ports_are_shared_by_who_agrees_to,
)


# --- options

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
    (SOL, socket.SO_PRIORITY),
    (SOL, socket.SO_MARK),
    (SOL, socket.SO_SNDBUF),
    (SOL, socket.SO_RCVBUF),
    (SOL, SO_INCOMING_NAPI_ID),
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
    (TCP, 12345),
    (socket.IPPROTO_IP, socket.IP_TOS),
]
TIMEVALS = [(1, 500_000), (0, 0), (-1, 0), (1, 1_000_000), (1, -1), (1, 0), ((1 << 63) - 1, 999_999)]
DEFAULTS_DIFFER = {(SOL, socket.SO_SNDBUF), (SOL, socket.SO_RCVBUF)}


def options_of_one_number(world: World) -> None:
    for level, number in NUMBER_OPTIONS:
        sock = world.open()
        if (level, number) not in DEFAULTS_DIFFER:
            world.ask(sock.getsockopt, level, number)
        for value in NUMBERS:
            if (level, number) in DEFAULTS_DIFFER and value == -1:
                continue  # the greatest that a sysctl allows
            world.ask(option, sock, level, number, value)
            world.ask(sock.getsockopt, level, number)
        world.ask(option, sock, level, number, b"\1")


def options_of_more_than_a_number(world: World) -> None:
    sock = world.open()
    for number in (SO_RCVTIMEO, SO_SNDTIMEO):
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


def a_living_connection_takes_another_congestion_control(world: World) -> None:
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
    """What does not depend on speed: state, options, MSS, ssthresh, advmss, most pacing rate, data counted.
    (Linux's bytes_acked of who connected has one more, for the SYN.)"""
    client, server = world.connected()
    for _ in range(3):
        world.ask(client.send, b"x")
        world.ask(server.recv, 1)
    until(lambda: accept_queue(client)[0] == 0)  # of a connection: segments not acknowledged
    for sock in (client, server):
        info = sock.getsockopt(TCP, socket.TCP_INFO, 500)
        u32 = dict(enumerate(struct.unpack_from("=24I", info, 8)))
        world.answers.append([info[0], info[1], info[5] & 7, u32[2]])
        world.answers.append([u32[at] for at in (4, 5, 6, 7, 13, 17, 19, 23)])
        world.answers.append([struct.unpack_from("=Q", info, at) for at in (112, 128)])
        world.answers.append(struct.unpack_from("=2I", info, 152))  # data_segs_in, data_segs_out
    for at in (0, 12):  # how long ago data was sent, and received
        assert struct.unpack_from("=I", server.getsockopt(TCP, socket.TCP_INFO, 200), 44 + at)[0] < 1 << 30


OPTIONS = (
    options_of_one_number,
    options_of_more_than_a_number,
    a_tos_brings_a_priority,
    levels_that_do_not_exist,
    the_interface_can_be_bound_to,
    a_living_connection_takes_another_congestion_control,
    tcp_info_of_what_is_not_connected,
    tcp_info_of_a_connection,
)


def nobody_near(address: str) -> str:
    """An address of the same /24 that no host of a small star has."""
    return f"{address.rpartition('.')[0]}.251"


@pytest.fixture
def worlds(network: Network, hosts: tuple[Host, Host]) -> Iterator[tuple[World, World]]:
    """Linux's and ours."""
    h1, h2 = hosts
    kernel = network.kernel_address("h2")
    with ExitStack() as stack:
        yield (
            World(h1.kernel_socket, h2.kernel_socket, kernel, nobody_near(kernel), stack),
            World(h1.socket, h2.socket, h2.address, nobody_near(h2.address), stack),
        )


@pytest.mark.parametrize("scripts", [LIVES, OPTIONS], ids=["life", "options"])
def test_sockets_answer_as_linuxs_do(
    worlds: tuple[World, World], scripts: tuple[Callable[[World], None], ...]
) -> None:
    """One network for many scripts: building it takes longer than they do."""
    for script in scripts:
        for world in worlds:
            world.answers.clear()
            script(world)
        theirs, ours = (world.answers for world in worlds)
        assert ours == theirs, script.__name__

"""A socket's life: the same calls on Linux's own sockets and on ours give the same answers.

Each script runs twice, over the kernel's addresses and over the endpoints', and keeps what every call
answered: a value, or the name of its errno. Nothing that depends on speed is compared.
"""

from __future__ import annotations

import itertools
import select
import socket
import struct

import pytest

from nodes.client.host import Host
from nodes.uapi.socket import SO_RCVTIMEO, SO_SNDTIMEO
from tests.system.both_stacks import (
    CLOSE,
    CLOSED_PORT,
    ESTABLISHED,
    FIN_WAIT_2,
    RESET_ON_CLOSE,
    SOL,
    Sock,
    World,
    accept_queue,
    answer_alike,
    has_data,
    option,
    polled,
    state_of,
    until,
    until_state,
)
from tests.system.network import Network

pytestmark = pytest.mark.system
REUSE = ((), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT))


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


def shutdown_before_connect_reports_decides_its_result(world: World) -> None:
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


def ports_are_shared_by_sockets_that_agree(world: World) -> None:
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
    shutdown_before_connect_reports_decides_its_result,
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
    ports_are_shared_by_sockets_that_agree,
)


def test_a_sockets_life_is_as_linuxs(network: Network, hosts: tuple[Host, Host]) -> None:
    answer_alike(network, hosts, LIVES)

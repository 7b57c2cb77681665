"""How sockets end, on Linux's own and on ours: connect(2) with AF_UNSPEC, and closes that linger."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import threading
import time

import pytest

from nodes.client.host import Host
from tests.system.both_stacks import (
    CLOSE,
    CLOSED_PORT,
    CONTENT,
    ESTABLISHED,
    FIN_WAIT_2,
    LISTEN,
    PATIENCE_S,
    SOL,
    Answers,
    Sock,
    World,
    answer_alike,
    has_data,
    polled,
    state_of,
    until,
    until_state,
)
from tests.system.network import Network

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
QUIET_S = 0.3  # after which a send buffer that is still full stays full: ten round trips of a busy machine
_LIBC = ctypes.CDLL(None, use_errno=True)
_AF_UNSPEC = struct.pack("=H14x", socket.AF_UNSPEC)  # struct sockaddr


def disconnect(sock: Sock) -> None:
    if not isinstance(sock, socket.socket):
        sock.disconnect()
    elif _LIBC.connect(sock.fileno(), _AF_UNSPEC, len(_AF_UNSPEC)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def look(world: World, sock: Sock) -> None:
    """What a socket says of itself after it was disconnected."""
    world.ask(state_of, sock)
    world.ask(sock.getpeername)
    world.ask(lambda: sock.getsockname()[0] in ("0.0.0.0", world.there))
    world.ask(sock.getsockopt, SOL, socket.SO_ERROR)
    world.ask(sock.recv, 1)
    world.ask(sock.send, b"x")
    world.ask(sock.shutdown, socket.SHUT_WR)


def until_ended(sock: Sock) -> None:
    """Until the peer's stream has ended."""
    until(lambda: bool(polled(sock) & select.POLLRDHUP))


def a_fresh_socket_disconnects(world: World) -> None:
    sock = world.open(blocking=False)
    world.ask(disconnect, sock)
    look(world, sock)


def an_established_connection_is_reset(world: World) -> None:
    near, far = world.connected()
    near.sendall(b"never read")
    near.setblocking(False)
    world.ask(disconnect, near)
    until_state(far, CLOSE)
    world.ask(far.recv, 4)
    world.ask(far.recv, 100)
    look(world, near)


def the_pending_error_of_a_disconnect_meets_the_next_call(world: World) -> None:
    for call in (lambda s: s.recv(1), lambda s: s.send(b"x"), lambda s: s.getpeername()):
        near, _ = world.connected()
        near.setblocking(False)
        world.ask(disconnect, near)
        world.ask(call, near)
        world.ask(near.getsockopt, SOL, socket.SO_ERROR)


def a_disconnected_socket_connects_again(world: World) -> None:
    listener, address = world.listener()
    sock = world.open()
    for turn in range(3):
        world.ask(sock.connect, address)
        server, _ = listener.accept()
        sock.sendall(b"%d" % turn)
        world.ask(server.recv, 10)
        world.ask(disconnect, sock)
        until_state(server, CLOSE)
        server.close()


def a_hang_up_is_over_after_a_disconnect(world: World) -> None:
    near, far = world.connected()
    listener, address = world.listener()
    far.close()
    near.shutdown(socket.SHUT_WR)
    until(lambda: bool(polled(near) & select.POLLHUP))
    disconnect(near)
    near.getsockopt(SOL, socket.SO_ERROR)
    near.setblocking(True)
    near.connect(address)
    until(lambda: polled(near) == select.POLLOUT)
    world.ask(polled, near)
    listener.accept()[0].close()
    until_ended(near)


def a_listener_disconnects_and_its_queue_is_reset(world: World) -> None:
    listener, address = world.listener()
    client = world.open()
    client.connect(address)
    client.setblocking(False)
    world.ask(disconnect, listener)
    until_state(client, CLOSE)
    world.ask(client.recv, 1)
    world.ask(state_of, listener)
    world.ask(listener.accept)
    world.ask(world.open().connect, address)
    world.ask(listener.listen, 1)
    world.ask(state_of, listener)
    assert state_of(listener) == LISTEN
    world.ask(lambda: listener.getsockname() == address)


def an_attempt_to_connect_is_given_up(world: World) -> None:
    sock = world.open(blocking=False)
    world.ask(sock.connect, (world.nowhere, 80))
    world.ask(disconnect, sock)
    world.ask(state_of, sock)
    world.ask(sock.getsockopt, SOL, socket.SO_ERROR)
    world.ask(sock.connect, (world.nowhere, 80))


def a_half_closed_connection_disconnects(world: World) -> None:
    for how in ("near", "far", "both"):
        near, far = world.connected()
        if how != "far":
            near.shutdown(socket.SHUT_WR)
            until_state(near, FIN_WAIT_2)
        if how != "near":
            far.shutdown(socket.SHUT_WR)
            until_ended(near)
        near.setblocking(False)
        world.ask(disconnect, near)
        look(world, near)


def unread_data_and_a_shutdown_are_forgotten(world: World) -> None:
    near, far = world.connected()
    listener, address = world.listener()
    far.sendall(b"unread")
    until(lambda: has_data(near))
    near.shutdown(socket.SHUT_RDWR)
    world.ask(disconnect, near)
    near.getsockopt(SOL, socket.SO_ERROR)
    world.ask(near.connect, address)
    server, _ = listener.accept()
    server.sendall(b"new")
    world.ask(near.recv, 10)
    world.ask(near.send, b"x")


def a_refused_socket_disconnects(world: World) -> None:
    sock = world.open(blocking=False)
    world.ask(sock.connect, (world.there, CLOSED_PORT))
    until_state(sock, CLOSE)
    world.ask(disconnect, sock)
    look(world, sock)


def a_blocked_reader_is_woken(world: World) -> None:
    near, _ = world.connected()
    said: Answers = []

    def read() -> None:
        try:
            said.append(near.recv(1))
        except OSError as refused:
            said.append(refused.errno)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.2)  # to be blocked; either way it is told something
    world.ask(disconnect, near)
    reader.join(PATIENCE_S)
    world.ask(lambda: len(said))


SCRIPTS = (
    a_fresh_socket_disconnects, an_established_connection_is_reset,
    the_pending_error_of_a_disconnect_meets_the_next_call, a_disconnected_socket_connects_again,
    a_hang_up_is_over_after_a_disconnect, a_listener_disconnects_and_its_queue_is_reset,
    an_attempt_to_connect_is_given_up,
    a_half_closed_connection_disconnects, unread_data_and_a_shutdown_are_forgotten,
    a_refused_socket_disconnects, a_blocked_reader_is_woken,
)  # fmt: skip


def test_connect_to_af_unspec_answers_as_linux(network: Network, hosts: tuple[Host, Host]) -> None:
    answer_alike(network, hosts, SCRIPTS)


def test_established_is_what_a_disconnect_ends(network: Network, hosts: tuple[Host, Host]) -> None:
    def script(world: World) -> None:
        near, _ = world.connected()
        assert state_of(near) == ESTABLISHED
        disconnect(near)
        assert state_of(near) == CLOSE

    answer_alike(network, hosts, [script])


def filled(world: World) -> tuple[Sock, Sock]:
    """A connection whose peer does not read, and takes no more: some of what was sent is not acknowledged."""
    near, far = world.connected()
    near.setblocking(False)
    taken_at = time.monotonic()
    while time.monotonic() - taken_at < QUIET_S:
        try:
            near.send(CONTENT)
            taken_at = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)  # the send buffer is full; the peer may have room yet
    return near, far


def close_took(sock: Sock) -> float:
    begun = time.monotonic()
    sock.close()
    return time.monotonic() - begun


def a_lingering_close_waits_for_what_is_not_acknowledged(world: World) -> None:
    near, _ = filled(world)
    near.setsockopt(SOL, socket.SO_LINGER, struct.pack("=ii", 1, 1))
    world.ask(lambda: 0.9 < close_took(near) < PATIENCE_S)
    near, far = filled(world)
    near.setsockopt(SOL, socket.SO_LINGER, struct.pack("=ii", 1, 60))

    def read_all() -> None:
        while far.recv(1 << 20):
            pass

    reader = threading.Timer(0.3, read_all)
    reader.start()
    world.ask(lambda: 0.2 < close_took(near) < PATIENCE_S)
    reader.join(PATIENCE_S)
    world.ask(reader.is_alive)


def a_close_does_not_wait_without_a_reason(world: World) -> None:
    near, _ = filled(world)
    near.setsockopt(SOL, socket.SO_LINGER, struct.pack("=ii", 0, 60))
    world.ask(lambda: close_took(near) < PATIENCE_S)
    near, far = world.connected()
    near.setsockopt(SOL, socket.SO_LINGER, struct.pack("=ii", 1, 60))
    near.sendall(b"all of it")
    world.ask(lambda: close_took(near) < PATIENCE_S)
    world.ask(far.recv, 100)
    world.ask(far.recv, 100)
    near, _ = filled(world)
    near.setsockopt(SOL, socket.SO_LINGER, struct.pack("=ii", 1, 60))
    other = near.dup()
    world.ask(lambda: close_took(near) < PATIENCE_S)
    other.setsockopt(SOL, socket.SO_LINGER, struct.pack("=ii", 1, 1))
    world.ask(lambda: 0.9 < close_took(other) < PATIENCE_S)


def test_close_lingers_as_linux(network: Network, hosts: tuple[Host, Host]) -> None:
    scripts = [a_lingering_close_waits_for_what_is_not_acknowledged, a_close_does_not_wait_without_a_reason]
    answer_alike(network, hosts, scripts)

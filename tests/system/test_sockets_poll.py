"""A client's sockets in poll, select, epoll, selectors and asyncio: ready when Linux's sockets are."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import selectors
import socket as linux
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from nodes.client.host import Host
from nodes.uapi import socket as uapi
from tests.system.both_stacks import (
    CONTENT,
    EVENTS,
    PATIENCE_S,
    PORT,
    Pair,
    both,
    our_pair,
    reset,
    settled,
)
from tests.system.network import Network

pytestmark = pytest.mark.system


def fill(pair: Pair) -> None:
    """Until nothing moves any more: both ends' buffers are full."""
    sock = pair.near
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLOUT)
    while poll.poll(500):
        with suppress(BlockingIOError):
            while True:
                pair.filled += sock.send(bytes(1 << 16))
    sock.setblocking(True)


def look(twin: Any) -> None:
    twin.setblocking(True)
    assert twin.recv(10) == b"bc"


STEPS: list[tuple[str, int, Callable[[Pair], object]]] = [
    ("connected", select.POLLOUT, lambda _: None),
    ("data", select.POLLIN | select.POLLOUT, lambda p: p.far.sendall(b"abc")),
    ("looked at", select.POLLIN | select.POLLOUT, lambda p: p.near.recv(10, uapi.MSG_PEEK)),
    ("some read", select.POLLIN | select.POLLOUT, lambda p: p.near.recv(1)),
    ("the rest read by a dup", select.POLLOUT, lambda p: look(p.near.dup())),
    ("send buffer full", 0, fill),
    ("full, and data", select.POLLIN, lambda p: p.far.sendall(b"abc")),
    ("full, data read", 0, lambda p: p.near.recv(10)),
    ("drained", select.POLLOUT, lambda p: p.far.recv(p.filled, uapi.MSG_WAITALL)),
    ("less than SO_RCVLOWAT", select.POLLOUT, lambda p: lowat(p, 3, b"ab")),
    ("SO_RCVLOWAT", select.POLLIN | select.POLLOUT, lambda p: p.far.sendall(b"c")),
    ("all read", select.POLLOUT, lambda p: p.near.recv(10)),
    ("completion", select.POLLOUT | select.POLLERR, lambda p: zerocopy(p)),
    ("completion and data", EVENTS & ~select.POLLRDHUP | select.POLLERR, lambda p: p.far.sendall(b"abc")),
    ("completion read", EVENTS & ~select.POLLRDHUP, lambda p: p.near.recvmsg(0, 100, uapi.MSG_ERRQUEUE)),
    ("the peer has finished", EVENTS, lambda p: p.far.shutdown(linux.SHUT_WR)),
    ("read to the end", EVENTS, lambda p: (p.near.recv(10), p.near.recv(10))),
    ("reset", EVENTS | select.POLLERR | select.POLLHUP, lambda p: reset(p.far)),
    ("SO_ERROR", EVENTS | select.POLLHUP, lambda p: p.near.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR)),
]


def lowat(pair: Pair, count: int, data: bytes) -> None:
    pair.near.setsockopt(linux.SOL_SOCKET, linux.SO_RCVLOWAT, count)
    pair.far.sendall(data)


def zerocopy(pair: Pair) -> None:
    pair.near.setsockopt(linux.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
    assert pair.near.send(b"abc", uapi.MSG_ZEROCOPY) == 3
    assert pair.far.recv(3, uapi.MSG_WAITALL) == b"abc"


def test_poll_says_what_linux_says_at_every_step(hosts: tuple[Host, Host]) -> None:
    with both(hosts) as (ours, theirs):
        for name, expected, step in STEPS:
            step(theirs)
            assert settled(theirs.near, expected) == expected, f"Linux, {name}"
            step(ours)
            assert settled(ours.near, expected) == expected, name


def test_poll_of_a_stream_that_both_ends_finish(hosts: tuple[Host, Host]) -> None:
    with both(hosts) as pairs:
        for pair in reversed(pairs):
            pair.near.shutdown(linux.SHUT_WR)
            assert settled(pair.near, select.POLLOUT) == select.POLLOUT
            pair.far.shutdown(linux.SHUT_WR)
            assert settled(pair.near, EVENTS | select.POLLHUP) == EVENTS | select.POLLHUP


def test_poll_of_connecting_and_of_listening_sockets(network: Network, hosts: tuple[Host, Host]) -> None:
    unanswered = f"{network.address('h1').rpartition('.')[0]}.250"
    with both(hosts) as pairs:
        for pair in reversed(pairs):
            assert settled(pair.listener, 0) == 0
            name = pair.far.getsockname()
            client = pair.open()
            client.setblocking(False)
            assert client.connect_ex(name) == errno.EINPROGRESS
            assert settled(client, select.POLLOUT) == select.POLLOUT
            assert client.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR) == 0
            assert settled(pair.listener, select.POLLIN) == select.POLLIN
            with pair.listener.accept()[0]:
                assert settled(pair.listener, 0) == 0
            refused = pair.open()
            refused.setblocking(False)
            with suppress(BlockingIOError, ConnectionRefusedError):
                refused.connect((name[0], 1))
            ended = EVENTS | select.POLLHUP
            assert settled(refused, ended | select.POLLERR) == ended | select.POLLERR
            assert refused.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR) == errno.ECONNREFUSED
            assert settled(refused, ended) == ended
            assert refused.connect_ex(name) == errno.ECONNABORTED
            assert refused.connect_ex(name) == errno.EINPROGRESS
            assert settled(refused, select.POLLOUT) == select.POLLOUT
        waiting = hosts[0].socket()
        with waiting, pytest.raises(BlockingIOError):
            waiting.setblocking(False)
            assert settled(waiting, select.POLLOUT) == select.POLLOUT
            with suppress(BlockingIOError):
                waiting.connect((unanswered, PORT))
            assert settled(waiting, 0) == 0
            waiting.send(b"x")


def test_epoll_selectors_and_asyncio_take_our_sockets(hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts) as pair, select.epoll() as epoll, selectors.DefaultSelector() as selector:
        epoll.register(pair.far.fileno(), select.EPOLLIN | select.EPOLLET)
        selector.register(pair.far, selectors.EVENT_READ)
        assert selector.select(0) == []
        for _ in range(3):
            assert epoll.poll(0) == []
            pair.near.sendall(b"abc")
            assert epoll.poll(PATIENCE_S) == [(pair.far.fileno(), select.EPOLLIN)]
            assert epoll.poll(0) == []
            assert [key.fileobj for key, _ in selector.select(0)] == [pair.far]
            assert pair.far.recv(10) == b"abc"

        async def echo() -> bytes:
            loop = asyncio.get_running_loop()
            pair.listener.setblocking(False)
            client = pair.open()
            client.setblocking(False)
            connected = loop.create_task(loop.sock_connect(client, pair.far.getsockname()))
            server, _ = await loop.sock_accept(pair.listener)
            await connected
            reader, writer = await asyncio.open_connection(sock=client)
            writer.write(CONTENT)
            writer.write_eof()
            got = b""
            with server:
                while data := await loop.sock_recv(server, 1 << 16):
                    got += data
                await loop.sock_sendall(server, got)
            echoed = await reader.read()
            writer.close()
            return echoed

        assert asyncio.run(asyncio.wait_for(echo(), PATIENCE_S)) == CONTENT


def test_edge_triggered_epoll_hears_of_each_arrival(hosts: tuple[Host, Host]) -> None:
    """Though the data before it was not read."""
    with both(hosts) as pairs:
        for pair in pairs:
            with select.epoll() as epoll:
                fd = pair.near.fileno()
                epoll.register(fd, select.EPOLLIN | select.EPOLLET)
                for _ in range(3):
                    pair.far.sendall(b"abc")
                    assert epoll.poll(PATIENCE_S) == [(fd, select.EPOLLIN)]
                    assert epoll.poll(0) == []


def test_polling_leaves_no_descriptor_behind(network: Network, hosts: tuple[Host, Host]) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{network.pids['h1']}/fd"))

    before = descriptors()
    for _ in range(3):
        with hosts[0].socket() as sock, sock.dup() as twin:
            for each in (sock, twin, sock):
                assert settled(each, select.POLLOUT) == select.POLLOUT
    deadline = time.monotonic() + PATIENCE_S
    while descriptors() != before:
        assert time.monotonic() < deadline
        time.sleep(0.02)

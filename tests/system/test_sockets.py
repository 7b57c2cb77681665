"""A client's socket beside Linux's own: the same calls, the same answers, the same readiness."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import select
import selectors
import socket as linux
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from nodes.client.host import Host
from nodes.uapi import socket as uapi
from nodes.uapi.channel import ChannelClosed
from nodes.uapi.syscalls import INLINE_BYTES
from tests.system.network import Network

pytestmark = pytest.mark.system

PORT = 6000
PATIENCE_S = 20
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close resets
EVENTS = select.POLLIN | select.POLLOUT | select.POLLRDHUP
CONTENT = random.Random(7).randbytes(1_000_000)


@dataclass
class Pair:
    """A connection: `near` is what is looked at. Of our stack or of Linux's."""

    listener: Any
    near: Any
    far: Any
    open: Callable[[], Any]  # one more socket of near's stack
    filled: int = 0  # bytes that `fill` has sent


@contextmanager
def our_pair(hosts: tuple[Host, Host], family: int = linux.AF_INET) -> Iterator[Pair]:
    h1, h2 = hosts
    address = h2.address if family == linux.AF_INET else f"::ffff:{h2.address}"
    with ExitStack() as stack:
        listener = stack.enter_context(h2.socket(family))
        listener.settimeout(PATIENCE_S)
        listener.bind(("", PORT))
        listener.listen()
        near = stack.enter_context(h1.socket(family))
        near.settimeout(PATIENCE_S)
        near.connect((address, PORT))
        far = stack.enter_context(listener.accept()[0])
        yield Pair(listener, near, far, lambda: stack.enter_context(h1.socket(family)))


@contextmanager
def linux_pair(family: int = linux.AF_INET) -> Iterator[Pair]:
    with ExitStack() as stack:
        listener = stack.enter_context(linux.socket(family))
        listener.bind(("127.0.0.1" if family == linux.AF_INET else "::ffff:127.0.0.1", 0))
        listener.listen()
        near = stack.enter_context(linux.socket(family))
        near.connect(listener.getsockname())
        far = stack.enter_context(listener.accept()[0])
        yield Pair(listener, near, far, lambda: stack.enter_context(linux.socket(family)))


@contextmanager
def both(hosts: tuple[Host, Host], family: int = linux.AF_INET) -> Iterator[tuple[Pair, Pair]]:
    with our_pair(hosts, family) as ours, linux_pair(family) as theirs:
        for pair in (ours, theirs):
            for sock in (pair.near, pair.far):
                sock.setblocking(True)
        yield ours, theirs


@contextmanager
def sending(sock: Any, data: bytes) -> Iterator[None]:
    thread = threading.Thread(target=sock.sendall, args=(data,))
    thread.start()
    yield
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def all_arrived(host: Host, sock: Any, size: int) -> None:
    with closing(host.memory(size)) as memory:
        assert sock.recv_into(memory.view, 0, uapi.MSG_PEEK | uapi.MSG_WAITALL) == size


def reset(sock: Any) -> None:
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_LINGER, RESET)
    sock.close()


def test_msg_waitall_fills_any_buffer_of_any_length(hosts: tuple[Host, Host]) -> None:
    size = len(CONTENT)
    with our_pair(hosts) as pair:
        for timeout in (None, PATIENCE_S):
            pair.far.settimeout(timeout)
            buffer = bytearray(size)
            with sending(pair.near, CONTENT):
                assert pair.far.recv_into(buffer, 0, uapi.MSG_WAITALL) == size
            assert buffer == CONTENT
            with sending(pair.near, CONTENT[:400_000]):
                assert pair.far.recv(400_000, uapi.MSG_WAITALL) == CONTENT[:400_000]
        with sending(pair.near, CONTENT):
            assert pair.far.recvmsg(size, 0, uapi.MSG_WAITALL) == (CONTENT, [], 0, None)
        parts = bytearray(100), bytearray(size - 300), bytearray(200)
        with sending(pair.near, CONTENT):
            assert pair.far.recvmsg_into(parts, 0, uapi.MSG_WAITALL)[0] == size
        assert b"".join(parts) == CONTENT


def test_a_read_gives_all_that_is_there_and_never_more_than_its_buffers_hold(
    hosts: tuple[Host, Host],
) -> None:
    with our_pair(hosts) as pair:
        for size in (INLINE_BYTES, INLINE_BYTES + 1, 500_000):
            pair.near.sendall(CONTENT[:size])
            all_arrived(hosts[1], pair.far, size)
            assert pair.far.recv(1 << 20) == CONTENT[:size]
        pair.near.sendall(CONTENT[:1000])
        all_arrived(hosts[1], pair.far, 1000)
        buffer = bytearray(100)
        assert pair.far.recvmsg_into([buffer, 5000], 4096, uapi.MSG_SOCK_DEVMEM)[0] == 100
        assert buffer == CONTENT[:100]
        assert pair.far.recv(1000) == CONTENT[100:1000]


def test_what_came_before_a_reset_is_returned_and_the_reset_told_next(hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts) as pair:
        pair.near.sendall(CONTENT[:300_000])
        all_arrived(hosts[1], pair.far, 300_000)
        reset(pair.near)
        assert pair.far.recv(1 << 20, uapi.MSG_WAITALL) == CONTENT[:300_000]
        with pytest.raises(ConnectionResetError):
            pair.far.recv(1)
        assert pair.far.recv(1) == b""


def test_one_zero_copy_send_is_one_completion_however_long(hosts: tuple[Host, Host]) -> None:
    with both(hosts) as pairs:
        numbers = []
        for pair in pairs:
            pair.near.setsockopt(linux.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
            for size in (1_000_000, 10, INLINE_BYTES, INLINE_BYTES + 1):
                taken = bytearray(size)
                reader = threading.Thread(target=pair.far.recv_into, args=(taken, 0, uapi.MSG_WAITALL))
                reader.start()
                assert pair.near.send(CONTENT[:size], uapi.MSG_ZEROCOPY) == size
                reader.join(PATIENCE_S)
                assert taken == CONTENT[:size]
            pair.near.settimeout(0.2)
            short = pair.near.send(bytes(64 << 20), uapi.MSG_ZEROCOPY)
            assert 0 < short < 64 << 20
            reader = threading.Thread(target=pair.far.recv, args=(short, uapi.MSG_WAITALL))
            reader.start()
            numbers.append(completions(pair.near, 5))
            reader.join(PATIENCE_S)
        assert numbers[0] == numbers[1] == [*range(5)]


def completions(sock: Any, count: int) -> list[int]:
    """The numbers of the first `count` zero-copy sends, read when poll says that there is one."""
    poll = select.poll()
    found: list[int] = []
    poll.register(sock.fileno(), 0)
    while len(found) < count:
        assert poll.poll(PATIENCE_S * 1000) == [(sock.fileno(), select.POLLERR)]
        _, control, _, _ = sock.recvmsg(0, 100, uapi.MSG_ERRQUEUE)
        done = uapi.ExtendedErr(*uapi.EXTENDED_ERR.unpack_from(control[0][2]))
        found += range(done.ee_info, done.ee_data + 1)
    return found


def test_a_send_that_fails_on_its_way_returns_the_count_and_the_next_one_fails(
    hosts: tuple[Host, Host],
) -> None:
    with our_pair(hosts) as pair:
        pair.near.settimeout(None)
        counts: list[int] = []
        size = 64 << 20
        sender = threading.Thread(target=lambda: counts.append(pair.near.send(bytes(size))))
        sender.start()
        assert pair.far.recv(1000, uapi.MSG_WAITALL) == bytes(1000)
        reset(pair.far)
        sender.join(PATIENCE_S)
        assert 1000 <= counts[0] < size
        with pytest.raises(ConnectionResetError):
            pair.near.send(b"x")
        with pytest.raises(BrokenPipeError):
            pair.near.send(b"x")


def test_a_timeout_is_of_the_whole_call_and_loses_no_count(hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts) as pair, closing(hosts[0].memory(64 << 20)) as memory:
        for data in (bytes(64 << 20), memory.view):
            near = pair.open()
            near.connect(pair.far.getsockname())
            near.settimeout(0.3)
            started = time.monotonic()
            sent = near.send(data)
            assert time.monotonic() - started >= 0.3
            assert 0 < sent < len(data)
            with pytest.raises(TimeoutError):
                while True:
                    near.sendall(data)


def half_a_second(sock: Any, number: int) -> None:
    """SO_RCVTIMEO or SO_SNDTIMEO, set through a dup."""
    sock.settimeout(None)
    with sock.dup() as twin:
        twin.setsockopt(linux.SOL_SOCKET, number, struct.pack("=qq", 0, 500_000))


def test_so_rcvtimeo_is_of_the_whole_call(hosts: tuple[Host, Host]) -> None:
    """Each part of it comes in time, and all of them together do not."""
    part, parts, over = bytes(INLINE_BYTES), 20, threading.Event()
    with our_pair(hosts) as pair, ExitStack() as stack:
        pair.near.sendall(2 * part)
        all_arrived(hosts[1], pair.far, len(2 * part))
        half_a_second(pair.far, uapi.SO_RCVTIMEO)

        def send_slowly() -> None:
            for _ in range(parts):
                over.wait(0.25)
                pair.near.sendall(part)

        sender = threading.Thread(target=send_slowly)
        sender.start()
        stack.callback(sender.join, PATIENCE_S)
        stack.callback(over.set)
        count = len(pair.far.recv((2 + parts) * len(part), uapi.MSG_WAITALL))
        assert len(2 * part) <= count < (2 + parts) * len(part)


def test_so_sndtimeo_is_of_the_whole_call(hosts: tuple[Host, Host]) -> None:
    data, over = bytes(3 << 20), threading.Event()
    with ExitStack() as stack:
        listener = stack.enter_context(hosts[1].socket())
        listener.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, 32768)
        listener.bind(("", PORT))
        listener.listen()
        near = stack.enter_context(hosts[0].socket())
        near.setsockopt(linux.SOL_SOCKET, linux.SO_SNDBUF, 65536)
        near.connect((hosts[1].address, PORT))
        far = stack.enter_context(listener.accept()[0])
        half_a_second(near, uapi.SO_SNDTIMEO)

        def receive_slowly() -> None:
            while far.recv(65536, uapi.MSG_WAITALL):
                over.wait(0.1)

        receiver = threading.Thread(target=receive_slowly)
        receiver.start()
        stack.callback(receiver.join, PATIENCE_S)
        stack.callback(near.shutdown, linux.SHUT_WR)
        stack.callback(over.set)
        assert 0 < near.send(data) < len(data)


def settled(sock: Any, expected: int) -> int:
    """The socket's poll mask, which is given time to become the expected one."""
    poll = select.poll()
    poll.register(sock.fileno(), EVENTS)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = dict(poll.poll(0)).get(sock.fileno(), 0)
        if found == expected or time.monotonic() > deadline:
            return found
        time.sleep(0.005)


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
            expected = select.POLLIN | select.POLLOUT | select.POLLERR
            if isinstance(refused, linux.socket):  # ours does not hang up: it may connect again
                expected |= select.POLLRDHUP | select.POLLHUP
            assert settled(refused, expected) == expected
            assert refused.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR) == errno.ECONNREFUSED
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


@pytest.mark.parametrize("family", [linux.AF_INET, linux.AF_INET6])
def test_completions_come_in_the_control_message_of_linux(hosts: tuple[Host, Host], family: int) -> None:
    with both(hosts, family) as pairs:
        found = []
        for pair in pairs:
            pair.near.setsockopt(linux.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
            answers = []
            for room in (0, 15, 16, 20, 32, 47, 48, 59, 60, 100):
                assert pair.near.send(b"x" * 1000, uapi.MSG_ZEROCOPY) == 1000
                assert len(pair.far.recv(1000, uapi.MSG_WAITALL)) == 1000
                assert settled(pair.near, select.POLLOUT | select.POLLERR) & select.POLLERR
                answers.append(pair.near.recvmsg(0, room, uapi.MSG_ERRQUEUE))
            with pytest.raises(BlockingIOError):
                pair.near.recvmsg(0, 100, uapi.MSG_ERRQUEUE)
            found.append(answers)
        assert found[0] == found[1]


def test_what_python_says_to_each_call(hosts: tuple[Host, Host]) -> None:
    """What the call returns, or the exception and its errno, for both."""
    with both(hosts) as pairs:
        for pair in pairs:
            pair.near.sendall(b"x" * 100)
            settled(pair.far, select.POLLIN | select.POLLOUT)
        for name, call in CALLS.items():
            mine, linuxs = (outcome(call, pair) for pair in pairs)
            assert mine == linuxs, name


def outcome(call: Callable[[Pair], object], pair: Pair) -> object:
    try:
        return call(pair)
    except (OSError, ValueError, TypeError, OverflowError) as refused:
        plain = next(kind for kind in type(refused).__mro__ if kind.__module__ in ("builtins", "socket"))
        return plain, getattr(refused, "errno", None)


CALLS: dict[str, Callable[[Pair], object]] = {
    "recv MSG_TRUNC": lambda p: len(p.far.recv(10, uapi.MSG_TRUNC)),
    "recvmsg MSG_TRUNC": lambda p: [len(each) for each in p.far.recvmsg(10, 0, uapi.MSG_TRUNC)[:2]],
    "recv_into MSG_TRUNC": lambda p: p.far.recv_into(bytearray(10), 0, uapi.MSG_TRUNC),
    "recvmsg_into MSG_TRUNC": lambda p: p.far.recvmsg_into([bytearray(4), bytearray(6)], 0, uapi.MSG_TRUNC),
    "recv_into bytes": lambda p: p.far.recv_into(b"abc"),
    "recvmsg_into bytes": lambda p: p.far.recvmsg_into([b"abc"]),
    "recv_into too many": lambda p: p.far.recv_into(bytearray(3), 4),
    "recv_into negative": lambda p: p.far.recv_into(bytearray(3), -1),
    "recv_into nothing": lambda p: p.far.recv_into(bytearray()),
    "recv negative": lambda p: p.far.recv(-1),
    "recv nothing": lambda p: p.far.recv(0),
    "recvmsg negative": lambda p: p.far.recvmsg(-1),
    "recvmsg negative control": lambda p: p.far.recvmsg(1, -1),
    "recvfrom": lambda p: p.far.recvfrom(5),
    "recvfrom_into": lambda p: p.far.recvfrom_into(bytearray(5)),
    "the rest": lambda p: p.far.recv(1000),
    "sendto": lambda p: p.near.sendto(b"abc", ("127.0.0.1", 9)),
    "sendto with flags": lambda p: p.near.sendto(b"abc", 0, ("127.0.0.1", 9)),
    "sendmsg with an address": lambda p: p.near.sendmsg([b"a", b"bc"], [], 0, ("127.0.0.1", 9)),
    "what was sent": lambda p: p.far.recv(9, uapi.MSG_WAITALL),
    "sendto unconnected": lambda p: p.open().sendto(b"abc", ("127.0.0.1", 9)),
    "send text": lambda p: p.near.send("abc"),
    "recv unconnected": lambda p: p.open().recv(1),
    "getpeername unconnected": lambda p: p.open().getpeername(),
    "recv when there is nothing": lambda p: p.far.recv(1, uapi.MSG_DONTWAIT),
    "settimeout negative": lambda p: p.far.settimeout(-1),
    "settimeout NaN": lambda p: p.far.settimeout(float("nan")),
    "settimeout infinity": lambda p: p.far.settimeout(float("inf")),
    "settimeout text": lambda p: p.far.settimeout("1"),
    "gettimeout": lambda p: (p.far.gettimeout(), p.far.getblocking()),
    "setblocking": lambda p: (p.far.setblocking(False), p.far.gettimeout(), p.far.getblocking()),
    "recv non-blocking": lambda p: p.far.recv(1),
    "settimeout": lambda p: (p.far.settimeout(0.05), p.far.gettimeout(), p.far.getblocking()),
    "recv timed out": lambda p: p.far.recv(1),
    "accept timed out": lambda p: (p.listener.settimeout(0.05), p.listener.accept()),
    "connect to a name": lambda p: p.open().connect(("no.such.name.invalid", 80)),
    "connect to a bad port": lambda p: p.open().connect(("127.0.0.1", 70000)),
    "connect_ex to a bad port": lambda p: p.open().connect_ex(("127.0.0.1", -1)),
    "bind text": lambda p: p.open().bind("127.0.0.1"),
    "bind one": lambda p: p.open().bind(("127.0.0.1",)),
    "bind four": lambda p: p.open().bind(("127.0.0.1", 0, 0, 0)),
    "connect again": lambda p: p.near.connect(p.far.getsockname()),
    "connect_ex again": lambda p: p.near.connect_ex(p.far.getsockname()),
    "connect_ex refused": lambda p: p.open().connect_ex((p.far.getsockname()[0], 1)),
    "setsockopt text": lambda p: p.near.setsockopt(linux.SOL_SOCKET, linux.SO_KEEPALIVE, "1"),
    "getsockopt of bytes": lambda p: p.near.getsockopt(linux.SOL_SOCKET, linux.SO_KEEPALIVE, 4),
    "kind": lambda p: (p.near.family, p.near.type, p.near.proto),
    "makefile": lambda p: dialogue(p),
    "file of a closed socket": lambda p: outlived(p),
    "closed": lambda p: (p.near.close(), p.near.fileno()),
    "recv of a closed one": lambda p: p.near.recv(1),
    "close again": lambda p: p.near.close(),
}


def dialogue(pair: Pair) -> list[object]:
    pair.far.settimeout(None)
    with pair.near.makefile("w", newline="\n") as out, pair.far.makefile("r", newline="\n") as lines:
        out.write("one\ntwo\n")
        out.flush()
        return [lines.readline(), lines.readline()]


def outlived(pair: Pair) -> list[object]:
    twin = pair.far.dup()
    file = twin.makefile("rb")
    twin.close()
    pair.near.sendall(b"line\n")
    with file:
        return [file.readline(), twin.fileno() >= 0]


def test_values_that_do_not_fit_and_names_are_refused_in_a_sentence(hosts: tuple[Host, Host]) -> None:
    with hosts[0].socket() as sock:
        with pytest.raises(OverflowError, match="2147483648"):
            sock.setsockopt(linux.SOL_SOCKET, linux.SO_SNDBUF, 1 << 31)
        with pytest.raises(OSError, match="buflen out of range"):
            sock.getsockopt(linux.SOL_SOCKET, linux.SO_SNDBUF, 1025)
        with pytest.raises(OSError) as refused:
            sock.bind(("localhost", 0))  # resolved, and not ours: there is no loopback device
        assert refused.value.errno == errno.EADDRNOTAVAIL
        with pytest.raises(linux.gaierror, match=r"'h2' is not an address.*give numbers"):
            sock.connect(("h2", 80))


def test_threads_share_a_socket(hosts: tuple[Host, Host]) -> None:
    """One receives, two send, on either end; nobody waits for the others' calls."""
    size = 2_000_000
    with our_pair(hosts) as pair:
        for sock in (pair.near, pair.far):
            sock.settimeout(PATIENCE_S)
        got: dict[Any, bytes] = {}

        def receive(sock: Any) -> None:
            got[sock] = sock.recv(2 * size, uapi.MSG_WAITALL)

        threads = [threading.Thread(target=receive, args=(sock,)) for sock in (pair.near, pair.far)]
        threads += [
            threading.Thread(target=sock.sendall, args=(letter * size,))
            for sock in (pair.near, pair.far)
            for letter in (b"a", b"b")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        for sock in (pair.near, pair.far):
            assert (got[sock].count(b"a"), got[sock].count(b"b")) == (size, size)


def test_a_call_that_another_thread_is_blocked_in_outlives_close(hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts) as pair:
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(pair.near.recv(10)))
        reader.start()
        deadline = time.monotonic() + PATIENCE_S
        while pair.near._calls._idle:  # until the reader has taken the channel
            assert time.monotonic() < deadline
            time.sleep(0.005)
        pair.near.close()
        pair.far.sendall(b"late")
        reader.join(PATIENCE_S)
        assert got == [b"late"]
        assert pair.far.recv(1) == b""


def test_a_gone_endpoint_is_connection_reset(network: Network, hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts) as pair:
        assert settled(pair.near, select.POLLOUT) == select.POLLOUT
        network.fabric.terminate(network.pids["h1"])
        assert settled(pair.near, EVENTS | select.POLLHUP) & select.POLLHUP
        for call in (lambda: pair.near.recv(1), lambda: pair.near.send(b"x"), pair.near.getsockname):
            with pytest.raises(ChannelClosed) as gone:
                call()
            assert gone.value.errno == errno.ECONNRESET


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

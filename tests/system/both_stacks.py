"""Sockets of the emulated stack beside Linux's own, for tests that make the same calls on both.

In: two hosts of a network. Out: `Pair`, a connection of either stack, and `World`, the two hosts' sockets of
either stack with what their calls answered. Owns the sockets, which the caller's `with` closes.
"""

from __future__ import annotations

import errno
import select
import socket as linux
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from nodes.client.host import Host
from nodes.uapi import socket as uapi
from tests.system.network import Network

PORT = 6000
PATIENCE_S = 20.0
RESET_ON_CLOSE = struct.pack("=ii", 1, 0)  # struct linger
EVENTS = select.POLLIN | select.POLLOUT | select.POLLRDHUP
CONTENT = Random(7).randbytes(1_000_000)
SOL, TCP = linux.SOL_SOCKET, linux.IPPROTO_TCP
CLOSED_PORT = 9
ESTABLISHED, SYN_SENT, FIN_WAIT_2, CLOSE, LISTEN = 1, 2, 5, 7, 10
Sock = Any  # socket.socket, or nodes.client.socket.Socket: the tests show that a caller sees no difference
Answers = list[object]


@dataclass
class Pair:
    """A connection of our stack or of Linux's; `near` is the end under test."""

    listener: Any
    near: Any
    far: Any
    open: Callable[[], Any]  # one more socket of near's stack
    filled: int = 0  # bytes that `fill` has sent


@contextmanager
def our_pair(
    hosts: tuple[Host, Host], family: int = linux.AF_INET, rcvbuf_bytes: int = 0
) -> Iterator[Pair]:
    """`rcvbuf_bytes`: what `far` holds though nobody reads; a window grows only as an application reads."""
    h1, h2 = hosts
    address = h2.address if family == linux.AF_INET else f"::ffff:{h2.address}"
    with ExitStack() as stack:
        listener = stack.enter_context(h2.socket(family))
        listener.settimeout(PATIENCE_S)
        if rcvbuf_bytes:
            listener.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, rcvbuf_bytes)
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
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_LINGER, RESET_ON_CLOSE)
    sock.close()


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


@dataclass
class World:
    """Two hosts' sockets of one stack: `client` makes them on h1, `server` on h2, whose address is `there`.
    No host has the address `nowhere`."""

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


def free_address_near(address: str) -> str:
    """An address of the same /24 that no host of a small star has."""
    return f"{address.rpartition('.')[0]}.251"


def state_of(sock: Sock) -> int:
    return int(sock.getsockopt(TCP, linux.TCP_INFO, 1)[0])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.002)


def until_state(sock: Sock, *states: int) -> None:
    until(lambda: state_of(sock) in states)


def has_data(sock: Sock) -> bool:
    with suppress(BlockingIOError):
        return bool(sock.recv(1, linux.MSG_PEEK | linux.MSG_DONTWAIT))
    return False


def polled(sock: Sock) -> int:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    return sum(events for _, events in poll.poll(0))


def option(sock: Sock, level: int, number: int, value: int | bytes) -> None:
    """Set it, and get nothing: ours returns 0, Python's None."""
    sock.setsockopt(level, number, value)


def accept_queue(listener: Sock) -> tuple[int, ...]:
    """How many wait, and how many may."""
    return struct.unpack_from("=2I", listener.getsockopt(TCP, linux.TCP_INFO, 104), 24)


@contextmanager
def both_worlds(network: Network, hosts: tuple[Host, Host]) -> Iterator[tuple[World, World]]:
    """Linux's and ours."""
    h1, h2 = hosts
    kernel = network.kernel_address("h2")
    with ExitStack() as stack:
        yield (
            World(h1.kernel_socket, h2.kernel_socket, kernel, free_address_near(kernel), stack),
            World(h1.socket, h2.socket, h2.address, free_address_near(h2.address), stack),
        )


def answer_alike(
    network: Network, hosts: tuple[Host, Host], scripts: Sequence[Callable[[World], None]]
) -> None:
    """Every script gets the same answers from both stacks. One network serves many scripts: building it takes
    longer than they do."""
    with both_worlds(network, hosts) as worlds:
        for script in scripts:
            for world in worlds:
                world.answers.clear()
                script(world)
            theirs, ours = (world.answers for world in worlds)
            assert ours == theirs, f"{script.__name__}: ours {ours}, Linux's {theirs}"

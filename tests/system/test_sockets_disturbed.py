"""Calls that something comes between: a signal, another thread, a lack of descriptors. Nothing is lost, and
no call reads another's answer."""

from __future__ import annotations

import errno
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from nodes.client.host import Host
from nodes.client.socket import Socket
from tests.system.network import MIB, PORT, Network, accept, bind_rx, listen

pytestmark = pytest.mark.system

PATIENCE_S = 20.0


class Left(Exception):
    """What a signal handler raises."""


@pytest.fixture
def pair(hosts: tuple[Host, Host]) -> Iterator[tuple[Socket, Socket]]:
    """A client on h1 and its server on h2."""
    h1, h2 = hosts
    with ExitStack() as stack:
        listener = listen(stack, h2)
        client = stack.enter_context(closing(h1.socket()))
        client.settimeout(PATIENCE_S)
        client.connect((h2.address, PORT))
        yield client, accept(stack, listener)


@contextmanager
def interrupted(kind: type[Exception]) -> Iterator[None]:
    """The block blocks, until a signal handler raises `kind`."""

    def leave(*_: object) -> None:
        raise kind("left by a signal handler")

    before = signal.signal(signal.SIGALRM, leave)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(kind, match="left by a signal handler"):
            yield
    finally:
        signal.signal(signal.SIGALRM, before)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process hangs in the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("kind", [Left, TimeoutError])  # the latter is an OSError, as refusals are
def test_a_call_that_a_signal_handler_leaves_does_not_confuse_the_next(
    pair: tuple[Socket, Socket], kind: type[Exception]
) -> None:
    client, server = pair
    with interrupted(kind):
        server.recv(10)
    client.sendall(b"abc")
    assert server.getsockname()[1] == PORT
    assert server.recv(10) == b"abc"
    assert server.getpeername() == client.getsockname()


def test_a_socket_outlives_calls_that_were_left_while_the_endpoint_hung(
    network: Network, pair: tuple[Socket, Socket]
) -> None:
    client, server = pair
    with stopped(network.pids["h2"]):
        for _ in range(2):
            with interrupted(Left):
                server.getsockname()
    client.sendall(b"abc")
    assert server.recv(10) == b"abc"
    assert not server._calls._abandoned


def test_calls_of_a_host_that_a_signal_handler_leaves_keep_what_was_bound(
    network: Network, hosts: tuple[Host, Host]
) -> None:
    """Two are left in a row, the second while the first one's reply is dropped."""
    host = hosts[1]
    with ExitStack() as stack:
        bind_rx(stack, host, size=MIB)
        stack.enter_context(closing(host.memory(4096)))
        before = host.netdev.queue_get()
        descriptors = len(os.listdir("/proc/self/fd"))
        calls: tuple[Callable[[], object], ...] = (host.stats, host.kernel_socket, host.snmp)
        for first in calls:
            with stopped(network.pids["h2"]):
                for call in (first, host.sockets):
                    with interrupted(Left):
                        call()
            assert "TcpInSegs" in host.snmp()
            assert host.sockets() == []
            assert host.stats().cpu_s > 0
            assert len(os.listdir("/proc/self/fd")) == descriptors
        assert any("dmabuf" in queue for queue in before)
        assert host.netdev.queue_get() == before


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Not one can be opened in the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        with suppress(OSError):
            while True:
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


def test_a_lack_of_descriptors_loses_no_connection(hosts: tuple[Host, Host]) -> None:
    h1, h2 = hosts
    with ExitStack() as stack:
        listener = listen(stack, h2)
        client = stack.enter_context(closing(h1.socket()))
        client.settimeout(PATIENCE_S)
        client.connect((h2.address, PORT))
        with no_more_descriptors(), pytest.raises(OSError) as refused:
            listener.accept()
        assert refused.value.errno == errno.EMFILE
        server = accept(stack, listener)
        client.sendall(b"abc")
        assert server.recv(10) == b"abc"


def test_a_blocked_accept_returns_its_connection_though_the_listener_is_closed(
    hosts: tuple[Host, Host],
) -> None:
    """As in Linux: the call holds the listener until it has ended."""
    h1, h2 = hosts
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        listener = listen(stack, h2)
        accepting = pool.submit(listener.accept)
        until(lambda: not listener._calls._idle)  # it has taken the channel
        listener.close()
        client = stack.enter_context(closing(h1.socket()))
        client.settimeout(PATIENCE_S)
        client.connect((h2.address, PORT))
        server = stack.enter_context(accepting.result(PATIENCE_S)[0])
        client.sendall(b"abc")
        assert server.recv(10) == b"abc"
        until(lambda: not any(row.state == "LISTEN" for row in h2.sockets()))


def test_threads_that_ask_for_a_descriptor_get_the_same_one(hosts: tuple[Host, Host]) -> None:
    together = threading.Barrier(2)

    def ask(sock: Socket) -> int:
        together.wait(PATIENCE_S)
        return sock.fileno()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            with closing(hosts[0].socket()) as sock:
                asked = [pool.submit(ask, sock) for _ in range(2)]
                one, other = (each.result(PATIENCE_S) for each in asked)
                assert one == other == sock.fileno()
                os.fstat(one)
            assert sock.fileno() == -1

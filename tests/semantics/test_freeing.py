"""Table D: SO_DEVMEM_DONTNEED, one test a rule."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from nodes.endpoint.platform import LinuxPlatform
from nodes.kernel_version import VERSIONS
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import get_option, set_option
from nodes.syscall.session import Session
from nodes.syscall.sessions import Sessions
from nodes.uapi import socket as uapi
from nodes.uapi.channel import Channel
from nodes.uapi.socket import DMABUF_TOKEN, SO_DEVMEM_DONTNEED, SOL_SOCKET
from nodes.uapi.syscalls import Failed, RecvMsg, SetSockOpt
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import DEVMEM_PORT, DEVMEM_QUEUE, DeviceKind, Impairment, TwoHosts
from tests.semantics.refusal import errno_of

FRAGS = 1500  # of one byte each, so that more than 1,024 can be held
SIZE = DMABUF_TOKEN.size


def holder(hosts: TwoHosts, port: int = DEVMEM_PORT) -> tuple[DevmemSocket, DevmemSocket]:
    """(client, server). The server's application holds the tokens 1 to FRAGS, which belong to a few
    net_iovs."""
    client, server = hosts.connect(port)
    assert hosts.a.send(client, bytes(FRAGS)) == FRAGS
    hosts.run_until(lambda: server.recv_queue.length == FRAGS)
    for _ in range(FRAGS):
        hosts.b.recv_devmem(server, 1)
    assert len(server.user_frags) == FRAGS
    return client, server


@pytest.fixture
def held(hosts: TwoHosts) -> Iterator[DevmemSocket]:
    memory = hosts.b.bind_rx(1 << 20)
    yield holder(hosts)[1]
    memory.close()


def dontneed(sock: DevmemSocket, *ranges: tuple[int, int]) -> int:
    value = b"".join(DMABUF_TOKEN.pack(*each) for each in ranges)
    return set_option(sock, SOL_SOCKET, SO_DEVMEM_DONTNEED, value)


def test_on_a_channel_that_serves_no_tcp_socket_it_is_ebadf(hosts: TwoHosts) -> None:
    """The control channel takes the place of a netlink socket."""
    sessions = Sessions(hosts.b.host, LinuxPlatform())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours):
        session = Session(Channel(theirs), True, sessions)
        channel = Channel(ours)
        channel.send(SetSockOpt(SOL_SOCKET, SO_DEVMEM_DONTNEED, DMABUF_TOKEN.pack(1, 1)))
        session.handle(select.EPOLLIN, hosts.now)
        reply, _ = channel.receive_reply()
        session.close(hosts.now)
    assert isinstance(reply, Failed)
    assert reply.number == errno.EBADF


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_value_shorter_than_four_bytes_is_einval(held: DevmemSocket, length: int) -> None:
    assert errno_of(set_option, held, SOL_SOCKET, SO_DEVMEM_DONTNEED, bytes(length)) == errno.EINVAL


@pytest.mark.parametrize("length", [4, 9, 12, 128 * SIZE + 1, 129 * SIZE])
def test_no_whole_tokens_or_more_than_128_is_einval_and_nothing_is_freed(
    held: DevmemSocket, length: int
) -> None:
    value = (DMABUF_TOKEN.pack(1, 5) * 200)[:length]
    assert errno_of(set_option, held, SOL_SOCKET, SO_DEVMEM_DONTNEED, value) == errno.EINVAL
    assert len(held.user_frags) == FRAGS


def test_unknown_and_returned_tokens_are_skipped_and_not_counted(held: DevmemSocket) -> None:
    assert dontneed(held, (7, 1)) == 1
    assert dontneed(held, (7, 1), (0, 1), (FRAGS + 1, 3), (8, 2)) == 2


def test_unknown_tokens_use_up_the_limit(held: DevmemSocket) -> None:
    assert dontneed(held, (50_000, 1000), (1, 100)) == 24
    assert dontneed(held, (50_000, 1024), (100, 1)) == 0


def test_another_sockets_tokens_are_not_touched(hosts: TwoHosts, held: DevmemSocket) -> None:
    """Each socket numbers its own tokens: in another socket the same number is another fragment."""
    listener = next(s for s in hosts.b.sockets if s.listening)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, DEVMEM_PORT, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    other = listener.accept()
    hosts.b.sockets.append(other)
    hosts.a.send(client, b"y")
    hosts.run_until(lambda: other.recv_queue.length == 1)
    hosts.b.recv_devmem(other, 1)
    assert dontneed(other, (1, 1000)) == 1
    assert len(held.user_frags) == FRAGS


def test_of_more_than_1024_the_first_visited_are_freed_and_counted(held: DevmemSocket) -> None:
    assert dontneed(held, (1, 1000), (1001, 500)) == 1024
    assert dontneed(held, (1025, 1000)) == FRAGS - 1024


@pytest.mark.parametrize("version", VERSIONS)
def test_v17_alone_has_no_such_limit(version: str) -> None:
    two = TwoHosts(kind=DeviceKind(kernel=VERSIONS[version]))
    memory = two.b.bind_rx(1 << 20)
    sock = holder(two)[1]
    assert dontneed(sock, (1, 0xFFFFFFFF)) == (FRAGS if version == "v17" else 1024)
    memory.close()
    assert_nothing_left(two)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_it_returns_how_many_it_freed_whatever_the_batch(held: DevmemSocket, count: int) -> None:
    assert dontneed(held, (3, count)) == count
    assert len(held.user_frags) == FRAGS - count


def test_a_count_of_zero_does_nothing(held: DevmemSocket) -> None:
    assert dontneed(held, (1, 0), (2, 0)) == 0
    assert len(held.user_frags) == FRAGS


def test_there_is_nothing_to_get(held: DevmemSocket) -> None:
    assert errno_of(get_option, held, SOL_SOCKET, SO_DEVMEM_DONTNEED) == errno.ENOPROTOOPT


def test_a_buffer_is_recycled_when_its_last_token_is_back(hosts: TwoHosts, held: DevmemSocket) -> None:
    pool = hosts.b.device.rx_queues[7].pool
    before = pool.stats.recycle_ring
    dontneed(held, (1, FRAGS - 1), (1025, FRAGS))
    assert len(held.user_frags) == FRAGS - 1024
    dontneed(held, (1025, FRAGS))
    assert pool.stats.recycle_ring > before


def test_closing_returns_every_token(hosts: TwoHosts, held: DevmemSocket) -> None:
    held.close(hosts.now)
    assert len(held.user_frags) == 0


def test_the_freed_number_is_given_again_first(hosts: TwoHosts, held: DevmemSocket) -> None:
    dontneed(held, (500, 1), (20, 1))
    client = next(s for s in hosts.a.sockets if s.connection is not None)
    hosts.a.send(client, b"zz")
    hosts.run_until(lambda: held.recv_queue.length == 2)
    tokens = [hosts.b.recv_devmem(held, 1)[1][0].frag_token for _ in range(2)]
    assert tokens == [20, 500]
    assert uapi.MAX_DONTNEED_TOKENS * uapi.DMABUF_TOKEN.size == 1024


def test_dropped_duplicates_fill_the_pools_cache_returned_tokens_its_ring() -> None:
    """page_pool_napi_local: softirq on the CPU that owns the cache may use it, a system call may not."""
    two = TwoHosts(impairment=Impairment(duplicate=1.0))
    memory = two.b.bind_rx(1 << 20)
    pool = two.b.device.rx_queues[DEVMEM_QUEUE].pool
    client, server = two.connect(DEVMEM_PORT)
    two.a.send(client, bytes(5 * 4096))
    two.run_until(lambda: server.recv_queue.length == 5 * 4096 and not two.to_b.frames)
    assert pool.stats.recycle_cached > 0
    assert pool.stats.recycle_ring == 0
    cached, tokens = pool.stats.recycle_cached, 0
    while server.recv_queue.length:
        two.b.recv_devmem(server, 5 * 4096)
        tokens = len(server.user_frags)
    assert dontneed(server, (1, tokens)) == tokens
    assert (pool.stats.recycle_cached, pool.stats.recycle_ring > 0) == (cached, True)
    memory.close()
    assert_nothing_left(two)


@pytest.mark.parametrize(
    ("tokens", "freed"),
    [(DMABUF_TOKEN.pack(1, 10) + DMABUF_TOKEN.pack(20, 5), 15), (DMABUF_TOKEN.pack(1, 10) + bytes(1), 0)],
)
def test_tokens_that_came_with_a_receive_are_back_before_it_may_block(
    hosts: TwoHosts, held: DevmemSocket, tokens: bytes, freed: int
) -> None:
    """Those that SO_DEVMEM_DONTNEED would refuse are no error of the receive, as DontNeed has it."""
    sessions = Sessions(hosts.b.host, LinuxPlatform())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(Channel(ours)) as channel:
        end = Channel(theirs)
        end.setblocking(False)
        session = Session(end, True, sessions)
        sessions.kernel.files.install(session, held)
        channel.send(RecvMsg(100, 1000, uapi.MSG_SOCK_DEVMEM, None, None, tokens=tokens))
        session.handle(select.EPOLLIN, hosts.now)
        assert session.blocked
        assert len(held.user_frags) == FRAGS - freed

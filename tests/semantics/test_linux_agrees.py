"""The same calls to this machine's kernel and to our stack: devmem's options on ordinary sockets.

In: calls on a loopback connection of Linux and on a connection of two hosts of ours. Out: the same results.
Skipped where the kernel has no CONFIG_NET_DEVMEM.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket as linux
from collections.abc import Callable, Iterator

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.errqueue import Event
from nodes.sock.recvmsg import RecvRequest, recvmsg
from nodes.sock.sendmsg import SendRequest, sendmsg, sent
from nodes.sock.sockopt import get_option, set_option
from nodes.uapi import socket as uapi
from nodes.uapi.socket import MSG_SOCK_DEVMEM, MSG_ZEROCOPY, SCM_DEVMEM_DMABUF, SO_DEVMEM_DONTNEED, SOL_SOCKET
from tests.path.two_hosts import TwoHosts

_LIBC = ctypes.CDLL(None, use_errno=True)
NO_SUCH_ID = 0x7FFFFFF0
Pair = tuple[linux.socket, linux.socket]


def linux_setsockopt(sock: linux.socket, value: bytes) -> int:
    """Set SO_DEVMEM_DONTNEED; returns what the system call returns."""
    result = _LIBC.setsockopt(sock.fileno(), SOL_SOCKET, SO_DEVMEM_DONTNEED, value, len(value))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with linux.create_server(("127.0.0.1", 0)) as listener:
        client = linux.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            try:
                linux_setsockopt(client, bytes(8))
            except OSError as refused:
                if refused.errno == errno.ENOPROTOOPT:
                    pytest.skip("this machine's kernel has no CONFIG_NET_DEVMEM")
                raise
            yield client, server


@pytest.fixture
def ours(hosts: TwoHosts) -> tuple[DevmemSocket, DevmemSocket]:
    return hosts.connect(5000)


def outcome(call: Callable[[], object]) -> object:
    """What the call returns, or the errno of its refusal."""
    try:
        return call()
    except OSError as refused:
        return f"errno {refused.errno}"


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 7, 8, 9, 12, 16, 1016, 1024, 1025, 1032, 2048])
def test_dontneed_of_any_length(pair: Pair, ours: tuple[DevmemSocket, DevmemSocket], length: int) -> None:
    value = bytes(length)
    expected = outcome(lambda: linux_setsockopt(pair[0], value))
    assert outcome(lambda: set_option(ours[0], SOL_SOCKET, SO_DEVMEM_DONTNEED, value)) == expected


def test_dontneed_of_more_tokens_than_one_call_visits(
    pair: Pair, ours: tuple[DevmemSocket, DevmemSocket]
) -> None:
    value = uapi.DMABUF_TOKEN.pack(1, 0xFFFFFFFF)
    expected = outcome(lambda: linux_setsockopt(pair[0], value))
    assert outcome(lambda: set_option(ours[0], SOL_SOCKET, SO_DEVMEM_DONTNEED, value)) == expected


@pytest.mark.usefixtures("pair")
def test_dontneed_on_another_socket_than_tcp() -> None:
    """Our side is tested in test_freeing, where a control channel takes the place of this socket."""
    with linux.socket(linux.AF_INET, linux.SOCK_DGRAM) as udp:
        assert outcome(lambda: linux_setsockopt(udp, bytes(8))) == f"errno {errno.EBADF}"


def test_getsockopt_of_dontneed(pair: Pair, ours: tuple[DevmemSocket, DevmemSocket]) -> None:
    expected = outcome(lambda: pair[0].getsockopt(SOL_SOCKET, SO_DEVMEM_DONTNEED))
    assert outcome(lambda: get_option(ours[0], SOL_SOCKET, SO_DEVMEM_DONTNEED)) == expected


@pytest.mark.parametrize("flags", [0, MSG_ZEROCOPY])
@pytest.mark.parametrize("zerocopy", [False, True])
def test_sending_from_an_unknown_dmabuf(
    hosts: TwoHosts, pair: Pair, ours: tuple[DevmemSocket, DevmemSocket], flags: int, zerocopy: bool
) -> None:
    pair[0].setsockopt(SOL_SOCKET, uapi.SO_ZEROCOPY, zerocopy)
    ours[0].options.zerocopy = zerocopy
    control = [(SOL_SOCKET, SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(NO_SUCH_ID))]
    expected = outcome(lambda: pair[0].sendmsg([b"x"], control, flags))
    request = SendRequest(flags, memoryview(b""), NO_SUCH_ID, ((0, 1),))
    binding_of = hosts.a.netdev.tx_binding
    assert outcome(lambda: sendmsg(ours[0], request, 0, binding_of, hosts.now)) == expected


@pytest.mark.parametrize("flags", [0, uapi.MSG_PEEK, uapi.MSG_TRUNC, uapi.MSG_WAITALL, uapi.MSG_DONTWAIT])
def test_msg_sock_devmem_at_ordinary_data(
    hosts: TwoHosts, pair: Pair, ours: tuple[DevmemSocket, DevmemSocket], flags: int
) -> None:
    pair[0].sendall(b"ordinary")
    hosts.a.send(ours[0], b"ordinary")
    hosts.run_until(lambda: ours[1].recv_queue.length == 8)
    theirs = bytearray(8)
    count, control, _, _ = pair[1].recvmsg_into([theirs], 1000, flags | MSG_SOCK_DEVMEM)
    buffer = bytearray(8)
    request = RecvRequest(8, 1000, flags | MSG_SOCK_DEVMEM, memoryview(buffer))
    got = recvmsg(ours[1], request, hosts.now)
    assert (got.count, got.cmsgs, buffer) == (count, b"".join(body for _, _, body in control), theirs)


def test_msg_oob_without_urgent_data(
    hosts: TwoHosts, pair: Pair, ours: tuple[DevmemSocket, DevmemSocket]
) -> None:
    expected = outcome(lambda: pair[1].recv(1, linux.MSG_OOB))
    request = RecvRequest(1, 0, uapi.MSG_OOB, memoryview(bytearray(1)))
    assert outcome(lambda: recvmsg(ours[1], request, hosts.now)) == expected


def test_completions_of_host_memory(
    hosts: TwoHosts, pair: Pair, ours: tuple[DevmemSocket, DevmemSocket]
) -> None:
    """Over loopback Linux copies too, and the completion says that it did."""
    pair[0].setsockopt(SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
    ours[0].options.zerocopy = True
    for _ in range(3):
        pair[0].send(b"x" * 1000, MSG_ZEROCOPY)
        request = SendRequest(MSG_ZEROCOPY, memoryview(b"x" * 1000))
        sent(ours[0], request, sendmsg(ours[0], request, 0, hosts.a.netdev.tx_binding, hosts.now))
    pair[1].recv(3000, linux.MSG_WAITALL)
    hosts.run_until(lambda: ours[0].errqueue.completed == 3)
    _, control, _, _ = pair[0].recvmsg(0, 200, linux.MSG_ERRQUEUE)
    expected = uapi.ExtendedErr(*uapi.EXTENDED_ERR.unpack(control[0][2][: uapi.EXTENDED_ERR.size]))
    assert ours[0].errqueue.read() == Event(expected)

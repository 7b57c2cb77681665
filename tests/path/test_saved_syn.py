"""TCP_SAVE_SYN and TCP_SAVED_SYN; what is expected is what Linux 6.18 gave an application."""

from __future__ import annotations

import errno
import socket
from socket import AF_INET, AF_INET6

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import get_option
from nodes.uapi import socket as uapi
from nodes.wire import ethernet
from tests.path.test_sockets import errno_of
from tests.path.test_tcp_options import give, take
from tests.path.two_hosts import TwoHosts

TCP = socket.IPPROTO_TCP


def accepted(hosts: TwoHosts, save_syn: int, family: int = AF_INET) -> tuple[DevmemSocket, bytes]:
    """A connection whose listener saved SYNs, and the SYN's frame."""
    listener, frames = hosts.b.socket(family), list[bytes]()
    give(listener, TCP, uapi.TCP_SAVE_SYN, save_syn)
    listener.bind(0, 5000)
    listener.listen(4)

    def keep(frame: bytes) -> bool:
        frames.append(frame)
        return False

    hosts.to_b.lose = keep
    client = hosts.a.socket(family)
    client.start_connect(hosts.b.address6 if family == AF_INET6 else hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue), 5)
    hosts.b.sockets.append(listener.accept())
    tcp_at = 54 if family == AF_INET6 else 34
    return hosts.b.sockets[-1], next(frame for frame in frames if frame[tcp_at + 13 :][:1] == b"\2")


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
@pytest.mark.parametrize(("save_syn", "start"), [(1, ethernet.HEADER_BYTES), (2, 0)])
def test_the_headers_of_the_syn_are_read_once(
    hosts: TwoHosts, family: int, save_syn: int, start: int
) -> None:
    child, frame = accepted(hosts, save_syn, family)
    headers = frame[start:]
    assert take(child, TCP, uapi.TCP_SAVE_SYN) == (save_syn,)
    assert errno_of(get_option, child, TCP, uapi.TCP_SAVED_SYN, 4) == errno.EINVAL
    assert errno_of(get_option, child, TCP, uapi.TCP_SAVED_SYN, len(headers) - 1) == errno.EINVAL
    assert get_option(child, TCP, uapi.TCP_SAVED_SYN, len(headers)) == headers
    assert get_option(child, TCP, uapi.TCP_SAVED_SYN, 200) == b""


def test_without_the_option_nothing_is_saved(hosts: TwoHosts) -> None:
    child, _ = accepted(hosts, 0)
    assert get_option(child, TCP, uapi.TCP_SAVED_SYN, 4) == b""


def test_other_values_are_einval_and_what_was_saved_cannot_be_set(hosts: TwoHosts) -> None:
    sock = hosts.a.socket()
    for value in (-1, 3):
        assert errno_of(give, sock, TCP, uapi.TCP_SAVE_SYN, value) == errno.EINVAL
    assert take(sock, TCP, uapi.TCP_SAVE_SYN) == (0,)
    assert errno_of(give, sock, TCP, uapi.TCP_SAVED_SYN, 1) == errno.ENOPROTOOPT

"""Calls and arguments of a client's socket: the values and exceptions of Python's own sockets."""

from __future__ import annotations

import errno
import select
import socket as linux
from collections.abc import Callable

import pytest

from nodes.client.host import Host
from nodes.uapi import socket as uapi
from tests.system.both_stacks import Pair, both, settled

pytestmark = pytest.mark.system


@pytest.mark.usefixtures("machines_network")  # which has a resolver
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


def test_values_that_do_not_fit_and_unknown_names_are_refused_in_a_sentence(hosts: tuple[Host, Host]) -> None:
    with hosts[0].socket() as sock:
        with pytest.raises(OverflowError, match="2147483648"):
            sock.setsockopt(linux.SOL_SOCKET, linux.SO_SNDBUF, 1 << 31)
        with pytest.raises(OSError, match="buflen out of range"):
            sock.getsockopt(linux.SOL_SOCKET, linux.SO_SNDBUF, 1025)
        with pytest.raises(OSError) as refused:
            sock.bind(("localhost", 0))  # resolved, and not ours: there is no loopback device
        assert refused.value.errno == errno.EADDRNOTAVAIL
        with pytest.raises(linux.gaierror, match=r"'h9' is neither an address nor the name of a host"):
            sock.connect(("h9", 80))

"""The system calls of a netlink socket, on this process's own memory and descriptors."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from nodes.supervisor.call import Call, GoOn, InThread, NewFd, Wait
from nodes.supervisor.netlink.netlink_calls import NetlinkCalls
from nodes.supervisor.netlink.netlink_file import NetlinkFile
from tests.supervisor.netlink.wire import request

SOL_NETLINK, EXT_ACK, CAP_ACK, ADD_MEMBERSHIP, LIST_MEMBERSHIPS = 270, 11, 10, 1, 9
ADDRESS = struct.pack("=HHII", socket.AF_NETLINK, 0, 0, 0)
GETFAMILY = request(0x10, 3, bytes.fromhex("0b000200 6e6c6374726c0000"), flags=0)


class Program:
    """Makes calls on one socket; what a call points to is kept until the next."""

    def __init__(self, calls: NetlinkCalls, kind: int = socket.SOCK_RAW) -> None:
        self.calls = calls
        made = calls.socket(self.call("socket", socket.AF_NETLINK, kind, 16))
        assert isinstance(made, NewFd)
        assert isinstance(made.file, NetlinkFile)
        self.file = made.file

    def call(self, name: str, *args: int | bytes | ctypes.Array[Any]) -> Call:
        self.kept = [ctypes.create_string_buffer(each, len(each)) if isinstance(each, bytes) else each
                     for each in args]  # fmt: skip
        numbers = [each if isinstance(each, int) else ctypes.addressof(each) for each in self.kept]
        return Call(1, os.getpid(), name, (*numbers, *[0] * (6 - len(numbers))))

    def shown(self, name: str, *args: int | bytes) -> list[str]:
        call = self.call(name, self.file.fd, *args)
        self.run(self.calls.make(call, self.file))
        return call.shown

    def do(self, name: str, *args: int | bytes | ctypes.Array[Any]) -> Any:
        """The result; a Wait where the call blocks."""
        return self.run(self.calls.make(self.call(name, self.file.fd, *args), self.file))

    def run(self, begun: Any) -> Any:
        """As the supervisor does, without its threads."""
        if isinstance(begun, Generator):
            try:
                while isinstance(wanted := next(begun), InThread):
                    wanted.function()
                return wanted
            except StopIteration as end:
                return end.value
        return begun

    def readable(self) -> bool:
        poll = select.poll()
        poll.register(self.file.fd, select.POLLIN)
        return bool(poll.poll(0))


@pytest.fixture
def program() -> Iterator[Program]:
    each = Program(NetlinkCalls("/no/channel"))
    yield each
    each.file.close()


def refused(program: Program, name: str, *args: int | bytes | ctypes.Array[Any]) -> int | None:
    with pytest.raises(OSError) as e:
        program.do(name, *args)
    return e.value.errno


def test_only_generic_netlink_is_ours() -> None:
    calls, caller = NetlinkCalls("/no/channel"), Program.__new__(Program)
    assert calls.socket(caller.call("socket", socket.AF_NETLINK, socket.SOCK_RAW, 0)) is None
    assert calls.socket(caller.call("socket", socket.AF_INET, socket.SOCK_RAW, 16)) is None
    with pytest.raises(OSError) as e:
        calls.socket(caller.call("socket", socket.AF_NETLINK, socket.SOCK_STREAM, 16))
    assert e.value.errno == errno.ESOCKTNOSUPPORT


def test_flags_of_the_socket() -> None:
    calls, caller = NetlinkCalls("/no/channel"), Program.__new__(Program)
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    made = calls.socket(caller.call("socket", socket.AF_NETLINK, kind, 16))
    assert isinstance(made, NewFd)
    assert made.cloexec
    assert not os.get_blocking(made.file.fd)
    made.file.close()


# --- addresses


def sockname(program: Program) -> tuple[int, ...]:
    into, length = ctypes.create_string_buffer(12), ctypes.create_string_buffer(struct.pack("=i", 12), 4)
    assert program.do("getsockname", into, length) == 0
    assert length.raw == struct.pack("=i", 12)
    return struct.unpack("=HHII", into.raw)


def test_a_process_has_its_id_as_port_id_once(program: Program) -> None:
    assert sockname(program)[2] == 0
    assert program.do("bind", ADDRESS, 12) == 0
    assert sockname(program) == (socket.AF_NETLINK, 0, os.getpid(), 0)
    second = Program(program.calls)
    second.do("connect", ADDRESS, 12)
    assert sockname(second)[2] not in (0, os.getpid())
    taken = struct.pack("=HHII", socket.AF_NETLINK, 0, sockname(second)[2], 0)
    assert refused(Program(program.calls), "bind", taken, 12) == errno.EADDRINUSE
    assert refused(program, "bind", taken, 12) == errno.EINVAL
    second.file.close()
    del second
    assert Program(program.calls).do("bind", taken, 12) == 0


def test_addresses_that_are_refused(program: Program) -> None:
    assert refused(program, "bind", ADDRESS, 11) == errno.EINVAL
    assert refused(program, "bind", struct.pack("=HHII", 2, 0, 0, 0), 12) == errno.EINVAL
    somebody = struct.pack("=HHII", socket.AF_NETLINK, 0, 99, 0)
    assert refused(program, "connect", somebody, 12) == errno.ECONNREFUSED
    assert refused(program, "sendto", GETFAMILY, len(GETFAMILY), 0, somebody, 12) == errno.ECONNREFUSED
    assert refused(program, "listen", 1) == errno.EOPNOTSUPP


def test_groups_of_a_bind(program: Program) -> None:
    groups = struct.pack("=HHII", socket.AF_NETLINK, 0, 0, 1 << 5 | 1 << 3)
    assert program.do("bind", groups, 12) == 0
    assert sockname(program)[3] == 1 << 5 | 1 << 3
    assert refused(program, "bind", struct.pack("=HHII", 16, 0, 0, 1), 12) == errno.EINVAL


# --- options


def option(program: Program, level: int, number: int, room: int = 4) -> int:
    into, length = ctypes.create_string_buffer(8), ctypes.create_string_buffer(struct.pack("=i", room), 4)
    assert program.do("getsockopt", level, number, into, length) == 0
    return int(struct.unpack_from("=i", into.raw)[0])


def test_options(program: Program) -> None:
    for number in (EXT_ACK, CAP_ACK, 12):
        assert option(program, SOL_NETLINK, number) == 0
        assert program.do("setsockopt", SOL_NETLINK, number, struct.pack("=i", 5), 4) == 0
        assert option(program, SOL_NETLINK, number) == 1
    assert (program.file.address.ext_ack, program.file.address.cap_ack) == (True, True)
    assert refused(program, "setsockopt", SOL_NETLINK, 77, bytes(4), 4) == errno.ENOPROTOOPT
    assert refused(program, "setsockopt", SOL_NETLINK, EXT_ACK, bytes(4), 3) == errno.EINVAL
    assert refused(program, "setsockopt", socket.IPPROTO_TCP, 1, bytes(4), 4) == errno.ENOPROTOOPT
    with pytest.raises(GoOn):
        program.do("setsockopt", socket.SOL_SOCKET, socket.SO_RCVBUF, bytes(4), 4)
    with pytest.raises(GoOn):
        program.do("getsockopt", socket.SOL_SOCKET, socket.SO_RCVBUF, bytes(4), bytes(4))
    kinds = (socket.SO_DOMAIN, socket.SO_TYPE, socket.SO_PROTOCOL)
    assert [option(program, socket.SOL_SOCKET, each) for each in kinds] == [16, socket.SOCK_RAW, 16]


def test_memberships_of_groups_that_exist(program: Program) -> None:
    join = ("setsockopt", SOL_NETLINK, ADD_MEMBERSHIP)
    assert program.do(*join, struct.pack("=i", 6), 4) == 0
    assert option(program, SOL_NETLINK, LIST_MEMBERSHIPS) == 1 << 5
    for number in (0, 7, -1):
        assert refused(program, *join, struct.pack("=i", number), 4) == errno.EINVAL
    assert program.do("setsockopt", SOL_NETLINK, 2, struct.pack("=i", 6), 4) == 0
    assert option(program, SOL_NETLINK, LIST_MEMBERSHIPS) == 0


# --- messages


def msghdr(*buffers: ctypes.Array[Any], name: Any = None, room: int = 12) -> tuple[bytes, Any]:
    iov = b"".join(struct.pack("=QQ", ctypes.addressof(each), len(each)) for each in buffers)
    vectors = ctypes.create_string_buffer(iov, len(iov))
    at = ctypes.addressof(name) if name is not None else 0
    return struct.pack("=QI4xQQQQi4x", at, room, ctypes.addressof(vectors), len(buffers), 0, 0, 0), vectors


def test_it_is_readable_exactly_while_a_datagram_waits(program: Program) -> None:
    assert not program.readable()
    for _ in range(2):
        assert program.do("sendto", GETFAMILY, len(GETFAMILY), 0, 0, 0) == len(GETFAMILY)
    into = ctypes.create_string_buffer(4096)
    assert program.readable()
    first = program.do("read", into, 4096)
    assert program.readable()
    assert program.do("read", into, 4096) == first
    assert not program.readable()
    assert struct.unpack_from("=IHHII", into.raw) == (first, 0x10, 0, 9, os.getpid())
    waiting = program.do("read", into, 4096)
    assert isinstance(waiting, Wait)
    assert (waiting.file, waiting.events, waiting.deadline) == (program.file, select.POLLIN, None)
    dontwait = (into, 4096, socket.MSG_DONTWAIT, 0, 0)
    assert refused(program, "recvfrom", *dontwait) == errno.EAGAIN
    os.set_blocking(program.file.fd, False)
    assert refused(program, "read", into, 4096) == errno.EAGAIN


def test_strace_shows_what_is_asked(program: Program) -> None:
    shown = program.shown("write", GETFAMILY, len(GETFAMILY))
    assert shown == [str(program.file.fd), "do nlctrl getfamily", str(len(GETFAMILY))]


def test_a_call_that_waits_gets_what_comes(program: Program) -> None:
    into = ctypes.create_string_buffer(4096)
    call = program.call("read", program.file.fd, into, 4096)
    waiting: Any = program.calls.make(call, program.file)
    assert isinstance(next(waiting), Wait)
    program.file.put([b"abc"])
    with pytest.raises(StopIteration) as end:
        next(waiting)
    assert (end.value.value, into.raw[:3]) == (3, b"abc")


def test_so_rcvtimeo_is_the_deadline(program: Program) -> None:
    with socket.socket(fileno=os.dup(program.file.fd)) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 100, 0))
    assert program.do("read", ctypes.create_string_buffer(9), 9).deadline is not None


def test_recvmsg_scatters_names_the_kernel_and_tells_of_what_is_cut(program: Program) -> None:
    program.file.put([b"0123456789"])
    first, second = ctypes.create_string_buffer(3), ctypes.create_string_buffer(4)
    name = ctypes.create_string_buffer(b"\xee" * 20, 20)
    packed, vectors = msghdr(first, second, name=name, room=20)
    header = ctypes.create_string_buffer(packed, len(packed))
    peek = socket.MSG_PEEK | socket.MSG_TRUNC
    assert program.do("recvmsg", header, peek) == 10
    assert program.readable()
    assert program.do("recvmsg", header, 0) == 7
    assert (first.raw, second.raw) == (b"012", b"3456")
    assert name.raw == ADDRESS + b"\xee" * 8
    assert struct.unpack_from("=I", header.raw, 8) == (12,)
    assert struct.unpack_from("=i", header.raw, 48) == (socket.MSG_TRUNC,)
    assert not program.readable()
    assert vectors is not None


def test_recvfrom_names_the_kernel(program: Program) -> None:
    program.file.put([b"abcdef"])
    into, name = ctypes.create_string_buffer(4), ctypes.create_string_buffer(12)
    length = ctypes.create_string_buffer(struct.pack("=i", 12), 4)
    assert program.do("recvfrom", into, 4, socket.MSG_TRUNC, name, length) == 6
    assert (into.raw, name.raw, length.raw) == (b"abcd", ADDRESS, struct.pack("=i", 12))


def test_sendmsg_and_writev_gather_and_write_sends_as_well(program: Program) -> None:
    halves = [ctypes.create_string_buffer(each, len(each)) for each in (GETFAMILY[:9], GETFAMILY[9:])]
    name = ctypes.create_string_buffer(ADDRESS, 12)
    packed, vectors = msghdr(*halves, name=name)
    assert program.do("sendmsg", packed, 0) == len(GETFAMILY)
    assert program.do("writev", vectors, 2) == len(GETFAMILY)
    assert program.do("write", GETFAMILY, len(GETFAMILY)) == len(GETFAMILY)
    into = ctypes.create_string_buffer(4096)
    assert [program.do("read", into, 4096) > 0 for _ in range(3)] == [True] * 3
    assert not program.readable()
    packed, vectors = msghdr(*halves, name=name, room=8)
    assert refused(program, "sendmsg", packed, 0) == errno.EINVAL
    assert refused(program, "write", GETFAMILY, 1 << 20) == errno.EMSGSIZE


def test_a_host_that_is_gone_refuses_the_request_and_not_the_call(program: Program) -> None:
    dev_get = request(0x14, 1)
    assert program.do("write", dev_get, len(dev_get)) == len(dev_get)
    into = ctypes.create_string_buffer(4096)
    assert program.do("read", into, 4096) > 0
    assert struct.unpack_from("=i", into.raw, 16) == (-errno.ECONNREFUSED,)

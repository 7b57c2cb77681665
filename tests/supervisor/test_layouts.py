"""The structures that calls pass by address, read from and written to this process's own memory."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from types import SimpleNamespace

import pytest

from nodes.supervisor import layouts, tracee
from nodes.supervisor.layouts import Iovec
from nodes.supervisor.seccomp import Vanished

PID = os.getpid()


class Memory:
    """Bytes at an address."""

    def __init__(self, content: bytes) -> None:
        self._buffer = ctypes.create_string_buffer(content, len(content))
        self.at = ctypes.addressof(self._buffer)

    @property
    def content(self) -> bytes:
        return self._buffer.raw


def test_memory_is_read_and_written_and_a_wrong_address_is_efault() -> None:
    memory = Memory(b"0123456789")
    tracee.write(PID, memory.at + 2, b"ab")
    assert tracee.read(PID, memory.at, 10) == b"01ab456789"
    for act in (lambda: tracee.read(PID, 8, 4), lambda: tracee.write(PID, 8, b"x")):
        with pytest.raises(OSError, match=r"[14] bytes at 0x8") as refusal:
            act()
        assert refusal.value.errno == errno.EFAULT


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_memory_is_reached_by_its_file_where_process_vm_readv_is_missing(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    libc = SimpleNamespace(process_vm_readv=refuse, process_vm_writev=lambda *_: refuse())
    monkeypatch.setattr(tracee, "_libc", libc)
    test_memory_is_read_and_written_and_a_wrong_address_is_efault()


def test_what_is_read_of_a_thread_whose_call_is_over_is_not_used() -> None:
    """Another thread may have its id by then."""
    memory, waits = Memory(b"0123456789"), [True, False]
    caller = tracee.Caller(PID, lambda: waits.pop(0))
    assert layouts.read_iovecs(caller, 0, 0) == ()
    assert tracee.read(caller, memory.at, 10) == b"0123456789"
    with pytest.raises(Vanished):
        tracee.read(caller, memory.at, 10)


def test_a_string_is_read_to_its_end_across_pages() -> None:
    memory = Memory(b"x" * 3000 + b"\0")
    assert tracee.read_string(PID, memory.at) == "x" * 3000
    long = Memory(b"x" * 10000)
    with pytest.raises(OSError, match="too long"):
        tracee.read_string(PID, long.at)


@pytest.mark.parametrize(
    ("family", "packed", "address"),
    [
        (
            socket.AF_INET,
            struct.pack("=H", 2) + b"\x14\x51" + b"\x0a\x00\x01\x02" + bytes(8),
            ("10.0.1.2", 5201),
        ),
        (
            socket.AF_INET6,
            struct.pack("=H", 10) + b"\x14\x51" + bytes(4) + b"\xfd" + bytes(14) + b"\x02" + bytes(4),
            ("fd00::2", 5201),
        ),
    ],
)
def test_addresses_are_those_of_the_kernels_structures(
    family: int, packed: bytes, address: tuple[str, int]
) -> None:
    assert layouts.pack_address(address, family) == packed
    memory = Memory(packed)
    assert layouts.read_address(PID, memory.at, len(packed), family) == address


@pytest.mark.parametrize(
    ("data", "family", "number"),
    [
        (struct.pack("=H", 10) + bytes(26), socket.AF_INET, errno.EAFNOSUPPORT),
        (struct.pack("=H", 2) + bytes(13), socket.AF_INET, errno.EINVAL),
        (struct.pack("=H", 10) + bytes(21), socket.AF_INET6, errno.EINVAL),
        (b"\2", socket.AF_INET, errno.EINVAL),
    ],
)
def test_a_wrong_address_is_refused(data: bytes, family: int, number: int) -> None:
    memory = Memory(data)
    with pytest.raises(OSError, match=r"address|sockaddr") as refusal:
        layouts.read_address(PID, memory.at, len(data), family)
    assert refusal.value.errno == number


def test_an_address_is_written_as_far_as_there_is_room_with_its_whole_length() -> None:
    place, length = Memory(bytes(16)), Memory(struct.pack("=i", 4))
    layouts.write_address(PID, place.at, length.at, b"abcdefgh")
    assert place.content == b"abcd" + bytes(12)
    assert length.content == struct.pack("=i", 8)


def test_a_message_header_its_buffers_and_its_control_messages_are_read() -> None:
    first, second = Memory(b"hello "), Memory(b"world")
    control = struct.pack("=QiiI4x", 20, 1, 79, 7) + struct.pack("=QiiQ", 24, 1, 37, 9)
    body = Memory(control)
    iov = Memory(struct.pack("=QQQQ", first.at, 6, second.at, 5))
    header = Memory(struct.pack("=QI4xQQQQi4x", 0, 0, iov.at, 2, body.at, len(control), 0))
    message = layouts.read_msghdr(PID, header.at)
    assert layouts.gather(PID, message.iov) == b"hello world"
    assert layouts.read_cmsgs(PID, message) == [(1, 79, struct.pack("=I", 7)), (1, 37, struct.pack("=Q", 9))]
    layouts.scatter(PID, message.iov, memoryview(b"HELLOWO"))
    assert first.content + second.content == b"HELLOWOorld"


@pytest.mark.parametrize("length", [8, 100])
def test_a_control_message_that_is_too_short_or_too_long_is_einval(length: int) -> None:
    body = Memory(struct.pack("=QiiI4x", length, 1, 79, 7))
    message = layouts.MsgHdr(0, 0, 0, (), body.at, len(body.content))
    with pytest.raises(OSError, match=f"control message of {length} bytes"):
        layouts.read_cmsgs(PID, message)


def test_recvmsg_leaves_control_messages_lengths_and_flags() -> None:
    control = Memory(bytes(64))
    header = Memory(bytes(56))
    message = layouts.MsgHdr(header.at, 0, 0, (), control.at, 64)
    layouts.write_message(PID, message, [(1, 79, b"x" * 24)], 0x2000)
    assert control.content[:40] == struct.pack("=Qii", 40, 1, 79) + b"x" * 24
    assert struct.unpack("=QI4xQQQQi4x", header.content) == (0, 0, 0, 0, 0, 40, 0x2000)


def test_more_buffers_than_uio_maxiov_are_refused() -> None:
    with pytest.raises(OSError, match="1025 buffers, 1024 at most"):
        layouts.read_iovecs(PID, 0, 1025)
    memory = Memory(struct.pack("=QQ", 3, 4))
    assert layouts.read_iovecs(PID, memory.at, 1) == (Iovec(3, 4),)


def test_bind_takes_af_unspec_for_the_any_address_of_ipv4_alone() -> None:
    unspecified = b"\0\0\x14\x51" + bytes(12)
    memory = Memory(unspecified)
    assert layouts.read_bind_address(PID, memory.at, 16, socket.AF_INET) == ("0.0.0.0", 5201)
    named = Memory(b"\0\0\x14\x51" + b"\x0a\0\1\2" + bytes(8))
    for at, length, family in (
        (named.at, 16, socket.AF_INET),
        (memory.at, 8, socket.AF_INET),
        (memory.at, 16, socket.AF_INET6),
    ):
        with pytest.raises(OSError, match="AF_UNSPEC") as refusal:
            layouts.read_bind_address(PID, at, length, family)
        assert refusal.value.errno == errno.EAFNOSUPPORT

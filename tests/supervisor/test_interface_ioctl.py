"""What a program hears of interfaces: Linux's, and on the host's NICs the host's addresses."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

import pytest

from nodes.supervisor.call import Call
from nodes.supervisor.interface_ioctl import InterfaceIoctl
from nodes.uapi.nic_records import NicInfo

CONF, ADDRESS, BROADCAST, NETMASK, FLAGS = 0x8912, 0x8915, 0x8919, 0x891B, 0x8913
NICS = [NicInfo("nic0", 2, 1500, "10.9.1.2", 16), NicInfo("six0", 3, 1500, "", 0, "fd00::2", 64)]
IOCTLS = InterfaceIoctl(NICS)


def ioctl(request: int, structure: bytes, fd: int = -1) -> tuple[Call, ctypes.Array[ctypes.c_char]]:
    memory = ctypes.create_string_buffer(structure, len(structure))
    return Call(1, os.getpid(), "ioctl", (fd, request, ctypes.addressof(memory), 0, 0, 0)), memory


def asked(request: int, name: bytes) -> str:
    call, memory = ioctl(request, struct.pack("=16s24x", name))
    assert IOCTLS.ioctl(call) == 0
    assert memory.raw[:20] == struct.pack("=16sHH", name, socket.AF_INET, 0)
    return socket.inet_ntoa(memory.raw[20:24])


def test_a_nic_has_the_hosts_address_mask_and_broadcast_address() -> None:
    assert asked(ADDRESS, b"nic0") == asked(ADDRESS, b"nic0:1") == "10.9.1.2"
    assert (asked(NETMASK, b"nic0"), asked(BROADCAST, b"nic0")) == ("255.255.0.0", "10.9.255.255")


def test_another_interface_is_linuxs() -> None:
    with pytest.raises(OSError, match="No such device") as e:
        asked(ADDRESS, b"nosuch0")
    assert e.value.errno == errno.ENODEV


def names(room: int, with_buffer: bool = True) -> tuple[list[bytes], int]:
    """Those listed, and the length that the kernel says."""
    buffer = ctypes.create_string_buffer(room)
    call, memory = ioctl(CONF, struct.pack("=i4xQ", room, ctypes.addressof(buffer) if with_buffer else 0))
    assert IOCTLS.ioctl(call) == 0
    (length,) = struct.unpack_from("=i", memory.raw)
    return [buffer.raw[at : at + 16].rstrip(b"\0") for at in range(0, min(length, room), 40)], length


def test_the_list_ends_with_the_hosts_nics_as_far_as_there_is_room() -> None:
    listed, length = names(4096)
    assert (listed[-1], length) == (b"nic0", 40 * len(listed))
    assert names(40 * len(listed) - 1)[0] == listed[:-1]
    assert names(0, with_buffer=False)[1] == length
    call, _ = ioctl(CONF, struct.pack("=i4xQ", -1, 8))
    with pytest.raises(OSError, match="-1 bytes"):
        IOCTLS.ioctl(call)


def test_only_these_requests_of_sockets_are_answered() -> None:
    with socket.socket() as sock, open(os.devnull) as file:
        assert IOCTLS.is_asked(ioctl(ADDRESS, bytes(40), sock.fileno())[0])
        assert not IOCTLS.is_asked(ioctl(FLAGS, bytes(40), sock.fileno())[0])
        assert not IOCTLS.is_asked(ioctl(ADDRESS, bytes(40), file.fileno())[0])

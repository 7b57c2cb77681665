"""Memfds become dma-bufs as udmabuf_create() has it; the program is this process."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator

import pytest

from nodes.machine import dmabuf
from nodes.supervisor import udmabuf
from nodes.supervisor.call import Call, GoOn, NewFd

CREATE, CREATE_LIST, SYNC = 0x40187542, 0x40087543, 0x40086200
PAGE = 4096


@pytest.fixture
def device() -> Iterator[udmabuf.Udmabuf]:
    made = udmabuf.Udmabuf()
    yield made
    made.close()


def memfd(content: bytes, seals: int = fcntl.F_SEAL_SHRINK) -> int:
    fd = os.memfd_create("the-programs", os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def call(name: str, *args: int) -> Call:
    return Call(1, os.getpid(), name, (*args, *[0] * (6 - len(args))))


def create(device: udmabuf.Udmabuf, request: int, packed: bytes) -> NewFd:
    argument = ctypes.create_string_buffer(packed, len(packed))
    made = device.create(call("ioctl", 9, request, ctypes.addressof(argument)))
    assert isinstance(made, NewFd)
    assert not made.tracked
    return made


def bound(made: NewFd) -> bytes:
    """What the endpoint sees of it."""
    memory = dmabuf.attach(os.dup(made.file.fd))
    try:
        return bytes(memory.view)
    finally:
        memory.close()
        made.file.close()


def test_a_dma_buf_holds_what_its_memfd_held(device: udmabuf.Udmabuf) -> None:
    fd = memfd(b"a" * PAGE + b"b" * PAGE + b"c" * PAGE)
    made = create(device, CREATE, struct.pack("=IIQQ", fd, 1, PAGE, 2 * PAGE))
    assert made.cloexec
    assert bound(made) == b"b" * PAGE + b"c" * PAGE
    os.close(fd)


def test_a_list_of_memfds_becomes_one_dma_buf(device: udmabuf.Udmabuf) -> None:
    first, second = memfd(b"a" * PAGE), memfd(b"b" * 2 * PAGE)
    items = struct.pack("=I4xQQ", first, 0, PAGE) + struct.pack("=I4xQQ", second, PAGE, PAGE)
    made = create(device, CREATE_LIST, struct.pack("=II", 0, 2) + items)
    assert not made.cloexec
    assert bound(made) == b"a" * PAGE + b"b" * PAGE
    for fd in (first, second):
        os.close(fd)


@pytest.mark.parametrize(
    ("seals", "offset", "size", "number"),
    [
        (fcntl.F_SEAL_SHRINK, 1, PAGE, errno.EINVAL),
        (fcntl.F_SEAL_SHRINK, 0, PAGE + 1, errno.EINVAL),
        (fcntl.F_SEAL_SHRINK, 0, 0, errno.EINVAL),
        (fcntl.F_SEAL_SHRINK, 0, 65 << 20, errno.EINVAL),  # size_limit_mb is 64
        (fcntl.F_SEAL_SHRINK, PAGE, PAGE, errno.EINVAL),  # beyond its end
        (fcntl.F_SEAL_GROW, 0, PAGE, errno.EINVAL),
        (fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE, 0, PAGE, errno.EINVAL),
    ],
)
def test_memfds_that_udmabuf_refuses(
    device: udmabuf.Udmabuf, seals: int, offset: int, size: int, number: int
) -> None:
    fd = memfd(b"a" * PAGE, seals)
    with pytest.raises(OSError, match=r"pages|memfd") as refusal:
        create(device, CREATE, struct.pack("=IIQQ", fd, 0, offset, size))
    assert refusal.value.errno == number
    os.close(fd)


def test_no_memfd_is_ebadfd_and_a_closed_one_ebadf(device: udmabuf.Udmabuf) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, number in ((null, errno.EBADFD), (999, errno.EBADF)):
        with pytest.raises(OSError, match=r".") as refusal:
            create(device, CREATE, struct.pack("=IIQQ", fd, 0, 0, PAGE))
        assert refusal.value.errno == number
    os.close(null)


def test_the_program_may_raise_size_limit_mb(device: udmabuf.Udmabuf) -> None:
    path = ctypes.create_string_buffer(udmabuf.LIMIT.encode())
    made = device.open(call("openat", 0, ctypes.addressof(path), os.O_RDWR), 1, 2)
    assert isinstance(made, NewFd)
    assert os.read(made.file.fd, 10) == b"64\n"
    os.pwrite(made.file.fd, b"65\n", 0)
    made.file.close()
    fd = memfd(b"a")
    os.ftruncate(fd, 65 << 20)
    assert len(bound(create(device, CREATE, struct.pack("=IIQQ", fd, 0, 0, 65 << 20)))) == 65 << 20
    os.close(fd)


def test_other_paths_and_other_ioctls_are_the_kernels(device: udmabuf.Udmabuf) -> None:
    path = ctypes.create_string_buffer(b"/etc/hostname")
    with pytest.raises(GoOn):
        device.open(call("openat", 0, ctypes.addressof(path), 0), 1, 2)
    with pytest.raises(GoOn):
        udmabuf.ioctl(call("ioctl", 0, SYNC, 0), None)
    with pytest.raises(OSError, match="udmabuf has no ioctl 0x5401") as refusal:
        device.create(call("ioctl", 9, 0x5401))
    assert refusal.value.errno == errno.ENOTTY


def test_a_dma_buf_is_synchronised_with_known_flags_alone() -> None:
    memory = dmabuf.export(PAGE)
    for flags, wrong in ((2, False), (8, True)):
        argument = ctypes.create_string_buffer(struct.pack("=Q", flags), 8)
        made = call("ioctl", memory.fd, SYNC, ctypes.addressof(argument))
        if wrong:
            with pytest.raises(OSError, match="flags 0x8"):
                udmabuf.ioctl(made, None)
        else:
            assert udmabuf.ioctl(made, None) == 0
    memory.close()

"""/dev/udmabuf: a program makes a dma-buf of its memfds.

In: openat of the device and of its module parameter, ioctls of the device and of a dma-buf. Out: descriptors
of dma-bufs that the endpoint binds. Owns the device's descriptor.
The dma-buf is new memory with what the memfds held when it was made, in their order: the program maps the
dma-buf itself, as the kernel's selftests do. What it writes to a memfd afterwards is not seen in it.
Source: drivers/dma-buf/udmabuf.c, include/uapi/linux/{udmabuf,dma-buf}.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from nodes.machine import dmabuf
from nodes.supervisor import tracee
from nodes.supervisor.call import Call, GoOn, NewFd, Result

DEVICE, LIMIT = "/dev/udmabuf", "/sys/module/udmabuf/parameters/size_limit_mb"
_CREATE, _CREATE_LIST = 0x40187542, 0x40087543
_DMA_BUF_SYNC, _SYNC_FLAGS = 0x40086200, 7  # SYNC_READ, SYNC_WRITE, SYNC_END
_CREATE_ARGS = struct.Struct("=IIQQ")  # memfd, flags, offset, size
_LIST_HEAD, _LIST_ITEM = struct.Struct("=II"), struct.Struct("=I4xQQ")
_SYNC = struct.Struct("=Q")
_CLOEXEC, _PAGE = 1, 4096
_LIMIT_MB, _LIST_MAX = 64, 1024  # size_limit_mb and list_limit's defaults
_SEALS_DENIED = fcntl.F_SEAL_WRITE | 0x0010  # F_SEAL_FUTURE_WRITE


class Part(NamedTuple):
    """`size` bytes of the program's memfd, from `offset` on."""

    memfd: int
    offset: int
    size: int


class Device:
    """What the program has opened: a descriptor for ioctls alone."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @property
    def fd(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


class _Memory:
    """A new dma-buf, or the module parameter: memory that is the program's once it has the descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        os.close(self.fd)


class Udmabuf:
    """`limit_mb`: size_limit_mb; the program may write another into its file."""

    def __init__(self) -> None:
        self._limit = os.memfd_create("size_limit_mb", os.MFD_CLOEXEC)
        os.write(self._limit, f"{_LIMIT_MB}\n".encode())

    def open(self, call: Call, path_at: int, flags_at: int) -> Result:
        """openat and open. GoOn for every other path."""
        path = tracee.read_string(call.pid, call.args[path_at])
        cloexec = bool(call.int_arg(flags_at) & os.O_CLOEXEC)
        if path == DEVICE:
            call.shown = [f'"{path}"']
            return NewFd(Device(), cloexec)
        if path == LIMIT:
            own = os.open(
                f"/proc/self/fd/{self._limit}", os.O_RDWR | os.O_CLOEXEC
            )  # with a position of its own
            return NewFd(_Memory(own), cloexec, tracked=False)
        raise GoOn

    def create(self, call: Call) -> Result:
        """UDMABUF_CREATE and UDMABUF_CREATE_LIST. EINVAL, EBADFD, ENOTTY."""
        request = call.args[1] & 0xFFFFFFFF
        if request == _CREATE:
            memfd, flags, offset, size = _CREATE_ARGS.unpack(call.read(2, _CREATE_ARGS.size))
            parts = [Part(memfd, offset, size)]
        elif request == _CREATE_LIST:
            flags, count = _LIST_HEAD.unpack(call.read(2, _LIST_HEAD.size))
            if count > _LIST_MAX:
                raise OSError(errno.EINVAL, f"{count} parts, {_LIST_MAX} at most")
            items = call.read(2, _LIST_HEAD.size + count * _LIST_ITEM.size)[_LIST_HEAD.size :]
            parts = [Part(*each) for each in _LIST_ITEM.iter_unpack(items)]
        else:
            raise OSError(errno.ENOTTY, f"udmabuf has no ioctl {request:#x}")
        return NewFd(_Memory(self._create(call.pid, parts)), bool(flags & _CLOEXEC), tracked=False)

    def _create(self, pid: int, parts: Sequence[Part]) -> int:
        total = sum(part.size for part in parts)
        limit = int(os.pread(self._limit, 16, 0) or b"0") << 20
        if any(part.offset % _PAGE or part.size % _PAGE for part in parts) or not 0 < total <= limit:
            raise OSError(errno.EINVAL, f"{total} bytes: whole pages, at most {limit} bytes")
        memory = dmabuf.export(total)
        try:
            at = 0
            for part in parts:
                _copy(pid, part, memory.view[at : at + part.size])
                at += part.size
            return os.dup(memory.fd)
        finally:
            memory.close()

    def close(self) -> None:
        os.close(self._limit)


def _copy(pid: int, part: Part, into: memoryview) -> None:
    """Check the memfd as udmabuf_create() does, and copy it."""
    memfd = tracee.descriptor(pid, part.memfd)
    try:
        try:
            seals = fcntl.fcntl(memfd, fcntl.F_GET_SEALS)
        except OSError:
            raise OSError(errno.EBADFD, "it is no memfd") from None
        if not seals & fcntl.F_SEAL_SHRINK or seals & _SEALS_DENIED:
            raise OSError(errno.EINVAL, f"a memfd with seals {seals:#x}: seal it against shrinking alone")
        if part.offset + part.size > os.fstat(memfd).st_size:
            raise OSError(errno.EINVAL, "beyond the end of the memfd")
        os.preadv(memfd, [into], part.offset)
    finally:
        os.close(memfd)


def ioctl(call: Call, device: Udmabuf | None) -> Result:
    """On a descriptor that is no socket: of the device, or DMA_BUF_IOCTL_SYNC of a dma-buf, whose memory is
    coherent here. GoOn for another file."""
    if device is not None:
        return device.create(call)
    if call.args[1] & 0xFFFFFFFF == _DMA_BUF_SYNC and _is_dmabuf(call):
        (flags,) = _SYNC.unpack(call.read(2, _SYNC.size))
        if flags & ~_SYNC_FLAGS:
            raise OSError(errno.EINVAL, f"DMA_BUF_IOCTL_SYNC with flags {flags:#x}")
        return 0
    raise GoOn


def _is_dmabuf(call: Call) -> bool:
    with suppress(OSError):
        return os.readlink(f"/proc/{call.pid}/fd/{call.fd}").startswith(f"/memfd:{dmabuf.DMABUF_NAME}")
    return False

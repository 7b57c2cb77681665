"""Memory of the emulated machine: a named stretch of host DRAM or of an accelerator's memory.

A Region is a memfd (so that another process can map it) or anonymous host memory. Only `nic.dma`,
`machine.accelerator` and `machine.cpu` may look at `view`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os

from nodes.machine.ledger import Place

_POPULATED = mmap.MAP_SHARED | mmap.MAP_POPULATE
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_SEALS_DENIED = fcntl.F_SEAL_WRITE | 0x0010  # F_SEAL_FUTURE_WRITE
_BLOCK_BYTES = 512  # what st_blocks counts


class Region:
    """`size` bytes at `place`. `fd` is -1 for memory that nobody else can map."""

    __slots__ = ("_mapping", "fd", "place", "size", "view")

    def __init__(self, fd: int, size: int, place: Place) -> None:
        self.fd = fd
        self.size = size
        self.place = place
        # Populated at once, as memory that hardware reaches is pinned: no page fault in the middle of a DMA.
        self._mapping = mmap.mmap(fd, size, flags=_POPULATED if fd >= 0 else _POPULATED | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self._mapping)

    @classmethod
    def anonymous(cls, size: int) -> Region:
        """Host memory of this process alone: where page pools get their pages."""
        return cls(-1, size, Place.HOST)

    @classmethod
    def shareable(cls, name: str, size: int, place: Place) -> Region:
        """A memfd of `size` bytes, sealed so that whoever maps it never meets SIGBUS."""
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            return cls(fd, size, place)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def mapped(cls, fd: int, name: str, place: Place) -> Region:
        """Map what another process made as `name`; takes the descriptor over, and closes it when it fails.
        What is refused could harm later: shrink under the mapping, or want memory there. A hole that the
        owner punches later is filled again at the importer's cost, where udmabuf pins the pages.

        Raises OSError: EBADF for a descriptor that is not open; EINVAL for another file, and for a memfd that
        may shrink, is sealed against writing, has 0 bytes, as udmabuf_create() does, or huge pages; ENOMEM
        for one with holes; what mmap refuses, EACCES for a descriptor that may only be read.
        """
        try:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH:
                raise OSError(errno.EBADF, "opened with O_PATH")
        except OSError as e:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise OSError(errno.EBADF, "the descriptor is not open") from e
        try:
            return cls(fd, _checked_bytes(fd, name), place)
        except OSError as e:
            os.close(fd)
            number, why = e.errno or errno.EIO, e.strerror
            raise OSError(number, f"it cannot be mapped as {name!r}: {why}") from e

    def close(self) -> None:
        """Give the descriptor back; the mapping goes when the last view of it does."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        with contextlib.suppress(BufferError):  # a view still lives: the collector frees the mapping with it
            self.view.release()
            self._mapping.close()


def _checked_bytes(fd: int, name: str) -> int:
    """The size of a memfd of that name. Raises OSError for another file, or one that a device cannot use."""
    if os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)") != f"/memfd:{name}":
        raise OSError(errno.EINVAL, "it is no memfd of that name")
    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    if not seals & fcntl.F_SEAL_SHRINK:
        raise OSError(errno.EINVAL, "it may shrink, seal it with F_SEAL_SHRINK")
    if seals & _SEALS_DENIED:
        raise OSError(errno.EINVAL, "it is sealed against writing")
    if os.fstatvfs(fd).f_bsize != mmap.PAGESIZE:  # a hole punched there may find no page again: SIGBUS
        raise OSError(errno.EINVAL, "it has huge pages")
    status = os.fstat(fd)
    if status.st_size == 0:
        raise OSError(errno.EINVAL, "it has 0 bytes, size it first")
    if status.st_blocks * _BLOCK_BYTES < status.st_size:
        raise OSError(errno.ENOMEM, f"not all of its {status.st_size} bytes are allocated, populate it first")
    return status.st_size

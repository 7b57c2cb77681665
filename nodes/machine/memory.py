"""Memory of the emulated machine: a region of host DRAM or of an accelerator's memory.

In: sizes, descriptors. Out: Regions. Each owns its mapping and its descriptor. A Region is a memfd, which
other processes can map, or anonymous host memory. Only `nic.dma`, `machine.accelerator` and `machine.cpu` may
access `view`. Counted memory has addresses and a size and no content: it is mapped and never populated, and
these three leave its bytes alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os

from nodes.machine.routes import Place

_POPULATED = mmap.MAP_SHARED | mmap.MAP_POPULATE
_UNPOPULATED = mmap.MAP_SHARED | 0x4000  # MAP_NORESERVE
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_SEALS_DENIED = fcntl.F_SEAL_WRITE | 0x0010  # F_SEAL_FUTURE_WRITE
_BLOCK_BYTES = 512  # the unit of st_blocks


class Region:
    """`size` bytes at `place`. `fd`: of the memfd; -1 for memory that no other process can map. `counted`: it
    has no content."""

    __slots__ = ("_mapping", "counted", "fd", "place", "size", "view")

    def __init__(self, fd: int, size: int, place: Place, counted: bool = False) -> None:
        self.fd = fd
        self.size = size
        self.place = place
        self.counted = counted
        # Populated at once, as memory for DMA is pinned: no page fault in the middle of a DMA.
        flags = _UNPOPULATED if counted else _POPULATED
        self._mapping = mmap.mmap(fd, size, flags=flags if fd >= 0 else flags | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self._mapping)

    @classmethod
    def anonymous(cls, size: int, counted: bool = False) -> Region:
        """Host memory of this process alone, for page pools and NICs."""
        return cls(-1, size, Place.HOST, counted)

    @classmethod
    def shareable(cls, name: str, size: int, place: Place, counted: bool = False) -> Region:
        """A memfd of `size` bytes. It is sealed: a process that maps it never gets SIGBUS."""
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            return cls(fd, size, place, counted)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def mapped(cls, fd: int, name: str, place: Place, counted: bool = False) -> Region:
        """Map a memfd that another process made with the name `name`. Takes the descriptor over; closes it
        on failure. Files that could cause harm later are refused: those that can shrink under the mapping,
        and those whose pages are not allocated yet, but for counted memory. If the owner punches a hole
        later, new pages fill it, charged to the importer; udmabuf pins the pages instead.

        Raises OSError: EBADF for a descriptor that is not open; EINVAL for another file, and for a memfd that
        may shrink, is sealed against writing, has 0 bytes (as udmabuf_create() does), or has huge pages;
        ENOMEM for a memfd with holes; EACCES for a descriptor without write access, and other errors of mmap.
        """
        try:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH:
                raise OSError(errno.EBADF, "opened with O_PATH")
        except OSError as e:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise OSError(errno.EBADF, "the descriptor is not open") from e
        try:
            return cls(fd, _checked_bytes(fd, name, counted), place, counted)
        except OSError as e:
            os.close(fd)
            number, why = e.errno or errno.EIO, e.strerror
            raise OSError(number, f"it cannot be mapped as {name!r}: {why}") from e

    @property
    def allocated_bytes(self) -> int:
        """Of a memfd: for how much of it there are pages."""
        return os.fstat(self.fd).st_blocks * _BLOCK_BYTES

    def close(self) -> None:
        """Close the descriptor. The mapping ends with the last view of it. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        with contextlib.suppress(BufferError):  # a view is still in use; freeing it frees the mapping
            self.view.release()
            self._mapping.close()


def _checked_bytes(fd: int, name: str, counted: bool) -> int:
    """The size of a memfd of that name. Raises OSError for other files and memory unfit for a device."""
    if os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)") != f"/memfd:{name}":
        raise OSError(errno.EINVAL, "it is no memfd of that name")
    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    if not seals & fcntl.F_SEAL_SHRINK:
        raise OSError(errno.EINVAL, "it may shrink, seal it with F_SEAL_SHRINK")
    if seals & _SEALS_DENIED:
        raise OSError(errno.EINVAL, "it is sealed against writing")
    if os.fstatvfs(fd).f_bsize != mmap.PAGESIZE:  # after a hole is punched there may be no page left: SIGBUS
        raise OSError(errno.EINVAL, "it has huge pages")
    status = os.fstat(fd)
    if status.st_size == 0:
        raise OSError(errno.EINVAL, "it has 0 bytes, size it first")
    if not counted and status.st_blocks * _BLOCK_BYTES < status.st_size:
        raise OSError(errno.ENOMEM, f"not all of its {status.st_size} bytes are allocated, populate it first")
    return status.st_size

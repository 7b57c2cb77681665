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
    def mapped(cls, fd: int, place: Place) -> Region:
        """Map what another process made; takes the descriptor over, and closes it when it fails.

        Raises OSError, EINVAL for a file of 0 bytes.
        """
        try:
            size = os.fstat(fd).st_size
            if size == 0:
                raise OSError(errno.EINVAL, f"file descriptor {fd} has 0 bytes to map: size it first")
            return cls(fd, size, place)
        except OSError:
            os.close(fd)
            raise

    def close(self) -> None:
        """Give the descriptor back; the mapping goes when the last view of it does."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        with contextlib.suppress(BufferError):  # a view still lives: the collector frees the mapping with it
            self.view.release()
            self._mapping.close()


def memfd_name(fd: int) -> str:
    """The name a memfd was made with, '' for any other file. Raises OSError for a closed descriptor."""
    target = os.readlink(f"/proc/self/fd/{fd}")
    if not target.startswith("/memfd:"):
        return ""
    return target.removeprefix("/memfd:").removesuffix(" (deleted)")


def sealed(fd: int) -> bool:
    """Whether the memory behind `fd` can no longer shrink under a mapping of it."""
    return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)

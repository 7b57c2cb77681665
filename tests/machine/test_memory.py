"""Shared memory cannot be pulled from under its users; a dma-buf is known from other files."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.machine import dmabuf
from nodes.machine.ledger import Place
from nodes.machine.memory import Region, memfd_name, sealed

SIZE = 8192


def test_exporter_and_importer_see_the_same_bytes() -> None:
    exported = dmabuf.export(SIZE)
    imported = dmabuf.attach(os.dup(exported.fd))
    assert (imported.size, imported.place) == (SIZE, Place.DEVICE)
    exported.view[100:105] = b"bytes"
    assert bytes(imported.view[100:105]) == b"bytes"
    exported.close()
    assert bytes(imported.view[100:105]) == b"bytes"  # the importer's mapping lives on
    imported.close()


@pytest.mark.parametrize("size", [0, SIZE - 4096, SIZE + 4096])
def test_a_dma_buf_keeps_its_size(size: int) -> None:
    region = dmabuf.export(SIZE)
    with pytest.raises(PermissionError):
        os.ftruncate(region.fd, size)
    region.close()


def test_the_seals_cannot_be_changed() -> None:
    region = dmabuf.export(SIZE)
    with pytest.raises(PermissionError):
        fcntl.fcntl(region.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    region.close()


def test_a_closed_descriptor_is_ebadf() -> None:
    region = dmabuf.export(SIZE)
    fd = os.dup(region.fd)
    os.close(fd)
    region.close()
    with pytest.raises(OSError, match=f"{fd} is not open") as caught:
        dmabuf.attach(fd)
    assert caught.value.errno == errno.EBADF


def plain_file() -> int:
    with tempfile.TemporaryFile() as file:
        file.truncate(SIZE)
        return os.dup(file.fileno())


def pipe() -> int:
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def memfd(name: str, seals: int, size: int = SIZE) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


NOT_DMA_BUFS: dict[str, Callable[[], int]] = {
    "a plain file": plain_file,
    "a pipe": pipe,
    "a directory": lambda: os.open("/", os.O_RDONLY),
    "an unsealed memfd": lambda: memfd(dmabuf.DMABUF_NAME, 0),
    "a memfd that can shrink": lambda: memfd(dmabuf.DMABUF_NAME, fcntl.F_SEAL_GROW),
    "a memfd of another name": lambda: memfd("memory", fcntl.F_SEAL_SHRINK),
    "an empty memfd": lambda: memfd(dmabuf.DMABUF_NAME, fcntl.F_SEAL_SHRINK, 0),
}


@pytest.mark.parametrize("what", NOT_DMA_BUFS)
def test_what_is_no_dma_buf_is_einval_and_closed(what: str) -> None:
    fd = NOT_DMA_BUFS[what]()
    with pytest.raises(OSError, match=f"file descriptor {fd} ") as caught:
        dmabuf.attach(fd)
    assert caught.value.errno == errno.EINVAL
    assert not Path(f"/proc/self/fd/{fd}").exists()


def test_a_descriptor_that_may_only_be_read_is_refused_and_closed() -> None:
    region = dmabuf.export(SIZE)
    fd = os.open(f"/proc/self/fd/{region.fd}", os.O_RDONLY)
    with pytest.raises(PermissionError):
        dmabuf.attach(fd)
    assert not Path(f"/proc/self/fd/{fd}").exists()
    region.close()


def test_a_region_that_cannot_be_made_leaves_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises((ValueError, OSError)):
        Region.shareable("memory", 0, Place.HOST)
    assert len(os.listdir("/proc/self/fd")) == before


def test_anonymous_memory_has_no_descriptor() -> None:
    region = Region.anonymous(SIZE)
    assert (region.fd, region.place, len(region.view)) == (-1, Place.HOST, SIZE)
    assert not any(region.view)
    region.close()


def test_a_view_that_still_lives_survives_close_and_close_may_come_again() -> None:
    region = dmabuf.export(SIZE)
    view = region.view[10:20]
    region.close()
    region.close()
    view[:] = b"0123456789"
    assert region.fd == -1
    assert bytes(view) == b"0123456789"


def test_a_memfd_is_known_by_its_name_and_its_seals() -> None:
    region = Region.shareable("user memory", SIZE, Place.HOST)
    assert memfd_name(region.fd) == "user memory"
    assert sealed(region.fd)
    region.close()
    fd = plain_file()
    assert memfd_name(fd) == ""
    os.close(fd)

"""Shared memory cannot shrink while it is mapped; a dma-buf is distinguished from other files."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.machine import dmabuf
from nodes.machine.memory import Region
from nodes.machine.routes import Place
from tests.descriptors import open_descriptors

SIZE = 8192


def test_exporter_and_importer_see_the_same_bytes() -> None:
    exported = dmabuf.export(SIZE)
    imported = dmabuf.attach(os.dup(exported.fd))
    assert (imported.size, imported.place) == (SIZE, Place.DEVICE)
    exported.view[100:105] = b"bytes"
    assert bytes(imported.view[100:105]) == b"bytes"
    exported.close()
    assert bytes(imported.view[100:105]) == b"bytes"  # the importer's mapping stays
    imported.close()


@pytest.mark.parametrize(
    ("beside", "nic", "place"),
    [
        ("", "", Place.DEVICE), ("", "h1-eth0", Place.DEVICE), ("h1-eth0", "h1-eth0", Place.DEVICE),
        ("h1-eth0", "h1-eth1", Place.FAR), ("h1-eth0", "", Place.FAR),
    ],
)  # fmt: skip
def test_an_importer_learns_whether_the_memory_is_behind_its_own_pcie_switch(
    beside: str, nic: str, place: Place
) -> None:
    exported = dmabuf.export(SIZE, beside)
    exported.view[7] = 5
    imported = dmabuf.attach(os.dup(exported.fd), nic)
    assert (imported.place, imported.view[7]) == (place, 5)
    peer = dmabuf.attach_peer(os.dup(exported.fd))
    assert (peer.place, peer.view[7]) == (Place.PEER, 5)
    for each in (exported, imported, peer):
        each.close()


@pytest.mark.parametrize("name", ["dmabuf:", "dmabufs", "user-memory", "other:h1-eth0"])
def test_a_memfd_of_another_name_is_no_dma_buf_for_anyone(name: str) -> None:
    for attach in (dmabuf.attach, dmabuf.attach_peer):
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with pytest.raises(OSError, match="no memfd of that name") as caught:
            attach(fd)
        assert caught.value.errno == errno.EINVAL


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
    with pytest.raises(OSError, match="the descriptor is not open") as caught:
        dmabuf.attach(fd)
    assert caught.value.errno == errno.EBADF


def memfd(name: str, seals: int, size: int = SIZE) -> int:
    """A memfd without allocated pages: nothing is written to it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


REFUSED: dict[str, tuple[int, Callable[[], int]]] = {
    "no memfd of that name": (errno.EINVAL, lambda: os.open("/dev/zero", os.O_RDWR)),
    "it is no memfd": (errno.EINVAL, lambda: memfd("memory", fcntl.F_SEAL_SHRINK)),
    "it may shrink": (errno.EINVAL, lambda: memfd(dmabuf.DMABUF_NAME, fcntl.F_SEAL_GROW)),
    "sealed against writing": (
        errno.EINVAL,
        lambda: memfd(dmabuf.DMABUF_NAME, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE),
    ),
    "0 bytes": (errno.EINVAL, lambda: memfd(dmabuf.DMABUF_NAME, fcntl.F_SEAL_SHRINK, 0)),
    "not all of its 8192 bytes are allocated": (
        errno.ENOMEM,
        lambda: memfd(dmabuf.DMABUF_NAME, fcntl.F_SEAL_SHRINK),
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_file_that_is_no_dma_buf_is_refused_with_a_reason_and_closed(why: str) -> None:
    number, make = REFUSED[why]
    fd = make()
    with pytest.raises(OSError, match=f"it cannot be mapped as 'dmabuf': .*{why}") as caught:
        dmabuf.attach(fd)
    assert caught.value.errno == number
    assert not Path(f"/proc/self/fd/{fd}").exists()


def test_huge_pages_are_refused() -> None:
    """The owner can punch a hole for which no huge page is left."""
    try:
        fd = os.memfd_create(dmabuf.DMABUF_NAME, os.MFD_ALLOW_SEALING | os.MFD_HUGETLB)
    except OSError as e:
        pytest.skip(f"this kernel has no memfd of huge pages: {e.strerror}")
    os.ftruncate(fd, 1 << 30)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    with pytest.raises(OSError, match="it has huge pages") as caught:
        dmabuf.attach(fd)
    assert caught.value.errno == errno.EINVAL


def test_a_descriptor_that_may_only_be_read_is_refused_and_closed() -> None:
    region = dmabuf.export(SIZE)
    fd = os.open(f"/proc/self/fd/{region.fd}", os.O_RDONLY)
    with pytest.raises(PermissionError, match="it cannot be mapped as"):
        dmabuf.attach(fd)
    assert not Path(f"/proc/self/fd/{fd}").exists()
    region.close()


def test_a_hole_punched_later_is_filled_again() -> None:
    """The next access allocates new pages, and does not cause SIGBUS."""
    region = dmabuf.export(SIZE)
    imported = dmabuf.attach(os.dup(region.fd))
    region.view[:5] = b"bytes"
    libc = ctypes.CDLL(None, use_errno=True)
    keep_size_punch_hole = 3
    assert libc.fallocate(region.fd, keep_size_punch_hole, ctypes.c_long(0), ctypes.c_long(SIZE)) == 0
    assert not any(imported.view)
    imported.view[:] = b"x" * SIZE
    imported.close()
    region.close()


def test_a_region_that_cannot_be_made_leaves_no_descriptor() -> None:
    before = len(open_descriptors())
    with pytest.raises((ValueError, OSError)):
        Region.shareable("memory", 0, Place.HOST)
    assert len(open_descriptors()) == before


def test_anonymous_memory_has_no_descriptor() -> None:
    region = Region.anonymous(SIZE)
    assert (region.fd, region.place, len(region.view)) == (-1, Place.HOST, SIZE)
    assert not any(region.view)
    region.close()


def test_a_view_stays_valid_after_close_and_close_is_idempotent() -> None:
    region = dmabuf.export(SIZE)
    view = region.view[10:20]
    region.close()
    region.close()
    view[:] = b"0123456789"
    assert region.fd == -1
    assert bytes(view) == b"0123456789"

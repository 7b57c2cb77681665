"""A dma-buf: accelerator memory that its owner exports as a descriptor and the driver of a NIC imports.

In: a size to export, a descriptor to import. Out: a Region of device memory. Owns nothing. The exporter, the
accelerator of an application, makes a sealed memfd named DMABUF_NAME, or "dmabuf:" and the name of the NIC on
whose PCIe switch the accelerator sits. The importer recognizes a dma-buf by that name, as dma_buf_get() does
by its file operations (drivers/dma-buf/dma-buf.c), learns from it how far the memory is, as
pci_p2pdma_distance_many() does from the exporter's device (drivers/pci/p2pdma.c), and requires the seals that
udmabuf requires (drivers/dma-buf/udmabuf.c).
"""

from __future__ import annotations

import os
from contextlib import suppress

from nodes.machine.memory import Region
from nodes.machine.routes import Place

DMABUF_NAME = "dmabuf"


def export(size: int, nic: str = "", counted: bool = False) -> Region:
    """Accelerator memory of `size` bytes (> 0); its `fd` can be passed to another process. `nic`: the
    interface on whose PCIe switch the accelerator sits; "" for that of any NIC. `counted`: it has no
    content."""
    return Region.shareable(f"{DMABUF_NAME}:{nic}" if nic else DMABUF_NAME, size, Place.DEVICE, counted)


def attach(fd: int, nic: str = "", counted: bool = False) -> Region:
    """Import the dma-buf behind `fd` for the NIC `nic`: at Place.FAR if it is behind the PCIe switch of
    another one. `counted`: it has no content. Takes the descriptor over; closes it on failure.

    Raises OSError: EBADF for a descriptor that is not open, EINVAL for a file that is not a dma-buf, and the
    further errors of Region.mapped.
    """
    name, beside = _exported_by(fd)
    return Region.mapped(fd, name, Place.DEVICE if beside in ("", nic) else Place.FAR, counted)


def attach_peer(fd: int, counted: bool = False) -> Region:
    """Map the memory of another accelerator of this host, which its owner exported; errors as of `attach`."""
    return Region.mapped(fd, _exported_by(fd)[0], Place.PEER, counted)


def _exported_by(fd: int) -> tuple[str, str]:
    """The name that a dma-buf was made with, and the NIC in it; DMABUF_NAME for what is no dma-buf."""
    with suppress(OSError):
        name = os.readlink(f"/proc/self/fd/{fd}").removeprefix("/memfd:").removesuffix(" (deleted)")
        kind, _, nic = name.partition(":")
        if kind == DMABUF_NAME and nic:
            return name, nic
    return DMABUF_NAME, ""

"""A dma-buf: accelerator memory that its owner exports as a descriptor and the driver of a NIC imports.

In: a size to export, a descriptor to import. Out: a Region of device memory. Owns nothing. The exporter, the
accelerator of an application, makes a sealed memfd named DMABUF_NAME. The importer recognizes a dma-buf by
that name, as dma_buf_get() does by its file operations (drivers/dma-buf/dma-buf.c), and requires the seals
that udmabuf requires (drivers/dma-buf/udmabuf.c).
"""

from __future__ import annotations

from nodes.machine.ledger import Place
from nodes.machine.memory import Region

DMABUF_NAME = "dmabuf"


def export(size: int) -> Region:
    """Accelerator memory of `size` bytes (> 0); its `fd` can be passed to another process."""
    return Region.shareable(DMABUF_NAME, size, Place.DEVICE)


def attach(fd: int) -> Region:
    """Import the dma-buf behind `fd`. Takes the descriptor over; closes it on failure.

    Raises OSError: EBADF for a descriptor that is not open, EINVAL for a file that is not a dma-buf, and the
    further errors of Region.mapped.
    """
    return Region.mapped(fd, DMABUF_NAME, Place.DEVICE)

"""A dma-buf: accelerator memory that its owner exports by descriptor and a NIC's driver imports.

The exporter (the application's accelerator) makes a sealed memfd named DMABUF_NAME; the importer knows
a dma-buf by that name, as dma_buf_get() knows one by its file operations (drivers/dma-buf/dma-buf.c), and
wants the seals that udmabuf wants (drivers/dma-buf/udmabuf.c).
"""

from __future__ import annotations

from nodes.machine.ledger import Place
from nodes.machine.memory import Region

DMABUF_NAME = "dmabuf"


def export(size: int) -> Region:
    """Accelerator memory of `size` bytes (> 0), ready to be passed by its `fd`."""
    return Region.shareable(DMABUF_NAME, size, Place.DEVICE)


def attach(fd: int) -> Region:
    """Import what `fd` names; takes the descriptor over, and closes it when it fails.

    Raises OSError: EBADF for a descriptor that is not open, EINVAL for one that is not a dma-buf, and what
    its memory refuses (Region.mapped).
    """
    return Region.mapped(fd, DMABUF_NAME, Place.DEVICE)

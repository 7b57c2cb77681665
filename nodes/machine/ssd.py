"""An SSD whose controller has memory that it exports as a dma-buf, and media behind it.

In and out: as an accelerator's, whose place it takes. Owns the same. The memory is a Controller Memory Buffer
(NVM Express Base Specification, "Controller Memory Buffer"), which p2pdma lets NICs reach
(drivers/nvme/host/pci.c, drivers/pci/p2pdma.c). Data lie on the media: what is sent is fetched into the
buffer before a NIC takes it, and what a NIC has brought is stored from there. Between host memory and media
the controller's DMA does without the buffer.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.machine import routes
from nodes.machine.accelerator import ANY_SLOT, Accelerator, Access, ByteRange, Slot, Turn
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.machine.pace import Pace


class Ssd(Accelerator):
    """Its regions stand for buffer and media in one. What puts data on the media before a run, and compares
    them after it, moves nothing that is counted."""

    def __init__(
        self,
        ledger: Ledger,
        turn: Turn,
        slot: Slot = ANY_SLOT,
        pace: Pace | None = None,
        counted: bool = False,
        access: Access = lambda _: None,
    ) -> None:
        super().__init__(Ledger(), turn, slot, pace, counted, access)  # moves the same bytes by other routes
        self._moved = ledger

    def fetch(self, size: int) -> None:
        self._moved.record(routes.SSD_MEDIA_TO_DEVICE, size)

    def unpack(self, memory: Region, offset: int, source: Region, frags: Iterable[ByteRange]) -> int:
        """Store fragments of the buffer, in order, in consecutive bytes of the media."""
        size = super().unpack(memory, offset, source, frags)
        self._moved.record(routes.SSD_DEVICE_TO_MEDIA, size)
        return size

    def copy_to_host(self, source: Region, offset: int, destination: memoryview) -> None:
        self._moved.record(routes.SSD_MEDIA_TO_HOST, len(destination))
        super().copy_to_host(source, offset, destination)

    def copy_to_device(self, source: memoryview, destination: Region, offset: int) -> None:
        self._moved.record(routes.SSD_HOST_TO_MEDIA, len(source))
        super().copy_to_device(source, destination, offset)

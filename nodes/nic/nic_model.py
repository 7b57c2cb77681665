"""What kinds of NIC there are: how each parts headers from payload, and what it does when it cannot.

In: a name from the command line. Out: one frozen record that net_device consults. Sources:
Documentation/networking/devmem.rst (what a NIC must do), gve_rx_dqo() of
drivers/net/ethernet/google/gve/gve_rx_dqo.c, and for a fixed split the jumbo placement of
drivers/net/ethernet/broadcom/bnxt.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NicModel:
    """`header_buffer_bytes`: longer headers are not split. `drops_unsplit`: a packet that was not split is
    dropped on a queue of device memory; else host memory takes it whole. `exact`: the split is where headers
    end; else after header_buffer_bytes, so that payload follows the headers into host memory.
    `resets_whole`: it cannot restart one queue, as the drivers of RFC v3 could not: binding and unbinding
    reset the device, and every queue loses what was on its way."""

    name: str
    header_buffer_bytes: int
    drops_unsplit: bool = False
    exact: bool = True
    resets_whole: bool = False


GENERIC = NicModel("generic", header_buffer_bytes=256)
MODELS = {
    model.name: model
    for model in (
        GENERIC,
        NicModel("gve", header_buffer_bytes=128, drops_unsplit=True),
        NicModel("fixed-split", header_buffer_bytes=128, exact=False),
        NicModel("device-reset", header_buffer_bytes=256, resets_whole=True),
    )
}

"""What kinds of NIC and driver there are: how each parts headers from payload, and what its driver lacks.

In: a name and a length from the command line. Out: one frozen record that net_device and control consult.
Sources: Documentation/networking/{devmem,netmem}.rst (what a NIC and its driver must do), gve_rx_dqo() of
drivers/net/ethernet/google/gve/gve_rx_dqo.c, and for a fixed split the jumbo placement of
drivers/net/ethernet/broadcom/bnxt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nodes.netmem.page_pool import CAPABLE, PoolParams
from nodes.nic.af_packet import PEEK_BYTES, VNET_BYTES
from nodes.uapi.socket import PAGE_SIZE

HEADERS_MIN = 54  # Ethernet, IPv4 and TCP without options
HEADERS_MAX = PEEK_BYTES - VNET_BYTES  # what the parser sees
RX_QUEUES_MAX = 64
_DATA_HEADERS = 66  # of a segment with payload: Ethernet, IPv4, TCP with timestamps


class NicModelError(ValueError):
    """There is no such NIC; str() is one sentence."""


@dataclass(frozen=True, slots=True)
class NicModel:
    """`header_buffer_bytes`: longer headers are not split. `drops_unsplit`: a packet that was not split is
    dropped on a queue of device memory; else host memory takes it whole. `exact`: the split is where headers
    end; else after header_buffer_bytes, so that payload follows the headers into host memory.
    `resets_whole`: it cannot restart one queue, as the drivers of RFC v3 could not: binding and unbinding
    reset the device, and every queue loses what was on its way. `combined`: each rx queue has a tx queue
    beside it, and the two are one channel; else all share a tx channel of its own. `queue_management`: the
    driver has netdev_queue_mgmt_ops, without which nothing is restarted; `dma_devices`: among which the rx
    queues take turns, as those of a multi-PF device do; 0: none that a dma-buf can be attached to;
    `netmem_tx`: it sends net_iovs; `rx_page_size_max`: of bind-rx, a page where the driver lacks
    QCFG_RX_PAGE_SIZE; `pools`: how it makes the page pools of its rx queues."""

    name: str
    header_buffer_bytes: int = 256
    drops_unsplit: bool = False
    exact: bool = True
    resets_whole: bool = False
    combined: bool = False
    queue_management: bool = True
    dma_devices: int = 1
    netmem_tx: bool = True
    rx_page_size_max: int = 64 << 10
    pools: PoolParams = CAPABLE

    def obstacle(self, tx: bool) -> str:
        """What keeps payload over IPv4 from going to device memory, and with `tx` from coming from there; ''
        if nothing does."""
        splits_at, headers = self.header_buffer_bytes, _DATA_HEADERS
        obstacles = (
            (not self.queue_management, "its driver cannot restart a queue"),
            (not self.dma_devices, "no dma-buf can be attached to it"),
            (self.pools != CAPABLE, "its driver's page pools take no net_iovs"),
            (tx and not self.netmem_tx, "its driver does not send net_iovs"),
            (splits_at < headers, f"it does not split headers of {headers} bytes"),
            (not self.exact and splits_at > headers, f"it leaves {splits_at - headers} bytes to host memory"),
        )
        return next((what for stands, what in obstacles if stands), "")


GENERIC = NicModel("generic")
MODELS = {
    model.name: model
    for model in (
        GENERIC,
        NicModel("gve", header_buffer_bytes=128, drops_unsplit=True, rx_page_size_max=PAGE_SIZE),
        NicModel("fixed-split", header_buffer_bytes=128, exact=False),
        NicModel("device-reset", resets_whole=True),
        NicModel("combined", combined=True),
        NicModel("no-queue-management", queue_management=False),
        NicModel("multi-pf", dma_devices=2),
        NicModel("no-dma", dma_devices=0),
        NicModel("no-netmem-tx", netmem_tx=False),
        NicModel("no-unreadable-pools", pools=PoolParams(unreadable=False)),
        NicModel("no-synced-pools", pools=PoolParams(dma_sync=False)),
        NicModel("no-order-0-pools", rx_page_size_max=PAGE_SIZE, pools=PoolParams(order=2)),
    )
}


def nic_model(name: str, header_buffer_bytes: int | None) -> NicModel:
    """The model `name`, with a header buffer of its own unless one is given. Raises NicModelError."""
    if name not in MODELS:
        raise NicModelError(f"there is no nic {name!r}; choose from {', '.join(MODELS)}")
    if header_buffer_bytes is None:
        return MODELS[name]
    if not HEADERS_MIN <= header_buffer_bytes <= HEADERS_MAX:
        raise NicModelError(
            f"--header-buffer {header_buffer_bytes}: choose {HEADERS_MIN} to {HEADERS_MAX} bytes"
        )
    return replace(MODELS[name], header_buffer_bytes=header_buffer_bytes)

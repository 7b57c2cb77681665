"""The models of NIC and driver: how each splits headers from payload, and what its driver lacks.

In: a name and a length from the command line. Out: one frozen record that `nic` and `control` consult. Owns
the table of models.
Sources: Documentation/networking/{devmem,netmem}.rst (what a NIC and its driver must do); gve_rx_dqo() of
drivers/net/ethernet/google/gve/gve_rx_dqo.c; for the fixed split, the jumbo placement of
drivers/net/ethernet/broadcom/bnxt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nodes.netmem.page_pool import CAPABLE, PoolParams
from nodes.nic.wire_port import PEEK_BYTES
from nodes.uapi.socket import PAGE_SIZE

HEADERS_MIN = 54  # Ethernet, IPv4 and TCP without options
HEADERS_MAX = PEEK_BYTES  # the parser sees no more
RX_QUEUES_MAX = 64
_DATA_HEADERS = 66  # Ethernet, IPv4 and TCP with timestamps: the headers of a segment with payload


class NicModelError(ValueError):
    """There is no such model; str() is one sentence."""


@dataclass(frozen=True, slots=True)
class NicModel:
    """One model.

    How it splits. `header_buffer_bytes`: longer headers are not split. `exact`: the split is where the
    headers end; else always after `header_buffer_bytes`, so that the first payload bytes go to host memory
    with the headers. `drops_unsplit`: a packet that was not split is dropped on a queue of device memory;
    else it goes to host memory whole.

    What its driver does. `queue_management`: it has netdev_queue_mgmt_ops; without them no queue can be
    restarted. `resets_whole`: it cannot restart a single queue, as the drivers of RFC v3 could not; bind and
    unbind reset the device, and every queue loses its packets. `combined`: each rx queue and its tx queue are
    one channel; else there is one tx channel. `dma_devices`: how many DMA devices the rx queues alternate
    between, as in a multi-PF device; 0: none to which a dma-buf can be attached. `netmem_tx`: it sends
    net_iovs. `rx_page_size_max`: the largest rx-page-size of bind-rx; PAGE_SIZE if the driver lacks
    QCFG_RX_PAGE_SIZE. `pools`: how it makes the page pools of its rx queues.
    """

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
        """Why payload of IPv4 packets cannot go to device memory, or with `tx` cannot be sent from there; ''
        if it can."""
        splits_at, headers = self.header_buffer_bytes, _DATA_HEADERS
        obstacles = (
            (not self.queue_management, "its driver cannot restart a queue"),
            (not self.dma_devices, "no dma-buf can be attached to it"),
            (self.pools != CAPABLE, "its driver's page pools take no net_iovs"),
            (tx and not self.netmem_tx, "its driver does not send net_iovs"),
            (splits_at < headers, f"it does not split headers of {headers} bytes"),
            (not self.exact and splits_at > headers, f"it leaves {splits_at - headers} bytes to host memory"),
        )
        return next((reason for applies, reason in obstacles if applies), "")


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
    """The model `name`. `header_buffer_bytes` None: the model's own. Raises NicModelError."""
    if name not in MODELS:
        raise NicModelError(f"there is no nic {name!r}; choose from {', '.join(MODELS)}")
    if header_buffer_bytes is None:
        return MODELS[name]
    if not HEADERS_MIN <= header_buffer_bytes <= HEADERS_MAX:
        raise NicModelError(
            f"--header-buffer {header_buffer_bytes}: choose {HEADERS_MIN} to {HEADERS_MAX} bytes"
        )
    return replace(MODELS[name], header_buffer_bytes=header_buffer_bytes)

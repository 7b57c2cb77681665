"""Prepares a host's NIC for device memory TCP, as the kernel's selftests do, and binds dma-bufs to it.

In: the ports that payload comes to. Out: the ids of the bindings. Owns nothing; every change is taken back by
what it puts on the caller's ExitStack. Source: tools/testing/selftests/drivers/net/hw/ncdevmem.c,
Documentation/networking/devmem.rst.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from nodes.client.ethtool import Ethtool
from nodes.client.host import Host
from nodes.client.netdev import Attributes
from nodes.kernel_version import VERSIONS
from nodes.uapi import socket as uapi
from workloads.machine import Machine

_POLL_S = 0.001


class Bindings(NamedTuple):
    """The rx binding's dmabuf_id, and the tx binding's, packed for a cmsg; None where the kernel cannot send
    from a dma-buf."""

    rx_id: int
    tx_id: bytes | None


def prepare_nic(machine: Machine, ports: Sequence[int], undo: ExitStack) -> Bindings:
    """Split headers, take the last queue out of RSS, steer the ports to it, and bind it."""
    ethtool = machine.host.ethtool
    _split_headers(machine, ethtool, undo)
    queue = _reserve_queue(ethtool, undo)
    for port in ports:
        rule = ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": port, "queue": queue})
        undo.callback(ethtool.ntuple_delete, {"location": rule["location"]})
    return _bind(machine, queue, undo)


def _split_headers(machine: Machine, ethtool: Ethtool, undo: ExitStack) -> None:
    before = ethtool.rings_get()["tcp-data-split"]
    wanted: Attributes = {"tcp-data-split": "enabled"}
    has_threshold = VERSIONS[machine.config.kernel].hds_thresh
    ethtool.rings_set({**wanted, "hds-thresh": 0} if has_threshold else wanted)
    undo.callback(ethtool.rings_set, {"tcp-data-split": before})


def _reserve_queue(ethtool: Ethtool, undo: ExitStack) -> int:
    """Take the last queue out of RSS: other traffic that hashed to it would fill its net_iovs."""
    last = ethtool.rx_queue_count() - 1
    if last < 1:
        raise OSError(
            "the NIC has one rx queue; devmem needs one more, start the endpoint with --rx-queues 2"
        )
    before = ethtool.rss_restoring()
    ethtool.rss_set({"equal": last})
    undo.callback(ethtool.rss_set, before)
    return last


def _bind(machine: Machine, queue: int, undo: ExitStack) -> Bindings:
    """A binding ends with the connection that made it, as with the kernel's netlink sockets."""
    kernel = VERSIONS[machine.config.kernel]
    undo.callback(_wait_unbound, machine, queue)
    owner = undo.enter_context(closing(Host(machine.place.channel)))
    wanted: Attributes = {"ifindex": owner.ifindex, "queues": [{"type": "rx", "id": queue}]}
    if kernel.rx_page_size:
        wanted["rx-page-size"] = machine.config.niov_bytes
    rx_id = owner.netdev.bind_rx({**wanted, "fd": machine.receive_memory.fd})["id"]
    if not kernel.devmem_tx:
        return Bindings(rx_id, None)
    sent_from = owner.netdev.bind_tx({"ifindex": owner.ifindex, "fd": machine.data.fd})
    return Bindings(rx_id, uapi.TX_DMABUF_ID.pack(sent_from["id"]))


def _wait_unbound(machine: Machine, queue: int) -> None:
    """Closing a connection has no answer; header split can be turned off when the binding has gone."""
    runtime, timeout_s = machine.runtime, machine.config.timeout_s
    give_up_at = runtime.monotonic() + timeout_s
    while any(one["id"] == queue and "dmabuf" in one for one in machine.host.netdev.queue_get()):
        if runtime.monotonic() > give_up_at:
            raise TimeoutError(
                f"rx queue {queue} was still bound {timeout_s:g} s after its owner had closed its connection"
            )
        runtime.sleep(_POLL_S)

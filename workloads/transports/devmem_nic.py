"""Prepares a NIC for device memory TCP, as the kernel's selftests do, and binds dma-bufs to it.

In: the ports that payload comes to, of each NIC. Out: the ids of the bindings. Owns nothing; every change is
taken back by what it puts on the caller's ExitStack. Several ranks may have the same NIC: the first of them
takes as many queues out of RSS as there are such ranks, and each binds one. A rank with several NICs binds a
queue of each. Source: tools/testing/selftests/drivers/net/hw/ncdevmem.c, Documentation/networking/devmem.rst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from nodes.client.ethtool import Ethtool
from nodes.client.host import Host
from nodes.client.netdev import Attributes
from nodes.kernel_version import VERSIONS
from nodes.machine.memory import Region
from nodes.uapi import socket as uapi
from workloads.experiment.records import NicPlace
from workloads.machine import Machine

_POLL_S = 0.001


def prepare_nic(machine: Machine, nic: NicPlace, undo: ExitStack) -> None:
    """Split headers, and take the last queues out of RSS: other traffic that hashed to them would fill their
    net_iovs."""
    ethtool = machine.host.ethtool.of(machine.nic_of(nic).ifindex)
    _split_headers(machine, ethtool, undo)
    ranks = len(machine.place.sharing(nic))
    left = ethtool.rx_queue_count() - ranks
    if left < 1:
        raise OSError(
            f"{machine.nic_of(nic).ifname} has {ethtool.rx_queue_count()} rx queues; devmem needs one a rank "
            f"and one more, start the endpoint with --rx-queues {ranks + 1}"
        )
    before = ethtool.rss_restoring()
    ethtool.rss_set({"equal": left})
    undo.callback(ethtool.rss_set, before)


class RxBinding(NamedTuple):
    """A NIC's: its dmabuf_id, and the memory that payload lands in."""

    id: int
    memory: Region


class Bindings:
    """A rank's, on prepared NICs: to receive on a queue of its own, where it has ports, and to send by any
    NIC. `rx`: by the NIC's address. A binding ends with the connection that made it, as with the kernel's
    netlink sockets."""

    def __init__(self, machine: Machine, ports: Mapping[NicPlace, Sequence[int]], undo: ExitStack) -> None:
        self._machine = machine
        self._tx_ids: dict[int, bytes] = {}
        self._owner = undo.enter_context(closing(Host(machine.place.channel, runtime=machine.runtime)))
        self.rx = {
            machine.nic_of(nic).address: self._bind_rx(nic, of_nic, undo) for nic, of_nic in ports.items()
        }

    def _bind_rx(self, nic: NicPlace, ports: Sequence[int], undo: ExitStack) -> RxBinding:
        machine, ifindex = self._machine, self._machine.nic_of(nic).ifindex
        ethtool = machine.host.ethtool.of(ifindex)
        queue = ethtool.rx_queue_count() - 1 - machine.place.sharing(nic).index(machine.place.rank)
        for port in ports:
            rule = ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": port, "queue": queue})
            undo.callback(ethtool.ntuple_delete, {"location": rule["location"]})
        undo.callback(_wait_unbound, machine, ifindex, queue)
        owner = undo.enter_context(closing(Host(machine.place.channel, runtime=machine.runtime)))
        wanted: Attributes = {"ifindex": ifindex, "queues": [{"type": "rx", "id": queue}]}
        if VERSIONS[machine.config.kernel].rx_page_size:
            wanted["rx-page-size"] = machine.config.niov_bytes
        memory = machine.receive_memory(nic)
        return RxBinding(owner.netdev.bind_rx({**wanted, "fd": memory.fd})["id"], memory)

    def tx_id(self, address: str) -> bytes:
        """The dmabuf_id of the data dma-buf, packed for a cmsg, on the NIC that has that address."""
        ifindex = next(nic.ifindex for nic in self._machine.host.nics if nic.address == address)
        if ifindex not in self._tx_ids:
            bound = self._owner.netdev.bind_tx({"ifindex": ifindex, "fd": self._machine.data.fd})
            self._tx_ids[ifindex] = uapi.TX_DMABUF_ID.pack(bound["id"])
        return self._tx_ids[ifindex]


def _split_headers(machine: Machine, ethtool: Ethtool, undo: ExitStack) -> None:
    before = ethtool.rings_get()["tcp-data-split"]
    wanted: Attributes = {"tcp-data-split": "enabled"}
    has_threshold = VERSIONS[machine.config.kernel].hds_thresh
    ethtool.rings_set({**wanted, "hds-thresh": 0} if has_threshold else wanted)
    undo.callback(ethtool.rings_set, {"tcp-data-split": before})


def _wait_unbound(machine: Machine, ifindex: int, queue: int) -> None:
    """Closing a connection has no answer; header split can be turned off when the binding has gone."""
    runtime, timeout_s = machine.runtime, machine.config.timeout_s
    give_up_at = runtime.monotonic() + timeout_s
    wanted = {"ifindex": ifindex}
    while any(one["id"] == queue and "dmabuf" in one for one in machine.host.netdev.queue_get(wanted)):
        if runtime.monotonic() > give_up_at:
            raise TimeoutError(
                f"rx queue {queue} was still bound {timeout_s:g} s after its owner had closed its connection"
            )
        runtime.sleep(_POLL_S)

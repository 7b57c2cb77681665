"""The devmem path: payload from dma-buf to dma-buf, never in host memory.

In and out: as Transport. Owns a netlink-like connection whose bindings end with it, a queue of the NIC
with its steering rule, and the tokens of received fragments until they go back.
Source: tools/testing/selftests/drivers/net/hw/ncdevmem.c (the order of preparing the NIC, of receiving and of
returning tokens), Documentation/networking/devmem.rst.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np

from nodes.client.ethtool import Ethtool
from nodes.client.host import Host
from nodes.client.netdev import Attributes
from nodes.client.socket import Socket
from nodes.kernel_version import VERSIONS
from nodes.machine.accelerator import ByteRange
from nodes.uapi import socket as uapi
from workloads.experiment.records import Address
from workloads.machine import Machine
from workloads.stream_check import StreamCheck
from workloads.transports.transport import Arrived, Transport, ended

_FRAGS = uapi.MAX_DONTNEED_TOKENS  # a call never delivers more tokens than one DONTNEED takes back
_CONTROL_BYTES = _FRAGS * uapi.cmsg_space(uapi.DMABUF_CMSG.size)
_CALL_BYTES = 8 << 20
_STAGED_BYTES = 256 << 10  # of an ordinary send, where the kernel cannot send from a dma-buf
_FLOAT = np.dtype(np.float32)


class Batch(NamedTuple):
    """What one recvmsg delivered: spans of the receive dma-buf in stream order, and their tokens."""

    spans: list[ByteRange]
    tokens: list[int]
    bytes: int


class Devmem(Transport[Socket]):
    description = "device memory TCP: payload from dma-buf to dma-buf, headers only in host memory"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._kernel = VERSIONS[machine.config.kernel]
        self._sends = 0  # successful zero-copy sends on the outgoing connection
        self._sends_at: list[int] = [0]  # the same, after each job of the sending thread

    def listen(self) -> Address:
        """Prepare the NIC as the kernel's selftests do: split headers, spare the last queue from RSS, steer
        our port to it, and bind it."""
        ethtool = self._machine.host.ethtool
        self._split_headers(ethtool)
        queue = self._spare_queue(ethtool)
        address = super().listen()
        rule = ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": address.port, "queue": queue})
        self._undo.callback(ethtool.ntuple_delete, {"location": rule["location"]})
        self._bind(queue)
        return address

    def connect(self, next_rank: Address) -> None:
        super().connect(next_rank)
        self._outgoing.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
        if not self._kernel.devmem_tx:
            self._staging = self._undo.enter_context(closing(self._machine.host.memory(_STAGED_BYTES))).view
        # Completions are awaited while the sending thread sends: a channel of their own.
        self._completions = self._opened(self._outgoing.dup())

    def wait_reusable(self, ticket: int, timeout_s: float | None = None) -> None:
        super().wait_reusable(ticket, timeout_s)
        self._completions.wait_completions(self._sends_at[ticket])

    def receive_into(self, offset: int, length: int) -> None:
        machine = self._machine
        for batch in self._batches(length):
            machine.accelerator.unpack(machine.data, offset, machine.receive_memory, batch.spans)
            offset += batch.bytes
            self._return(batch.tokens)

    def receive_reduce(self, offset: int, length: int) -> None:
        reduction = self._machine.accelerator.reduction(self._machine.data, offset, _FLOAT, np.add)
        for batch in self._batches(length):
            reduction.add(self._machine.receive_memory, batch.spans)
            self._return(batch.tokens)

    def receive_stream(self, offset: int, period: int, check: StreamCheck) -> Arrived:  # noqa: ARG002
        """Payload stays where it lands until it has been checked; then its net_iovs go back."""
        total, last_at_s = 0, time.monotonic()
        while (batch := self._receive(_CALL_BYTES)).bytes:
            last_at_s = time.monotonic()
            for span in batch.spans:
                check.take(self._machine.receive_memory, *span)
            self._return(batch.tokens)
            total += batch.bytes
        return Arrived(total, last_at_s)

    def staged_bytes(self, sent: int, received: int) -> int:  # noqa: ARG002
        return 0 if self._kernel.devmem_tx else sent

    def _socket(self) -> Socket:
        return self._machine.host.socket()

    def _address(self) -> str:
        return self._machine.host.address

    def _transmit(self, offset: int, length: int) -> None:
        if not self._kernel.devmem_tx:
            self._transmit_staged(offset, length)
            return
        control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, self._tx_id)]
        while length:
            try:
                sent = self._outgoing.sendmsg([(offset, length)], control, uapi.MSG_ZEROCOPY)
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                self._outgoing.wait_completions(self._outgoing.wait_completions(0) + 1)
                continue
            self._sends += 1
            offset, length = offset + sent, length - sent

    def _transmit_staged(self, offset: int, length: int) -> None:
        while length:
            chunk = self._staging[: min(length, _STAGED_BYTES)]
            self._machine.accelerator.copy_to_host(self._machine.data, offset, chunk)
            self._outgoing.sendall(chunk)
            offset, length = offset + len(chunk), length - len(chunk)

    def _begin(self, job: Callable[[], None]) -> int:
        def counted() -> None:
            job()
            self._sends_at.append(self._sends)

        return super()._begin(counted)

    def _batches(self, length: int) -> Iterator[Batch]:
        """Exactly `length` bytes of payload; the caller returns each batch's tokens."""
        while length:
            batch = self._receive(min(length, _CALL_BYTES))
            if not batch.bytes:
                raise ended(length)
            length -= batch.bytes
            yield batch

    def _receive(self, most: int) -> Batch:
        """What is there, at most `most` bytes; no bytes at the end of the stream."""
        count, control, _, _ = self._incoming.recvmsg_into([most], _CONTROL_BYTES, uapi.MSG_SOCK_DEVMEM)
        spans, tokens, size = [], [], 0
        for _, _, body in control:
            frag = uapi.DmabufCmsg._make(uapi.DMABUF_CMSG.unpack(body))
            if frag.dmabuf_id != self._rx_id:
                raise OSError(f"{frag.frag_size} bytes of payload came in host memory; is header split on?")
            spans.append((frag.frag_offset, frag.frag_size))
            tokens.append(frag.frag_token)
            size += frag.frag_size
        if size != count:
            raise OSError(f"recvmsg returned {count} bytes but fragments of {size}; is the queue bound?")
        return Batch(spans, tokens, count)

    def _return(self, tokens: list[int]) -> None:
        for at in range(0, len(tokens), uapi.MAX_DONTNEED_TOKENS):
            some = tokens[at : at + uapi.MAX_DONTNEED_TOKENS]
            packed = b"".join(uapi.DMABUF_TOKEN.pack(token, 1) for token in some)
            self._incoming.dontneed(packed)

    def _split_headers(self, ethtool: Ethtool) -> None:
        before = ethtool.rings_get()["tcp-data-split"]
        wanted: Attributes = {"tcp-data-split": "enabled"}
        ethtool.rings_set({**wanted, "hds-thresh": 0} if self._kernel.hds_thresh else wanted)
        self._undo.callback(ethtool.rings_set, {"tcp-data-split": before})

    def _spare_queue(self, ethtool: Ethtool) -> int:
        """Take the last queue out of RSS: what arrives there by chance would fill its net_iovs."""
        last = ethtool.rx_queue_count() - 1
        if last < 1:
            raise OSError(
                "the NIC has one rx queue; devmem needs one more, start the endpoint with --rx-queues 2"
            )
        before = ethtool.rss_get()["indir"]
        ethtool.rss_set({"equal": last})
        self._undo.callback(ethtool.rss_set, {"indir": before})
        return last

    def _bind(self, queue: int) -> None:
        """Bindings live as long as the connection that made them, as with the kernel's netlink sockets."""
        machine = self._machine
        self._undo.callback(self._wait_unbound, queue)
        owner = self._undo.enter_context(closing(Host(machine.place.channel)))
        wanted: Attributes = {"ifindex": owner.ifindex, "queues": [{"type": "rx", "id": queue}]}
        if self._kernel.rx_page_size:
            wanted["rx-page-size"] = machine.config.niov_bytes
        self._rx_id = owner.netdev.bind_rx({**wanted, "fd": machine.receive_memory.fd})["id"]
        if self._kernel.devmem_tx:
            sent_from = owner.netdev.bind_tx({"ifindex": owner.ifindex, "fd": machine.data.fd})
            self._tx_id = uapi.TX_DMABUF_ID.pack(sent_from["id"])

    def _wait_unbound(self, queue: int) -> None:
        """Closing a connection has no answer; header split can be turned off when the binding has gone."""
        give_up_at = time.monotonic() + self._timeout_s
        while any(one["id"] == queue and "dmabuf" in one for one in self._machine.host.netdev.queue_get()):
            if time.monotonic() > give_up_at:
                raise TimeoutError(
                    f"rx queue {queue} was still bound {self._timeout_s:g} s after its owner had gone"
                )
            time.sleep(0.001)

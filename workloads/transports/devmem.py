"""The devmem path: payload from dma-buf to dma-buf, never in host memory.

In and out: as DataPath. Owns nothing but the tokens of received fragments until they go back.
Source: tools/testing/selftests/drivers/net/hw/ncdevmem.c (the order of receiving and of returning tokens),
Documentation/networking/devmem.rst.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import ClassVar, NamedTuple

import msgspec

from nodes.client.host import HostStats
from nodes.client.runtime import Runtime
from nodes.client.socket import Socket
from nodes.kernel_version import VERSIONS
from nodes.machine.accelerator import Operator
from nodes.machine.ledger import Ledger
from nodes.uapi import socket as uapi
from workloads.experiment.records import NicPlace
from workloads.machine import Machine
from workloads.progress import Progress
from workloads.stream_check import StreamCheck
from workloads.transports.counters import StackCounters, endpoint_counters
from workloads.transports.data_path import NO_ROUTE_S, ReceivedStream, Receiver, Sender, closed_early
from workloads.transports.devmem_nic import Bindings, RxBinding, prepare_nic
from workloads.transports.staged import StagedSender
from workloads.transports.token_returns import TokenReturns, together, token_ranges

_FRAGS = uapi.MAX_DONTNEED_TOKENS  # a call never delivers more tokens than one DONTNEED takes back
_CONTROL_BYTES = _FRAGS * uapi.cmsg_space(uapi.DMABUF_CMSG.size)
_CALL_BYTES = 8 << 20
_ZEROCOPY = int(uapi.MSG_ZEROCOPY)
_BEGIN = _ZEROCOPY | int(uapi.MSG_DONTWAIT)
_STAGED_BYTES = 256 << 10  # of an ordinary send, where the kernel cannot send from a dma-buf


class Batch(NamedTuple):
    """What one recvmsg delivered: fragments of the receive dma-buf as (offset, size), in stream order, and
    their tokens, which came at `at_s` of the runtime's clock."""

    frags: list[tuple[int, int]]
    tokens: list[int]
    bytes: int
    at_s: float


class ZeroCopySender:
    """Sends from the data dma-buf with MSG_ZEROCOPY; a completion says that the stack has let go of it.
    `fetch` brings so many bytes into it before they are sent."""

    def __init__(
        self,
        sock: Socket,
        completions: Socket,
        tx_id: bytes,
        progress: Progress,
        runtime: Runtime,
        fetch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._sock = sock
        self._fetch = fetch
        self._progress = progress
        self._runtime = runtime
        self._completions = completions
        self._control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, tx_id)]
        self._sends = self._completed = 0  # successful zero-copy sends; those known to have completed
        self._sends_at: list[int] = [0]  # the same, after each job of the sending thread

    def begin(self, offset: int, length: int) -> int:
        """A reference to the bytes is all that the stack takes: so the calling thread may ask whether it
        does."""
        try:
            sent = self._sock.sendmsg([(offset, length)], self._control, _BEGIN)
        except OSError as e:
            return self._refused(e)
        return self._begun(sent)

    def link(self, offset: int, length: int, receiver: Receiver, told: Callable[[int], object]) -> bool:
        if not isinstance(receiver, DevmemReceiver):
            return False

        def answer(sent: int | OSError) -> None:
            told(self._refused(sent) if isinstance(sent, OSError) else self._begun(sent))

        self._sock.sendmsg_before(receiver.sock, [(offset, length)], self._control, _BEGIN, answer)
        return True

    def _begun(self, sent: int) -> int:
        self._progress.moved()
        self._fetch(sent)
        self._sends += 1
        return sent

    def _refused(self, error: OSError) -> int:
        """Whoever has to wait asks again."""
        if error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.EHOSTUNREACH):
            return 0
        raise error

    def transmit(self, offset: int, length: int) -> None:
        self._fetch(length)
        while length:
            try:
                sent = self._progress.wait(self._send, offset, length)
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                self._progress.wait(self._sock.wait_completions, self._sock.wait_completions(0) + 1)
                continue
            self._sends += 1
            offset, length = offset + sent, length - sent

    def _send(self, offset: int, length: int) -> int:
        """TimeoutError without a route: a link may be down, and come up again. Ordinary bytes wait for it in
        the socket; those of a dma-buf are refused."""
        try:
            return self._sock.sendmsg([(offset, length)], self._control, _ZEROCOPY)
        except OSError as e:
            if e.errno != errno.EHOSTUNREACH:
                raise
            self._runtime.sleep(NO_ROUTE_S)
            raise TimeoutError(e.strerror) from None

    def job_ended(self) -> None:
        self._sends_at.append(self._sends)

    def is_reusable(self, ticket: int) -> bool:
        """Later sends may have told already."""
        self._completed = max(self._completed, self._sock.completed)
        return self._completed >= self._sends_at[ticket]

    def wait_reusable(self, ticket: int) -> None:
        if not self.is_reusable(ticket):
            sends = self._sends_at[ticket]
            self._completed = self._progress.wait(self._completions.wait_completions, sends)


class DevmemReceiver:
    """Payload lands in its NIC's receive dma-buf wherever the NIC puts it; its net_iovs go back as soon as it
    has been unpacked, reduced or checked."""

    def __init__(
        self, machine: Machine, sock: Socket, ledger: Ledger, binding: RxBinding, returns: TokenReturns
    ) -> None:
        self._machine = machine
        self._accelerator = machine.accelerator_of(ledger)
        self.sock = sock
        self._rx_id, self._memory = binding
        self._returns = returns

    def receive_into(self, offset: int, length: int, more: bool = False) -> None:
        machine = self._machine
        for batch in self._batches(length, more):
            self._accelerator.unpack(machine.data, offset, self._memory, batch.frags)
            offset += batch.bytes

    def receive_reduce(
        self, offset: int, length: int, operand: int, operator: Operator, more: bool = False
    ) -> None:
        reduction = self._accelerator.reduction(self._machine.data, offset, operand, operator)
        for batch in self._batches(length, more):
            reduction.add(self._memory, batch.frags)

    def receive_stream(self, offset: int, period: int, check: StreamCheck) -> ReceivedStream:  # noqa: ARG002
        """Payload stays where it lands until it has been checked."""
        total, last_at_s = 0, self._machine.runtime.monotonic()
        while (batch := self._receive(_CALL_BYTES)).bytes:
            last_at_s = batch.at_s
            for frag in batch.frags:
                check.take(self._memory, *frag)
            self._return(batch, True)
            total += batch.bytes
        return ReceivedStream(total, last_at_s)

    def _batches(self, length: int, more: bool) -> Iterator[Batch]:
        """Exactly `length` bytes of payload. The tokens of a batch go back when the next one is asked for;
        those of the last one, with `more`, in the call for the next message."""
        while length:
            batch = self._receive(min(length, _CALL_BYTES))
            if not batch.bytes:
                raise closed_early(length)
            length -= batch.bytes
            yield batch
            self._return(batch, more or length > 0)

    def _receive(self, max_bytes: int) -> Batch:
        """Receive what is there, at most `max_bytes`; a batch of no bytes is the end of the stream."""
        count, control, _, _ = self._machine.progress.wait(
            self.sock.recvmsg_into, [max_bytes], _CONTROL_BYTES, uapi.MSG_SOCK_DEVMEM
        )
        at_s = self._machine.runtime.monotonic()
        frags, tokens, size = [], [], 0
        unpack, rx_id = uapi.DMABUF_CMSG.unpack, self._rx_id
        for _, _, body in control:
            frag_offset, frag_size, frag_token, dmabuf_id, _ = unpack(body)  # a DmabufCmsg, without making it
            if dmabuf_id != rx_id:
                raise OSError(f"{frag_size} bytes of payload came in host memory; is header split on?")
            frags.append((frag_offset, frag_size))
            tokens.append(frag_token)
            size += frag_size
        if size != count:
            raise OSError(f"recvmsg returned {count} bytes but fragments of {size}; is the queue bound?")
        return Batch(frags, tokens, count, at_s)

    def _return(self, batch: Batch, more: bool) -> None:
        """Neighbours go back as one range; if `more` is to be received at once, with that call."""
        tokens = b"".join(uapi.DMABUF_TOKEN.pack(*each) for each in token_ranges(batch.tokens))
        self.sock.dontneed(tokens, more)
        self._returns.returned(len(batch.tokens), self._machine.runtime.monotonic() - batch.at_s)


class Devmem:
    description: ClassVar[str] = (
        "device memory TCP: payload from dma-buf to dma-buf, headers only in host memory"
    )

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._has_tx = VERSIONS[machine.config.kernel].devmem_tx
        self._returns: list[TokenReturns] = []  # of each receiver

    def open_socket(self) -> Socket:
        return self._machine.host.socket()

    def address(self, nic: NicPlace) -> str:
        return self._machine.nic_of(nic).address

    def prepare_nic(self, nic: NicPlace, undo: ExitStack) -> None:
        prepare_nic(self._machine, nic, undo)

    def prepare(self, ports: Mapping[NicPlace, Sequence[int]], undo: ExitStack) -> None:
        self._bindings = Bindings(self._machine, ports, undo)

    def sender(self, sock: Socket, ledger: Ledger, undo: ExitStack) -> Sender:
        """Zero-copy, or staged where the kernel cannot send from a dma-buf."""
        if not self._has_tx:
            memory = undo.enter_context(closing(self._machine.host.memory(_STAGED_BYTES)))
            return StagedSender(self._machine, sock, ledger, memory.view)
        sock.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
        # The rank waits for completions while the sending thread sends: through a channel of its own.
        completions = undo.enter_context(closing(sock.dup()))
        completions.settimeout(self._machine.config.timeout_s)
        tx_id = self._bindings.tx_id(sock.getsockname()[0])
        machine, fetch = self._machine, self._machine.accelerator_of(ledger).fetch
        return ZeroCopySender(sock, completions, tx_id, machine.progress, machine.runtime, fetch)

    def receiver(self, sock: Socket, ledger: Ledger, undo: ExitStack) -> DevmemReceiver:  # noqa: ARG002
        self._returns.append(returns := TokenReturns())
        binding = self._bindings.rx[sock.getsockname()[0]]
        return DevmemReceiver(self._machine, sock, ledger, binding, returns)

    def staged_bytes(self, sent: int, received: int) -> int:  # noqa: ARG002
        return 0 if self._has_tx else sent

    def counters(self, stats: HostStats) -> StackCounters:
        return msgspec.structs.replace(endpoint_counters(stats), held_tokens=together(self._returns))

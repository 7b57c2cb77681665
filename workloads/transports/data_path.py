"""What a data path has to provide, so that a Transport can carry payload over it.

In: connected TCP sockets of the path's stack. Out: a Sender and a Receiver for each. Owns nothing: Protocols
and records only. devmem.py, bounce.py and kernel.py are the paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from nodes.client.host import HostStats
from nodes.machine.accelerator import Operator
from nodes.machine.ledger import Ledger
from workloads.experiment.records import NicPlace
from workloads.machine import Machine
from workloads.stream_check import StreamCheck
from workloads.transports.counters import StackCounters

NO_ROUTE_S = 0.01  # between two attempts while no route leads to the peer


class TcpSocket(Protocol):
    """The part of socket.socket that every path's socket has."""

    def bind(self, address: Any, /) -> None: ...
    def listen(self, backlog: int = ..., /) -> None: ...
    def accept(self) -> tuple[Any, Any]: ...
    def connect(self, address: Any, /) -> None: ...
    def getsockname(self) -> Any: ...
    def setsockopt(self, level: int, optname: int, value: int | bytes, /) -> Any: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def recv(self, bufsize: int, /) -> bytes: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


S = TypeVar("S", bound=TcpSocket)


class ReceivedStream(msgspec.Struct, frozen=True):
    """A stream that has ended: its payload bytes, and the runtime's time when the last of them came."""

    bytes: int
    last_at_s: float


class Sender(Protocol):
    """Sends on one connection. `transmit` and `job_ended` run in the connection's sending thread, or while it
    has nothing to do: one thread at a time writes the ledger which the sender was given."""

    def begin(self, offset: int, length: int) -> int:
        """While the sending thread has nothing to do, another one may call this: send as many of these bytes
        as need neither waiting nor copying; returns how many. `transmit` is asked for the others."""

    def link(self, offset: int, length: int, receiver: Receiver, told: Callable[[int], object]) -> bool:
        """As `begin`, in one system call with the next one of `receiver`, which is about to be asked for
        bytes: `told` hears then how many were sent. False, and nothing is done, where no call can do both."""

    def transmit(self, offset: int, length: int) -> None:
        """Send these bytes of the data dma-buf; returns when the stack has accepted all of them."""

    def job_ended(self) -> None:
        """All bytes of one more ticket have been accepted."""

    def is_reusable(self, ticket: int) -> bool:
        """After that job has ended: whether the memory of its bytes may be changed, as far as is known
        without a call."""

    def wait_reusable(self, ticket: int) -> None:
        """After that job has ended: until the memory of its bytes may be changed."""


class Receiver(Protocol):
    """Receives from one connection, in one thread at a time, the only one that writes the ledger which the
    receiver was given. `more`: what this connection brings next is asked for at once, so that what has to be
    told the stack may wait for that call."""

    def receive_into(self, offset: int, length: int, more: bool = False) -> None:
        """Put the next `length` bytes into the data dma-buf at byte `offset`."""

    def receive_reduce(
        self, offset: int, length: int, operand: int, operator: Operator, more: bool = False
    ) -> None:
        """Reduce the next `length` bytes with those of the data dma-buf at byte `operand`, into those at byte
        `offset`: the same ones, or others apart from them."""

    def receive_stream(self, offset: int, period: int, check: StreamCheck) -> ReceivedStream:
        """Take everything until the peer ends the stream, and show it to `check`. The stream repeats the
        same `period` bytes. A path that stages puts them at `offset`, each repetition over the one before."""


class DataPath(Protocol[S]):
    """One stack and one way between device memory and its sockets."""

    description: ClassVar[str]

    def __init__(self, machine: Machine) -> None: ...

    def open_socket(self) -> S:
        """A new TCP socket of this path's stack."""

    def address(self, nic: NicPlace) -> str:
        """The IPv4 address of that NIC in that stack. Raises OSError where it has none."""

    def prepare_nic(self, nic: NicPlace, undo: ExitStack) -> None:
        """Prepare what all ranks share that use the NIC; the first of them does. What takes that back goes on
        `undo`."""

    def prepare(self, ports: Mapping[NicPlace, Sequence[int]], undo: ExitStack) -> None:
        """Prepare the NICs for this rank's payload, which comes to these ports of each; `undo` likewise."""

    def sender(self, sock: S, ledger: Ledger, undo: ExitStack) -> Sender:
        """For a connected socket; adds to `ledger` what the application moves in order to send."""

    def receiver(self, sock: S, ledger: Ledger, undo: ExitStack) -> Receiver:
        """For a connected socket; adds to `ledger` what the application moves in order to receive."""

    def staged_bytes(self, sent: int, received: int) -> int:
        """How many of so many payload bytes cross host memory on this path."""

    def counters(self, stats: HostStats) -> StackCounters:
        """What this path's stack has moved and counted so far; `stats` are the endpoint's now."""


def closed_early(missing: int) -> ConnectionError:
    """What to raise when the peer ends a connection before the last `missing` bytes."""
    return ConnectionError(f"the peer closed the connection with {missing} bytes still to come")

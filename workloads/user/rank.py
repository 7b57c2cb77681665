"""What a user's function of a rank is given: its accelerator, its peers, and how to reach them.

In: calls of the user's. Out: payload, computations, and what has to be compared in the end. Owns the count of
what was sent and received. Its methods raise WorkloadError for what cannot be, before anything is done.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from nodes.machine.accelerator import Accelerator, Operator
from nodes.machine.memory import Region
from workloads import expected
from workloads.element_types import ELEMENT_TYPES, REDUCTIONS, Array, reduction
from workloads.machine import Machine
from workloads.transports.transport import Ticket, Transport
from workloads.user.code import UserCode
from workloads.workload import WorkloadError

PAYLOAD, CONTROL = 0, 1  # channels
_COUNT_BYTES = 8
_LATER_S = 1.0


def data_bytes(size: int, nranks: int) -> int:
    """Of the memory that a user's function has: a part of `size` bytes of its own, and one for each rank."""
    return (nranks + 1) * size


def control_bytes(nranks: int) -> int:
    """Behind them: what is sent to each rank, and what comes from it."""
    return 2 * nranks * _COUNT_BYTES


class UserRank:
    """One iteration of one rank. `size`: as --size says. `data`: the data memory; of its `data_bytes` the
    first `size` hold `input(rank)` in the beginning. `seed` differs for every iteration. Offsets are bytes of
    the data memory, `peer` is another rank. One thread at a time."""

    def __init__(
        self, machine: Machine, transport: Transport[Any], code: UserCode, nranks: int, size: int, seed: int
    ) -> None:
        self.rank = machine.place.rank
        self.nranks = nranks
        self.peers = tuple(peer for peer in range(nranks) if peer != self.rank)
        self.size = size
        self.seed = seed
        self.accelerator: Accelerator = machine.accelerator
        self.data: Region = machine.data
        self.data_bytes = data_bytes(size, nranks)
        self.doing = ""
        self.compared: list[tuple[int, Array]] = []
        self.computed_s = 0.0
        self.sent, self.received = Counter[int](), Counter[int]()  # payload, by peer
        self.said_bytes = self.heard_bytes = 0  # on the other channel
        self.last: dict[int, Ticket] = {}  # the last send to each peer
        self._machine = machine
        self._transport = transport
        self._code = code

    def send(self, peer: int, offset: int, length: int) -> Ticket:
        """Begin to send; the bytes must not be changed until `wait(ticket)` has returned."""
        self._begin(f"send of {length} bytes to rank {peer}", peer, (offset, length))
        self.last[peer] = ticket = self._transport.send(peer, offset, length, PAYLOAD)
        self.sent[peer] += length
        return ticket

    def wait(self, ticket: Ticket) -> None:
        """Until the bytes of that send, and of all before it to the same peer, may be changed."""
        self._begin("wait for a send")
        self._transport.wait_reusable(ticket)

    def receive(self, peer: int, offset: int, length: int) -> None:
        """The next `length` bytes from `peer`; returns when they are there."""
        self._begin(f"receive of {length} bytes from rank {peer}", peer, (offset, length))
        self.received[peer] += length
        self._transport.receive_into(peer, offset, length, PAYLOAD)

    def reduce(self, peer: int, offset: int, length: int, dtype: str = "float32", op: str = "sum") -> None:
        """As `receive`, but what comes is reduced with what is there."""
        self._begin(f"reduce of {length} bytes from rank {peer}", peer, (offset, length))
        if dtype not in ELEMENT_TYPES or op not in REDUCTIONS:
            raise WorkloadError(
                f"there is no {op!r} of {dtype!r}; choose from {', '.join(REDUCTIONS)} and "
                f"{', '.join(ELEMENT_TYPES)}"
            )
        if length % ELEMENT_TYPES[dtype].bytes:
            raise WorkloadError(f"{length} bytes are no whole elements of {dtype}; round them")
        self.received[peer] += length
        operator = Operator(ELEMENT_TYPES[dtype].dtype, reduction(op))
        self._transport.receive_reduce(peer, offset, length, offset, operator)

    def compute(self, seconds: float) -> None:
        """The accelerator is busy for so long."""
        self._begin(f"computation of {seconds:g} s")
        begin_s = self._machine.runtime.monotonic()
        self._machine.compute(seconds, self.accelerator)
        self.computed_s += self._machine.runtime.monotonic() - begin_s

    def fill(self, offset: int, values: Array) -> None:
        """The accelerator computes `values` and writes them, in zero time."""
        self._begin("fill", at=(offset, values.nbytes))
        self.accelerator.fill(self.data, offset, values)

    def input(self, rank: int) -> expected.Bytes:
        """What the first `size` bytes of that rank hold in the beginning, from 1 to 64; shape (size,)."""
        return expected.message(expected.seed_of(self.seed, "user", rank), self.size)

    def check(self, offset: int, values: Array) -> None:
        """When the function has returned and the clock has stopped: compare memory from `offset` on with
        `values`, whose wrong elements are counted."""
        self._begin("check", at=(offset, values.nbytes))
        self.compared.append((offset, values))

    def barrier(self) -> None:
        """Returns when every rank has called it: bytes on connections of their own, in log2(nranks) rounds
        (the dissemination barrier of Hensgen, Finkel and Manber, 1988)."""
        self._begin("barrier")
        distance = 1
        while distance < self.nranks:
            self._say((self.rank + distance) % self.nranks, 1)
            self._hear((self.rank - distance) % self.nranks, 1)
            distance *= 2

    def agree(self) -> None:
        """Every peer has received what was sent to it, and no more. Raises WorkloadError. Ranks say on the
        other connections how much they have sent: nothing has to be received for that."""
        for peer in self.peers:
            self.accelerator.fill(self.data, self._slot(peer), _count(self.sent[peer]))
            self._say(peer, _COUNT_BYTES)
        for peer in self.peers:
            self.doing = f"agreement with rank {peer} about what was sent"
            self._hear_late(peer)
            place = self._slot(self.nranks + peer)
            if self.accelerator.compare(self.data, place, _count(self.received[peer])):
                raise WorkloadError(
                    f"rank {peer} has sent another number of bytes to rank {self.rank} than the "
                    f"{self.received[peer]} that were received; let both name the same lengths"
                )

    def _say(self, peer: int, length: int) -> None:
        self._transport.wait_accepted(self._transport.send(peer, self._slot(peer), length, CONTROL))
        self.said_bytes += length

    def _hear(self, peer: int, length: int) -> None:
        self._transport.receive_into(peer, self._slot(self.nranks + peer), length, CONTROL)
        self.heard_bytes += length

    def _hear_late(self, peer: int) -> None:
        """A peer that is still in the user's function can say more: it is given up first."""
        try:
            self._hear(peer, _COUNT_BYTES)
        except TimeoutError:
            self._machine.runtime.sleep(_LATER_S)
            raise

    def _slot(self, number: int) -> int:
        return self.data_bytes + number * _COUNT_BYTES

    def _begin(self, doing: str, peer: int | None = None, at: tuple[int, int] = (0, 1)) -> None:
        """A call of the user's is possible. `at`: offset and length."""
        self.doing = f"{doing}, line {self._code.line(sys._getframe(2))} of {self._code.words}"
        if peer is not None and peer not in self.peers:
            raise WorkloadError(f"rank {peer} is none of the others, which are {_listed(self.peers)}")
        if not all(hasattr(each, "__index__") for each in at):
            raise WorkloadError(
                f"there is no offset {at[0]} and length {at[1]} in bytes; both are whole numbers"
            )
        offset, length = at
        if length < 1 or offset < 0 or offset + length > self.data_bytes:
            raise WorkloadError(
                f"{length} bytes from byte {offset} on are not within the {self.data_bytes} bytes of data "
                "memory"
            )


def _count(number: int) -> Array:
    import numpy as np

    return np.array([number], np.uint64)


def _listed(ranks: tuple[int, ...]) -> str:
    return ", ".join(map(str, ranks))

"""The bounce path: the endpoint's stack, with payload staged in host memory on both sides.

In and out: as DataPath. Owns nothing; each connection's staging buffer goes with the connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import ClassVar

from nodes.client.host import HostStats
from nodes.client.socket import Socket
from nodes.machine.ledger import Ledger
from workloads.experiment.records import NicPlace
from workloads.machine import STAGING_BYTES, Machine
from workloads.transports.counters import StackCounters, endpoint_counters
from workloads.transports.staged import StagedReceiver, StagedSender


class Bounce:
    description: ClassVar[str] = "the endpoint's stack with staging: payload crosses host memory four times"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def open_socket(self) -> Socket:
        return self._machine.host.socket()

    def address(self, nic: NicPlace) -> str:
        return self._machine.nic_of(nic).address

    def prepare_nic(self, nic: NicPlace, undo: ExitStack) -> None:
        """Its queues are as they are."""

    def prepare(self, ports: Mapping[NicPlace, Sequence[int]], undo: ExitStack) -> None:
        """Host pages take what comes to any port."""

    def sender(self, sock: Socket, ledger: Ledger, undo: ExitStack) -> StagedSender:
        return StagedSender(self._machine, sock, ledger, self._staging(undo))

    def receiver(self, sock: Socket, ledger: Ledger, undo: ExitStack) -> StagedReceiver:
        return StagedReceiver(self._machine, sock, ledger, self._staging(undo))

    def staged_bytes(self, sent: int, received: int) -> int:
        return sent + received

    def counters(self, stats: HostStats) -> StackCounters:
        return endpoint_counters(stats)

    def _staging(self, undo: ExitStack) -> memoryview:
        """Registered memory, which the endpoint copies from and into without the channel."""
        return undo.enter_context(closing(self._machine.host.memory(STAGING_BYTES))).view

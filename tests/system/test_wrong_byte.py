"""A byte that goes wrong in device memory, before it is sent or after it came: the devmem path finds it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeAlias

import pytest

from nodes.client.host import Host
from tests.system.network import Network
from tests.workloads.ring import Ring
from workloads.experiment.records import ExperimentConfig
from workloads.transports.devmem import Batch, Devmem

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

MESSAGE_BYTES = 100_001
AT_MESSAGE, AT_BATCH = 5, 2
Spoil: TypeAlias = Callable[[pytest.MonkeyPatch], "itertools.count[int]"]


def spoil_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> itertools.count[int]:
    """One message is sent with a wrong byte in its dma-buf; those before have left and those after wait."""
    honest, messages = Devmem._transmit, itertools.count()

    def transmit(self: Devmem, offset: int, length: int) -> None:
        if next(messages) != AT_MESSAGE:
            honest(self, offset, length)
            return
        self._outgoing.wait_completions(self._sends)
        self._machine.data.view[offset + length // 2] ^= 1
        honest(self, offset, length)
        self._outgoing.wait_completions(self._sends)
        self._machine.data.view[offset + length // 2] ^= 1

    monkeypatch.setattr(Devmem, "_transmit", transmit)
    return messages


def spoil_what_came(monkeypatch: pytest.MonkeyPatch) -> itertools.count[int]:
    """A byte goes wrong between its landing and its check."""
    honest, batches = Devmem._receive, itertools.count()

    def receive(self: Devmem, most: int) -> Batch:
        batch = honest(self, most)
        if batch.bytes and next(batches) == AT_BATCH:
            offset, size = batch.spans[-1]
            self._machine.receive_memory.view[offset + size - 1] ^= 1
        return batch

    monkeypatch.setattr(Devmem, "_receive", receive)
    return batches


@pytest.mark.parametrize("spoil", [spoil_what_is_sent, spoil_what_came])
def test_a_wrong_byte_in_the_middle_of_a_devmem_stream_is_counted(
    spoil: Spoil, network: Network, hosts: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [host.name for host in hosts] == ["h1", "h2"]  # they are ready
    asked = ExperimentConfig(
        "star", 2, "stream", (MESSAGE_BYTES,), ("devmem",), duration_s=1.0, timeout_s=30.0
    )
    ranks = Ring(asked, network.channel)
    ranks.connect()
    with monkeypatch.context() as fault:
        spoiled_at = spoil(fault)
        sender, receiver = ranks.run()
    assert next(spoiled_at) > AT_MESSAGE + 1, "nothing came after it"
    assert receiver.wrong_elements == 1
    assert receiver.payload_received_bytes == sender.payload_sent_bytes
    assert receiver.payload_staged_bytes == sender.payload_staged_bytes == 0

    ranks.each(lambda rank: rank.disconnect())
    ranks.connect(1)
    _, receiver = ranks.run()
    assert receiver.wrong_elements == 0, "the other trial had the fault"
    assert receiver.checked_bytes > 0
    ranks.each(lambda rank: rank.close())

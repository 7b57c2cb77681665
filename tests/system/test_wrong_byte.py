"""A byte that goes wrong in device memory, before it is sent or after it came: the devmem path finds it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeAlias

import pytest

from nodes.client.host import Host
from nodes.machine.memory import Region
from tests.system.network import Network
from tests.workloads.ring import Ring
from workloads.experiment.records import ExperimentConfig
from workloads.stream import StreamOptions
from workloads.transports.devmem import Batch, DevmemReceiver, ZeroCopySender

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

MESSAGE_BYTES = 100_001
AT_MESSAGE, AT_BATCH = 5, 2
Spoil: TypeAlias = Callable[[pytest.MonkeyPatch, Region], "itertools.count[int]"]


def spoil_what_is_sent(monkeypatch: pytest.MonkeyPatch, data: Region) -> itertools.count[int]:
    """One message is sent with a wrong byte in its dma-buf; those before have left and those after wait."""
    honest, messages = ZeroCopySender.transmit, itertools.count()

    def transmit(self: ZeroCopySender, offset: int, length: int) -> None:
        if next(messages) != AT_MESSAGE:
            honest(self, offset, length)
            return
        self._sock.wait_completions(self._sends)
        data.view[offset + length // 2] ^= 1
        honest(self, offset, length)
        self._sock.wait_completions(self._sends)
        data.view[offset + length // 2] ^= 1

    monkeypatch.setattr(ZeroCopySender, "transmit", transmit)
    return messages


def spoil_what_came(monkeypatch: pytest.MonkeyPatch, _: Region) -> itertools.count[int]:
    """A byte goes wrong between its landing and its check."""
    honest, batches = DevmemReceiver._receive, itertools.count()

    def receive(self: DevmemReceiver, max_bytes: int) -> Batch:
        batch = honest(self, max_bytes)
        if batch.bytes and next(batches) == AT_BATCH:
            offset, size = batch.frags[-1]
            self._memory.view[offset + size - 1] ^= 1
        return batch

    monkeypatch.setattr(DevmemReceiver, "_receive", receive)
    return batches


@pytest.mark.parametrize("spoil", [spoil_what_is_sent, spoil_what_came])
def test_a_wrong_byte_in_the_middle_of_a_devmem_stream_is_counted(
    spoil: Spoil, network: Network, hosts: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [host.name for host in hosts] == ["h1", "h2"]  # they are ready
    asked = ExperimentConfig(
        "star", 2, "stream", (MESSAGE_BYTES,), ("devmem",), StreamOptions(duration_s=1.0), timeout_s=30.0
    )
    ranks = Ring(asked, network.channel)
    ranks.connect()
    with monkeypatch.context() as fault:
        spoiled_at = spoil(fault, ranks.ranks[0]._machine.data)
        sender, receiver = ranks.run()
    assert next(spoiled_at) > AT_MESSAGE + 1, "nothing came after it"
    assert receiver.wrong_elements == 1
    assert receiver.payload_received_bytes == sender.payload_sent_bytes
    assert receiver.payload_staged_bytes == sender.payload_staged_bytes == 0

    ranks.each(lambda rank: rank.disconnect())
    ranks.each(lambda rank: rank.restore())
    ranks.connect(1)
    _, receiver = ranks.run()
    assert receiver.wrong_elements == 0, "the other trial had the fault"
    assert receiver.checked_bytes > 0
    ranks.each(lambda rank: rank.close())

"""A byte that goes wrong in device memory, before it is sent or after it came: the devmem path finds it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from nodes.client.host import Host
from nodes.client.socket import Socket
from nodes.machine.memory import Region
from tests.system.network import Network
from tests.workloads.ring import Ring
from workloads.experiment.records import ExperimentConfig
from workloads.stream import StreamOptions
from workloads.stream_check import StreamCheck

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

MESSAGE_BYTES = 100_001
AT_SEND, AT_FRAG = 5, 2
Spoil: TypeAlias = Callable[[pytest.MonkeyPatch, Region], "itertools.count[int]"]


def spoil_what_is_sent(monkeypatch: pytest.MonkeyPatch, data: Region) -> itertools.count[int]:
    """One send has a wrong byte in its dma-buf; those before have left and those after wait."""
    honest, sends = Socket.sendmsg, itertools.count(1)  # the first one was the connection's greeting
    done = next(sends)

    def sendmsg(self: Socket, ranges: list[tuple[int, int]], *more: Any) -> int:
        nonlocal done
        if done != AT_SEND:
            sent = honest(self, ranges, *more)
            done = next(sends)
            return sent
        ((offset, length),) = ranges
        self.wait_completions(done)
        data.view[offset + length // 2] ^= 1
        sent = honest(self, ranges, *more)
        done = next(sends)
        self.wait_completions(done)
        data.view[offset + length // 2] ^= 1
        return sent

    monkeypatch.setattr(Socket, "sendmsg", sendmsg)
    return sends


def spoil_what_came(monkeypatch: pytest.MonkeyPatch, _: Region) -> itertools.count[int]:
    """A byte goes wrong between its landing and its check."""
    honest, frags = StreamCheck.take, itertools.count()

    def take(self: StreamCheck, memory: Region, offset: int, size: int) -> None:
        if next(frags) == AT_FRAG:
            memory.view[offset + size - 1] ^= 1
        honest(self, memory, offset, size)

    monkeypatch.setattr(StreamCheck, "take", take)
    return frags


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
    assert next(spoiled_at) > AT_SEND + 1, "nothing came after it"
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

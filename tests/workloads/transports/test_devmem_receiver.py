"""When the tokens of received fragments go back: with the next receive of the same message, or at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import numpy as np
import pytest

from nodes.client.runtime import MACHINE
from nodes.machine.accelerator import Operator
from nodes.machine.ledger import Ledger
from nodes.uapi import socket as uapi
from tests.workloads.loopback import LoopbackHost
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig, RankPlace
from workloads.machine import Machine
from workloads.stream_check import StreamCheck
from workloads.transports.devmem import DevmemReceiver
from workloads.transports.devmem_nic import RxBinding
from workloads.transports.token_returns import TokenReturns

RX_ID, FRAG_BYTES = 7, 400


class FakeSocket:
    """Each call delivers one fragment; after `fragments` of them the stream ends."""

    def __init__(self, fragments: int) -> None:
        self._left = fragments
        self._token = 0
        self.returned: list[tuple[int, bool]] = []

    def recvmsg_into(self, _buffers: object, _control: int, _flags: int) -> tuple[Any, ...]:
        if not self._left:
            return 0, [], 0, None
        self._left -= 1
        self._token += 1
        body = uapi.DMABUF_CMSG.pack((self._token - 1) * FRAG_BYTES, FRAG_BYTES, self._token, RX_ID, 0)
        return FRAG_BYTES, [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, body)], 0, None

    def dontneed(self, tokens: bytes, with_next: bool = False) -> None:
        start, count = uapi.DMABUF_TOKEN.unpack(tokens)
        assert count == 1
        self.returned.append((start, with_next))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    config = ExperimentConfig("star", 2, "all_reduce", (4096,), ("devmem",), CollectiveOptions())
    with closing(Machine(RankPlace(0, "h1", "-"), config, 4096, MACHINE)) as found:
        yield found


def receiver(machine: Machine, sock: FakeSocket) -> DevmemReceiver:
    binding = RxBinding(RX_ID, machine.accelerator.alloc(65536))
    return DevmemReceiver(machine, cast(Any, sock), Ledger(), binding, TokenReturns())


@pytest.mark.parametrize("reduces", [False, True])
def test_the_last_tokens_of_a_message_go_back_at_once_others_with_a_receive(
    machine: Machine, reduces: bool
) -> None:
    """Nobody knows when the next message is received."""
    sock = FakeSocket(4)
    devmem = receiver(machine, sock)
    if reduces:
        devmem.receive_reduce(0, 3 * FRAG_BYTES, 0, Operator(np.dtype(np.float32), np.add))
    else:
        devmem.receive_into(0, 3 * FRAG_BYTES)
    assert sock.returned == [(1, True), (2, True), (3, False)]


@pytest.mark.parametrize("reduces", [False, True])
def test_they_go_with_the_next_message_that_is_received_at_once(machine: Machine, reduces: bool) -> None:
    sock = FakeSocket(2)
    devmem = receiver(machine, sock)
    if reduces:
        operator = Operator(np.dtype(np.float32), np.add)
        devmem.receive_reduce(0, 2 * FRAG_BYTES, 0, operator, more=True)
    else:
        devmem.receive_into(0, 2 * FRAG_BYTES, more=True)
    assert sock.returned == [(1, True), (2, True)]


def test_a_stream_returns_tokens_with_its_next_receive(machine: Machine) -> None:
    """The one that finds its end is the last."""
    sock = FakeSocket(2)
    check = cast(StreamCheck, type("Check", (), {"take": staticmethod(lambda *_: None)}))
    assert receiver(machine, sock).receive_stream(0, 4096, check).bytes == 2 * FRAG_BYTES
    assert sock.returned == [(1, True), (2, True)]

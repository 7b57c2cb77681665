"""The supervisor's loop, with a listener that always has a call."""

from __future__ import annotations

import itertools
import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from nodes.supervisor import supervisor
from nodes.supervisor.abi import abi
from nodes.supervisor.seccomp import Vanished

CALLS = 100


class BusyListener:
    """The next call is there as soon as one is received; after CALLS of them the program ends."""

    def __init__(self) -> None:
        self.fd, self._program = os.pipe()
        os.write(self._program, b"\0")
        self.received = 0

    def receive(self) -> None:
        self.received += 1
        if self.received == CALLS:
            os.read(self.fd, 1)
            os.close(self._program)
        raise Vanished


def test_tokens_go_back_though_other_calls_come_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn takes a quarter of the time after which they are due."""
    listener, here = BusyListener(), socket.socketpair()
    settled: list[int] = []
    dispatch = SimpleNamespace(owes=True, close=lambda: None)
    dispatch.settle = lambda: settled.append(listener.received)
    clock = itertools.count(1)
    monkeypatch.setattr(supervisor, "Dispatch", lambda *_: dispatch)
    monkeypatch.setattr(supervisor, "Channel", SimpleNamespace(connect=lambda _: here[0]))
    monkeypatch.setattr("time.monotonic", lambda: next(clock) * supervisor._IDLE_S / 8)
    host: Any = SimpleNamespace(path="")
    busy: Any = listener
    loop = supervisor.Supervisor(host, abi(), busy)
    loop.run()
    loop.close()
    os.close(listener.fd)
    here[1].close()
    assert len(settled) >= CALLS // 5
    assert max(b - a for a, b in itertools.pairwise(settled)) <= 5

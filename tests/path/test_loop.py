"""The endpoint's loop over a host: in which order a round serves what the poll reports."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from types import SimpleNamespace

import pytest

from nodes.endpoint import loop
from nodes.endpoint.busy_wire import FIRST_LOOK_S, BusyWire
from nodes.endpoint.charges import Charges
from nodes.endpoint.platform import LinuxPlatform
from nodes.machine.buses import Buses
from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.syscall.sessions import Sessions
from nodes.uapi import syscalls
from nodes.uapi.channel import Channel
from tests.path.two_hosts import CableEnd, TwoHosts

PORT = 5000
READ_NOW = syscalls.RecvMsg(100, 0, 0, None, 0.0)


class Driven:
    """Host b driven by a Loop, with a's socket and one process at b whose socket is connected to it. `buses`:
    those of b."""

    def __init__(self, hosts: TwoHosts, stack: ExitStack, buses: Buses) -> None:
        self.hosts = hosts
        self.room = 1 << 30  # frames that b's wire takes
        name = "\0" + os.urandom(8).hex()
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(name)
        listener.listen(8)
        sessions = Sessions(hosts.b.host, LinuxPlatform())
        hosts.b.host.calls = sessions
        frames = stack.enter_context(closing(os.fdopen(os.eventfd(1), "rb", buffering=0)))  # always readable
        wires = {frames.fileno(): hosts.b.device.ifindex}
        self.busy = BusyWire(hosts.b.device.tx, self)
        charges = Charges.of(hosts.b.host, buses)
        self.loop = loop.Loop(hosts.b.host, sessions, wires, listener, charges, busy_wires=[self.busy])
        stack.callback(self.loop.close)
        program = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program.connect(name)
        program.setblocking(False)
        self.channel = Channel(program)
        stack.callback(self.channel.close)
        self.far = self._connect()

    def look_again(self) -> None:
        """The interface's queue has left b's NIC, and the poll said nothing."""
        self.room = 1 << 30

    def _connect(self) -> DevmemSocket:
        listener = self.hosts.a.socket()
        listener.bind(0, PORT)
        listener.listen(1)
        self.call(syscalls.OpenSocket())
        self.channel.send(syscalls.Connect("10.0.1.1", PORT, None))
        assert self.reply_within(20) == syscalls.Done()
        self.hosts.now += 0.001
        self.hosts.a.turn()
        far = listener.accept()
        self.hosts.a.sockets.append(far)
        return far

    def reply_within(self, rounds: int) -> syscalls.AnyReply:
        for _ in range(rounds):
            self.loop.serve_round(0)
            try:
                return self.channel.receive_reply()[0]
            except BlockingIOError:
                self.hosts.a.turn()
                self.hosts.now += 0.001
        raise AssertionError(f"no reply within {rounds} rounds")

    def call(self, request: syscalls.AnyRequest) -> syscalls.AnyReply:
        """The reply of the round that begins the call, or of the one before, which accepts the channel."""
        self.channel.send(request)
        return self.reply_within(2)


@pytest.fixture
def driven(hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driven]:
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=hosts.clock))
    with ExitStack() as stack:
        yield Driven(hosts, stack, Buses({}))


def test_a_call_meets_the_frames_of_its_own_round(driven: Driven) -> None:
    hosts = driven.hosts
    hosts.a.send(driven.far, b"here")
    hosts.a.turn()
    hosts.now += 0.001
    driven.channel.send(READ_NOW)
    reply = driven.reply_within(1)
    assert isinstance(reply, syscalls.RecvReply)
    assert reply.data == b"here"


def test_a_call_meets_the_reset_of_its_own_round(driven: Driven) -> None:
    hosts = driven.hosts
    driven.far.options.linger = True
    driven.far.close(hosts.now)
    hosts.a.turn()
    hosts.now += 0.001
    driven.channel.send(READ_NOW)
    reply = driven.reply_within(1)
    assert isinstance(reply, syscalls.Failed)
    assert reply.number == errno.ECONNRESET


def test_what_a_call_sends_leaves_in_its_own_round(driven: Driven) -> None:
    carried = driven.hosts.to_a.carried
    driven.channel.send(syscalls.SendMsg(0, b"there", None, 0, (), None))
    driven.reply_within(1)
    assert driven.hosts.to_a.carried == carried + 1


def test_a_busy_wire_that_the_poll_forgets_is_looked_at(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts, send = driven.hosts, CableEnd.send

    def limited(end: CableEnd, header: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        driven.room -= 1
        return driven.room >= 0 and send(end, header, payload, offload)

    monkeypatch.setattr(CableEnd, "send", limited)
    driven.room, carried = 0, hosts.to_a.carried
    driven.channel.send(syscalls.SendMsg(0, b"there", None, 0, (), None))
    next_turn = driven.loop.serve_round(0)
    assert hosts.to_a.carried == carried
    assert next_turn == driven.busy.look_at
    hosts.now += FIRST_LOOK_S
    time.sleep(FIRST_LOOK_S)  # for the compiled loop, whose clock is the machine's
    driven.loop.serve_round(0)
    assert hosts.to_a.carried == carried + 1


def test_a_turn_lasts_until_the_hosts_memory_has_served_it(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=hosts.clock, sleep=slept.append))
    monkeypatch.setattr("time.sleep", slept.append)  # the compiled loop has no other module
    with ExitStack() as stack:
        buses = Buses.create(1e4, None, ())
        stack.callback(buses.close)
        driven = Driven(hosts, stack, buses)
        slept.clear()
        hosts.a.send(driven.far, bytes(1000))
        hosts.a.turn()
        hosts.now += 0.001
        driven.loop.serve_round(0)
        assert sum(slept) > 0.1

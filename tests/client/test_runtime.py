"""Threads and time of a Runtime, and a client that runs on a simulated one."""

from __future__ import annotations

import _thread
import math
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from nodes.client.host import Host
from nodes.client.runtime import MACHINE, Runtime
from nodes.machine.bandwidth import QUEUE_S
from nodes.machine.buses import MEMORY, Buses
from nodes.machine.ceilings import Bus
from nodes.uapi.nic_records import NicInfo
from nodes.uapi.syscalls import (
    INLINE_BYTES,
    AnyReply,
    Done,
    Failed,
    GetSockOpt,
    Hello,
    OpenSocket,
    RecvMsg,
    RecvReply,
    Request,
    SendMsg,
    Value,
    Welcome,
)
from tests.client.simulated import SimulatedRuntime

WELCOME = Welcome("h1", "", (NicInfo("eth0", 2, 1500, "10.0.1.1", 24),))
PATIENCE_S = 20.0


class Endpoint:
    """Takes a second for each request of a socket; what it was asked is in `requests`."""

    def __init__(self) -> None:
        self.runtime = SimulatedRuntime(self.answer)
        self.requests: list[Request] = []

    def answer(self, request: Request) -> AnyReply | None:
        if isinstance(request, Hello):
            return WELCOME
        if isinstance(request, OpenSocket):
            return Done(7)
        if isinstance(request, GetSockOpt):
            return Value(bytes(16))
        self.requests.append(request)
        self.runtime.now += 1.0
        if isinstance(request, RecvMsg):
            return RecvReply(INLINE_BYTES, bytes(INLINE_BYTES), b"")
        assert isinstance(request, SendMsg)
        return Done(len(request.data))

    def timeouts(self) -> list[float | None]:
        found: list[float | None] = []
        for request in self.requests:
            assert isinstance(request, RecvMsg | SendMsg)
            found.append(request.timeout_s)
        return found


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def host(endpoint: Endpoint) -> Iterator[Host]:
    with closing(Host("simulated", runtime=endpoint.runtime)) as host:
        yield host


def test_the_requests_of_one_receive_share_its_timeout(host: Host, endpoint: Endpoint) -> None:
    sock = host.socket()
    sock.settimeout(10.0)
    assert len(sock.recv(3 * INLINE_BYTES)) == 3 * INLINE_BYTES
    assert endpoint.timeouts() == [10.0, 9.0, 8.0]


def test_the_requests_of_one_send_share_its_timeout(host: Host, endpoint: Endpoint) -> None:
    sock = host.socket()
    sock.settimeout(10.0)
    sock.sendall(bytes(3 * INLINE_BYTES))
    assert endpoint.timeouts() == [10.0, 9.0, 8.0]


def test_without_a_timeout_no_request_has_one(host: Host, endpoint: Endpoint) -> None:
    sock = host.socket()
    sock.recv(2 * INLINE_BYTES)
    sock.sendall(bytes(2 * INLINE_BYTES))
    assert endpoint.timeouts() == [None] * 4


def test_a_timeout_that_has_passed_leaves_nothing_to_wait(host: Host, endpoint: Endpoint) -> None:
    sock = host.socket()
    sock.settimeout(1.5)
    sock.recv(3 * INLINE_BYTES)
    assert endpoint.timeouts() == [1.5, 0.5, 0.0]


def test_a_refusal_is_raised_as_its_errno(host: Host, endpoint: Endpoint) -> None:
    sock = host.socket()
    endpoint.runtime.channels[-1]._answer = lambda _: Failed(11, "")
    sock.settimeout(1.0)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_a_host_waits_for_its_memory_bus_on_the_runtimes_clock(host: Host, endpoint: Endpoint) -> None:
    host.turn(1 << 40)  # no limit, no wait
    assert endpoint.runtime.now == 1000.0
    host.buses = Buses({MEMORY: Bus.create(1e6)})
    host.turn(500_000)
    assert math.isclose(endpoint.runtime.now, 1000.5 - QUEUE_S)
    host.turn(500_000)
    assert math.isclose(endpoint.runtime.now, 1001.0 - QUEUE_S)


def test_a_host_waits_for_the_pcie_switch_of_the_nic_it_names(host: Host, endpoint: Endpoint) -> None:
    host.buses = Buses.create(None, 1e6, ["eth0", "eth1"])
    host.turn(1 << 40, "eth1", 500_000, 250_000)
    assert math.isclose(endpoint.runtime.now, 1000.5 - QUEUE_S)
    host.turn(0, "eth1", 0, 1_250_000)
    assert math.isclose(endpoint.runtime.now, 1001.75 - 2 * QUEUE_S)
    host.turn(0, "eth0", 100, 100)
    assert math.isclose(endpoint.runtime.now, 1001.75 - 2 * QUEUE_S), "another switch is idle"


def test_a_pending_reply_is_discarded_before_the_next_call(host: Host, endpoint: Endpoint) -> None:
    sock = host.socket()
    (calls,) = sock._calls._idle
    channel = endpoint.runtime.channels[-1]
    channel._replies.append(Done(99))
    calls.reply_pending = True
    assert calls.call(SendMsg(0, b"abc", None, 0, (), None), Done) == Done(3)
    assert not calls.reply_pending
    assert channel._replies == []


@pytest.fixture
def runtime() -> Runtime:
    return MACHINE


def test_a_spawned_thread_runs_beside_and_is_joined(runtime: Runtime) -> None:
    go, done = threading.Event(), []

    def work() -> None:
        go.wait(PATIENCE_S)
        done.append(_thread.get_ident())

    thread = runtime.spawn(work, "test")
    thread.join(0.01)
    assert done == []
    go.set()
    thread.join(PATIENCE_S)
    thread.join()
    assert len(done) == 1
    assert done != [_thread.get_ident()]


def test_a_failure_in_a_thread_is_told_by_its_name(
    runtime: Runtime, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError("some reason")

    runtime.spawn(fail, "test-7").join(PATIENCE_S)
    err = capfd.readouterr().err
    assert "thread 'test-7' failed" in err
    assert "ValueError: some reason" in err


def test_a_condition_wakes_who_waits_for_it(runtime: Runtime) -> None:
    changed = runtime.condition()
    items: list[int] = []
    with changed:
        assert changed.wait_for(lambda: items, 0.01) == []

    def put() -> None:
        with changed:
            items.append(1)
            changed.notify_all()

    with changed:
        thread = runtime.spawn(put, "put")
        assert changed.wait_for(lambda: items, PATIENCE_S) == [1]
    thread.join(PATIENCE_S)


def test_a_lock_keeps_threads_apart(runtime: Runtime) -> None:
    lock, order = runtime.lock(), []

    def other() -> None:
        with lock:
            order.append("other")

    with lock:
        thread = runtime.spawn(other, "other")
        thread.join(0.02)
        order.append("first")
    thread.join(PATIENCE_S)
    assert order == ["first", "other"]


def test_the_clock_is_clock_monotonic_and_sleep_passes_it(runtime: Runtime) -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    start = runtime.monotonic()
    runtime.sleep(0.01)
    assert before <= start <= runtime.monotonic() - 0.01
    assert runtime.monotonic() <= time.clock_gettime(time.CLOCK_MONOTONIC)

"""TCP_INFO while a trial runs: what is sampled of both stacks, how often, and what is not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from nodes.client.runtime import MACHINE, Thread
from nodes.sock.sockopt import get_option
from tests.client.simulated import SimulatedRuntime
from tests.path.two_hosts import TwoHosts
from tests.workloads.experiment.test_ledger_series import StepRuntime
from tests.workloads.loopback import LoopbackHost
from tests.workloads.ring import Ring
from workloads.experiment.records import ExperimentConfig, Sample, Trial
from workloads.experiment.tcp_info import TcpInfoSample, TcpInfoSampler
from workloads.stream import StreamOptions
from workloads.transports.rails import Flow
from workloads.transports.tcp_info import TcpInfo, tcp_info

PERIOD_S = 0.02


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)


def measured(period_s: float | None) -> tuple[list[Sample], list[list[TcpInfoSample]]]:
    """A stream from rank 0 to rank 1 over Linux's own TCP, and what each rank has sampled."""
    own = StreamOptions(duration_s=0.4)
    asked = ExperimentConfig(
        "star", 2, "stream", (1 << 20,), ("kernel",), own, timeout_s=5.0, tcp_info_s=period_s
    )
    ranks = Ring(asked)
    ranks.connect(repetition=3)
    rows = ranks.run()
    sampled = ranks.each(lambda rank: rank.tcp_info())
    ranks.each(lambda rank: rank.close())
    return rows, sampled


def test_the_sending_connections_are_sampled_from_the_begin_to_the_end() -> None:
    rows, (sender, _) = measured(PERIOD_S)
    assert {(row.path, row.repetition, row.rank, row.peer, row.flow) for row in sender} == {
        ("kernel", 3, 0, 1, 0)
    }
    times = [row.time_s for row in sender]
    assert times == sorted(times)
    assert times[0] <= min(row.start_s for row in rows)
    assert times[-1] >= max(row.end_s for row in rows)
    sent = sum(row.payload_sent_bytes for row in rows)
    assert sender[-1].bytes_acked == pytest.approx(sent, rel=0.01)
    assert sender[0].bytes_acked < 100  # the greeting alone
    assert all(row.cwnd_segs > 0 and row.srtt_us for row in sender)


def test_nothing_is_sampled_that_was_not_asked_for() -> None:
    _, sampled = measured(None)
    assert sampled == [[], []]


class Stack:
    """A socket of this stack, as a client has one."""

    def __init__(self, sock: Any, now: float) -> None:
        self._sock, self._now = sock, now

    def getsockopt(self, level: int, option: int, length: int) -> bytes:
        return get_option(self._sock, level, option, length, self._now)


def test_both_stacks_are_read_alike() -> None:
    hosts = TwoHosts()
    client, server = hosts.connect(5000)
    hosts.b.send(server, b"x" * 50_000)
    hosts.run_until(lambda: getattr(server.connection, "bytes_acked", 0) == 50_000)
    assert server.connection is not None
    known, read = server.connection.info(hosts.now), tcp_info(Stack(server, hosts.now))
    assert read == TcpInfo(
        ca_state=0, snd_mss_bytes=1448, cwnd_segs=known.snd_cwnd, ssthresh_segs=None,
        srtt_us=known.rtt_us, rttvar_us=known.rttvar_us, rto_us=known.rto_us, unacked_segs=0, lost_segs=0,
        retrans_segs=0, total_retrans_segs=0, bytes_acked=read.bytes_acked,
    )  # fmt: skip
    assert read.cwnd_segs > 10
    assert read.bytes_acked >= 50_000
    with socket.socket() as fresh:
        unmeasured = tcp_info(fresh)
    assert (unmeasured.srtt_us, unmeasured.rttvar_us, unmeasured.ssthresh_segs) == (None, None, None)
    for sock in (client, server):
        sock.close(hosts.now)


class Connection:
    """What is asked of a connection, which has done nothing."""

    def getsockopt(self, _level: int, _option: int, length: int) -> bytes:
        return bytes(length)


class AtEnd:
    """A thread that does not come to run before it is waited for."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def join(self, timeout_s: float | None = None) -> None:  # noqa: ARG002
        self._function()


class BusyRuntime(SimulatedRuntime):
    """Of a machine whose cores are all taken."""

    def spawn(self, function: Callable[[], None], name: str) -> Thread:  # noqa: ARG002
        return AtEnd(function)


def sampler_in(runtime: SimulatedRuntime) -> TcpInfoSampler:
    """Of a connection, by the clock of `runtime`, which begins at 1000 s."""
    sent_by = [(Flow(1, 0), Connection())]
    return TcpInfoSampler(runtime, PERIOD_S, Trial("kernel", 8, 0), 0, sent_by, runtime.monotonic)


def test_a_sampler_samples_before_every_period_within_and_after_the_block() -> None:
    with sampler_in(StepRuntime(waits=3)) as sampler:
        while len(sampler.rows) < 4:
            pass
    assert [round(row.time_s - 1000.0, 6) for row in sampler.rows] == [0.0, 0.02, 0.04, 0.06, 0.06]


def test_a_thread_that_begins_late_costs_the_samples_within_alone() -> None:
    runtime = BusyRuntime(lambda _: None)
    with sampler_in(runtime) as sampler:
        runtime.now += 0.5
    assert [row.time_s for row in sampler.rows] == [1000.0, 1000.5]


def test_a_connection_that_is_gone_ends_the_sampling_and_nothing_else() -> None:
    sock = socket.socket()
    sock.close()
    trial = Trial("kernel", 8, 0)
    with TcpInfoSampler(MACHINE, PERIOD_S, trial, 0, [(Flow(1, 0), sock)], time.time) as sampler:
        pass
    assert sampler.rows == []


def test_a_row_has_all_that_is_read() -> None:
    names = TcpInfoSample.__struct_fields__
    assert names[names.index("time_s") + 1 :] == TcpInfo.__struct_fields__
    assert msgspec.structs.fields(TcpInfoSample)[0].name == "path"

"""Ranks of a host exchange over their accelerators' fabric: right bytes, in order, and nothing over PCIe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest

from nodes.client.runtime import MACHINE
from nodes.machine.accelerator import Operator
from nodes.machine.routes import totals
from tests.workloads.loopback import LoopbackHost
from tests.workloads.ring import Ring
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig, LocalRank, RankPlace, Sample
from workloads.machine import Machine
from workloads.registry import PATHS
from workloads.stream import StreamOptions
from workloads.transports.transport import Transport

SIZE = 1 << 20
PATHS_HERE = ("bounce", "kernel")


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)


def places(*hosts: int) -> list[RankPlace]:
    """Hosts with so many ranks each."""
    found: list[RankPlace] = []
    for number, count in enumerate(hosts, 1):
        local = tuple(LocalRank(len(found) + at, "lo") for at in range(count))
        found += [RankPlace(each.rank, f"h{number}", "nowhere", local=local) for each in local]
    return found


class Pair:
    """Two connected ranks of one host."""

    def __init__(self, stack: ExitStack, timeout_s: float = 5.0) -> None:
        config = ExperimentConfig(
            "star", 1, "all_reduce", (SIZE,), ("kernel",), CollectiveOptions(), timeout_s=timeout_s
        )
        self.machines = [
            stack.enter_context(closing(Machine(place, config, SIZE, MACHINE))) for place in places(2)
        ]
        self.transports: list[Transport[Any]] = [
            stack.enter_context(closing(Transport(each, PATHS["kernel"](each)))) for each in self.machines
        ]
        self.pool = stack.enter_context(ThreadPoolExecutor(2))
        at = [self.transports[rank].listen([1 - rank]) for rank in (0, 1)]
        self.each(lambda rank: self.transports[rank].connect({1 - rank: at[1 - rank][rank]}))

    def each(self, call: Callable[[int], Any]) -> list[Any]:
        return list(self.pool.map(call, (0, 1)))


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack)


def test_a_transfer_is_read_by_the_receiver_in_pieces_of_any_size(pair: Pair) -> None:
    data = np.random.default_rng(1).bytes(1000)
    pair.machines[0].data.view[5000:6000] = data
    ticket = pair.transports[0].send(1, 5000, 1000)
    pair.transports[1].receive_into(0, 7, 1)
    pair.transports[1].receive_into(0, 8, 0)
    pair.transports[1].receive_into(0, 8, 999)
    pair.transports[0].wait_reusable(ticket)
    assert bytes(pair.machines[1].data.view[7:1007]) == data


def test_several_transfers_are_one_stream_of_bytes(pair: Pair) -> None:
    view = pair.machines[0].data.view
    view[:6] = b"abcdef"
    for offset, length in ((4, 2), (0, 0), (0, 3)):
        pair.transports[0].send(1, offset, length)
    pair.transports[1].receive_into(0, 0, 5)
    assert bytes(pair.machines[1].data.view[:5]) == b"efabc"


def test_memory_is_reusable_when_it_has_been_read_and_not_before(pair: Pair) -> None:
    ticket = pair.transports[0].send(1, 0, 100)
    waiting = pair.pool.submit(pair.transports[0].wait_reusable, ticket)
    pair.transports[1].receive_into(0, 0, 99)
    assert not waiting.done()
    with pytest.raises(TimeoutError):
        waiting.result(0.1)
    pair.transports[1].receive_into(0, 99, 1)
    waiting.result(5.0)


def test_a_reduction_adds_what_the_peer_has_and_counts_the_fabric(pair: Pair) -> None:
    for number, machine in enumerate(pair.machines):
        machine.accelerator.fill(machine.data, 0, np.full(250, 10**number, np.float32))
    stats = pair.machines[1].host.stats()
    before = totals(pair.transports[1].counters(stats).moved)
    pair.transports[0].send(1, 0, 1000)
    pair.transports[1].receive_reduce(0, 0, 1000, 0, Operator(np.dtype(np.float32), np.add))
    assert set(np.frombuffer(pair.machines[1].data.view, np.float32, 250)) == {11.0}
    moved = totals(pair.transports[1].counters(stats).moved).minus(before)
    assert (moved.fabric_bytes, moved.device_read_bytes, moved.device_write_bytes) == (1000, 2000, 1000)
    passed = moved.pcie_switch_bytes, moved.pcie_root_bytes, moved.host_dram_read_bytes
    assert passed == (0, 0, 0)


def test_what_stays_in_the_host_is_not_staged(pair: Pair) -> None:
    pair.transports[0].send(1, 0, 300)
    pair.transports[1].receive_into(0, 0, 300)
    for transport in pair.transports:
        assert (transport.moved().staged, transport.moved().local) == (0, 300)


def test_a_peer_that_closes_is_told(pair: Pair) -> None:
    pair.each(lambda rank: pair.transports[rank].wait_reusable(pair.transports[rank].send(1 - rank, 0, 0)))
    pair.transports[1].close()
    with pytest.raises(ConnectionError, match="100 bytes still to come"):
        pair.transports[0].receive_into(1, 0, 100)
    with pytest.raises(ConnectionError):
        pair.transports[0].wait_reusable(pair.transports[0].send(1, 0, 100))


def test_a_peer_that_does_not_read_is_given_up() -> None:
    with ExitStack() as stack:
        silent = Pair(stack, timeout_s=0.3)
        ticket = silent.transports[0].send(1, 0, 100)
        with pytest.raises(TimeoutError):
            silent.transports[0].wait_reusable(ticket)


def ring(asked: ExperimentConfig, *hosts: int) -> list[Sample]:
    """The rows of the second of two trials."""
    ranks = Ring(asked, places=places(*hosts))
    for repetition in range(2):
        ranks.connect(repetition)
        rows = ranks.run()
        ranks.each(lambda rank: rank.disconnect())
        ranks.each(lambda rank: rank.restore())
    ranks.each(lambda rank: rank.close())
    return rows


@pytest.mark.parametrize("path", PATHS_HERE)
@pytest.mark.parametrize("hosts", [(3,), (2, 2), (4, 1), (1, 3, 2)])
def test_every_value_of_an_all_reduce_is_right_wherever_the_ranks_are(
    path: str, hosts: tuple[int, ...]
) -> None:
    nranks, size = sum(hosts), 4 * 10_007
    options = CollectiveOptions(warmup=0, iterations=2)
    asked = ExperimentConfig("star", len(hosts), "all_reduce", (size,), (path,), options, ranks=nranks)
    rows = ring(asked, *hosts)
    assert {(row.wrong_elements, row.nranks) for row in rows} == {(0, nranks)}
    of_host = {row.rank: row.host for row in rows}
    for row in rows:
        before, after = (of_host[(row.rank + step) % nranks] for step in (-1, 1))
        sent = row.payload_sent_bytes if after == row.host else 0
        received = row.payload_received_bytes if before == row.host else 0
        assert row.payload_local_bytes == sent + received
        assert row.fabric_bytes == received
        total = row.payload_sent_bytes + row.payload_received_bytes
        assert row.payload_staged_bytes == total - sent - received


@pytest.mark.parametrize("bidir", [False, True])
def test_a_stream_between_ranks_of_a_host_is_right_and_ends(bidir: bool) -> None:
    own = StreamOptions(duration_s=0.2, bidir=bidir)
    asked = ExperimentConfig("star", 1, "stream", (100_001,), ("kernel",), own, ranks=2)
    sender, receiver = ring(asked, 2)
    assert sender.wrong_elements == receiver.wrong_elements == 0
    assert sender.payload_sent_bytes == receiver.payload_received_bytes == receiver.fabric_bytes > 0
    assert (sender.fabric_bytes > 0) == bidir
    assert receiver.payload_staged_bytes == 0

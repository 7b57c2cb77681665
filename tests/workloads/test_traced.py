"""Patterns over whole stacks and a fake wire: every message compared, bytes as in closed form, several
connections to a peer and several NICs a host."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.workloads.ring import Ring
from tests.workloads.switched import SwitchedHosts, switched
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig, Sample
from workloads.options import MEMORIES, Memory, WorkloadOptions
from workloads.pattern import PATTERNS
from workloads.registry import WORKLOADS
from workloads.trace.node import Collective
from workloads.trace.volume import moved
from workloads.traced import MESSAGES
from workloads.transports.transport import Transport

SIZE = 200_003
SMALL_STEP: dict[str, Any] = {"layers": 1, "tokens": 32, "tflops": 100.0}
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("data_parallel", "fsdp", "tensor_parallel", "pipeline", "moe"), SMALL_STEP),
    "ingest": {"compute_ms": 1.0}, "parameter_server": {"compute_ms": 1.0}, "rpc": {"calls": 20},
    "checkpoint": {"chunk_bytes": 70_000}, "block_storage": {"ios": 20, "rwmixread": 50},
}  # fmt: skip


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwitchedHosts]:
    with switched(tmp_path_factory.mktemp("three"), 3) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def rails(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwitchedHosts]:
    """Two hosts with two NICs and two accelerators each: four ranks."""
    with switched(tmp_path_factory.mktemp("rails"), 2, nics=2) as hosts:
        yield hosts


def asked(name: str, nranks: int, path: str = "devmem", **more: Any) -> ExperimentConfig:
    kind = WORKLOADS[name]
    own = {"iterations": 2, "warmup": 0, **OWN.get(name, {}), **more}
    size = 0 if kind.default_sizes == "0" else SIZE // 4 * 4
    options: WorkloadOptions = kind.options(**own)
    hosts = (0, 0, 1, 1) if nranks == 4 else ()
    config = ExperimentConfig(
        "star", nranks, name, (size,), (path,), options, timeout_s=20.0, ranks=nranks, hosts_of_ranks=hosts
    )
    kind.check(config)
    return config


class Run:
    """One trial; `flows`: payload that each rank sent by each connection."""

    def __init__(
        self, hosts: SwitchedHosts, config: ExperimentConfig, right: bool = True, ranks: int | None = None
    ) -> None:
        ring = Ring(config, places=hosts.places(ranks))
        try:
            ring.connect()
            self.rows: list[Sample] = ring.run()
            self.flows = [dict(rank._current().transport._sent) for rank in ring.ranks]
            ring.each(lambda rank: rank.disconnect())
            ring.each(lambda rank: rank.restore())
        finally:
            ring.each(lambda rank: rank.close())
        assert ({row.wrong_elements for row in self.rows} == {0}) == right

    def sent(self, rank: int) -> list[int]:
        return [row.payload_sent_bytes for row in self.rows if row.rank == rank]

    def received(self, rank: int) -> list[int]:
        return [row.payload_received_bytes for row in self.rows if row.rank == rank]


@pytest.mark.parametrize("name", [each.name for each in PATTERNS])
def test_every_byte_of_every_pattern_is_right_over_two_connections(three: SwitchedHosts, name: str) -> None:
    run = Run(three, asked(name, 3, flows=2))
    assert sum(row.payload_staged_bytes for row in run.rows) == 0
    checked = sum(row.checked_bytes for row in run.rows)
    if not any(isinstance(node, Collective) for trace in _traces(name) for node in trace.nodes):
        assert checked == sum(row.payload_received_bytes for row in run.rows), "every message"
    assert checked > 0
    for flows in run.flows:
        peers = {flow.peer for flow in flows}
        used = {flow.number for flow in flows if flows[flow]}
        assert not peers or {0, 1} <= used or {2, 3} <= used, flows


def _traces(name: str) -> Any:
    write = WORKLOADS[name].traces
    assert write is not None
    return write(asked(name, 3), 0 if WORKLOADS[name].default_sizes == "0" else SIZE)


def test_experts_send_and_receive_the_bytes_of_their_routing(three: SwitchedHosts) -> None:
    run, traces = Run(three, asked("moe", 3, layers=2)), _traces_of_experts()
    for rank, trace in enumerate(traces):
        both = [moved(node, 3, rank) for node in trace.nodes if isinstance(node, Collective)]
        expected = sum(each.sent for each in both)
        assert run.sent(rank) == run.received(rank) == [expected] * 2
    assert len({run.sent(rank)[0] for rank in range(3)}) == 3, "skewed"


def _traces_of_experts() -> Any:
    write = WORKLOADS["moe"].traces
    assert write is not None
    return write(asked("moe", 3, layers=2), 0)


def test_a_long_message_takes_all_connections_to_its_peer(three: SwitchedHosts) -> None:
    (root, *others) = Run(three, asked("incast", 3, flows=3, messages=1)).flows
    assert not root
    for flows in others:
        pieces = {flow.number: size for flow, size in flows.items()}
        assert set(pieces) == {3 * MESSAGES, 3 * MESSAGES + 1, 3 * MESSAGES + 2}
        assert sum(pieces.values()) == 2 * (SIZE // 4 * 4)
        assert max(pieces.values()) - min(pieces.values()) <= 4


def test_a_message_that_never_came_is_wrong_though_one_like_it_came_before(
    three: SwitchedHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the second message from each peer the memory holds the first one, as if it had been lost."""
    honest, seen = Transport.receive_into, Counter[int]()

    def receive_into(self: Transport[Any], peer: int, offset: int, length: int, channel: int = 0) -> None:
        place = self._machine.data.view[offset : offset + length]
        before = bytes(place)
        honest(self, peer, offset, length, channel)
        seen[peer] += 1
        if seen[peer] == 2:
            place[:] = before

    monkeypatch.setattr(Transport, "receive_into", receive_into)
    rows = Run(three, asked("incast", 3, iterations=1, messages=3), right=False).rows
    root, *others = [row.wrong_elements or 0 for row in rows]
    assert others == [0, 0]
    assert 0.9 * 2 * SIZE < root <= 2 * SIZE


BETWEEN_PEERS: dict[str, dict[str, Any]] = {
    "all_reduce": {"algorithm": "hierarchical"}, "all_to_allv": {}, "moe": {}, "ingest": {"steps": 3},
}  # fmt: skip


@pytest.mark.parametrize("path", ["devmem", "bounce"])
@pytest.mark.parametrize("name", BETWEEN_PEERS)
def test_ranks_of_hosts_with_several_nics_use_all_of_them(rails: SwitchedHosts, name: str, path: str) -> None:
    """Each rank has peers on both hosts and both networks."""
    before = [host.frames_sent() for host in rails.hosts]
    run = Run(rails, asked(name, 4, path, flows=2, iterations=1, **BETWEEN_PEERS[name]))
    after = [host.frames_sent() for host in rails.hosts]
    assert {row.nic for row in run.rows} == {"eth0", "eth1"}
    assert sum(row.payload_sent_bytes - row.payload_received_bytes for row in run.rows) == 0
    for host, (was, now) in enumerate(zip(before, after, strict=True)):
        assert all(each > 5 for each in map(int.__sub__, now, was)), f"host {host}: {was} {now}"


ONE_RANK: dict[str, dict[str, Any]] = {
    "all_reduce": {"place": "in", "chunk_bytes": 10_000}, "pairwise": {},
}  # fmt: skip


@pytest.mark.parametrize("path", ["devmem", "bounce"])
@pytest.mark.parametrize("name", ONE_RANK)
def test_one_rank_takes_all_nics_of_its_host(rails: SwitchedHosts, name: str, path: str) -> None:
    before = [host.frames_sent() for host in rails.hosts]
    run = Run(rails, asked(name, 2, path, flows=2, iterations=1, **ONE_RANK[name]), ranks=1)
    after = [host.frames_sent() for host in rails.hosts]
    assert {row.nic for row in run.rows} == {"eth0"}
    for row, flows in zip(run.rows, run.flows, strict=True):
        far = sum(size for flow, size in flows.items() if flow.number % 2)
        assert 0.4 * row.payload_sent_bytes < far < 0.6 * row.payload_sent_bytes
        assert row.payload_far_bytes == (2 * far if path == "devmem" else 0)
        headers = 66 * ((row.rx_packets or 0) + (row.tx_packets or 0))
        beyond = row.pcie_root_bytes - headers - (2 * row.payload_staged_bytes + row.payload_far_bytes)
        assert -1000 < beyond <= 0, "packets without options, or of ARP, are shorter"
    for was, now in zip(before, after, strict=True):
        assert all(each > 5 for each in map(int.__sub__, now, was)), f"{was} {now}"


@pytest.mark.parametrize("path", ["devmem", "bounce"])
@pytest.mark.parametrize("memories", [*itertools.product(MEMORIES, MEMORIES)], ids=str)
def test_blocks_come_from_and_go_to_the_memory_that_was_asked_for(
    three: SwitchedHosts, memories: tuple[Memory, Memory], path: str
) -> None:
    """Two initiators and a target, half of it writes. Requests and completions count likewise."""
    own = {"initiator_memory": memories[0], "target_memory": memories[1], "iterations": 1}
    run = Run(three, asked("block_storage", 3, path, **own))
    for row, memory in zip(run.rows, (memories[0], memories[0], memories[1]), strict=True):
        sent, received = row.payload_sent_bytes, row.payload_received_bytes
        assert min(sent, received) > 4 * SIZE
        if path == "bounce":
            expected = (0, 0) if memory == "ssd" else (sent, received)
        else:
            # The NIC reads and writes it. An accelerator gathers what has come; an SSD brings what goes from
            # its media, and puts what has come there.
            expected = sent + received, received + (sent if memory == "ssd" else received)
        dram = row.host_dram_read_bytes + row.host_dram_write_bytes - row.header_host_dram_bytes
        moved = row.device_read_bytes, row.device_write_bytes, dram
        once = *expected, 4 * (sent + received) if path == "bounce" else 0
        # On a busy machine a tail loss probe may send a segment again, which is then read once more.
        again = [now - each for now, each in zip(moved, once, strict=True)]
        assert again == [0, 0, 0] or (row.tcp_retrans_segs and 0 <= min(again) <= max(again) < SIZE), row.rank


def test_a_collective_takes_its_connections_in_turns(three: SwitchedHosts) -> None:
    own = CollectiveOptions(iterations=1, warmup=0, flows=3, chunk_bytes=10_000, place="in")
    config = ExperimentConfig("star", 3, "all_reduce", (300_000,), ("devmem",), own, timeout_s=20.0)
    for flows in Run(three, config).flows:
        assert len(flows) == 3
        assert max(flows.values()) - min(flows.values()) <= 2 * 10_000

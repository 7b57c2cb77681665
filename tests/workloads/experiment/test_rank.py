"""Ranks in threads over loopback: results, rows, and what a lost neighbour leads to."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest

from nodes.client.runtime import MachineRuntime
from nodes.machine.accelerator import Accelerator, Array, Slot
from nodes.machine.buses import MEMORY, Buses
from nodes.machine.ceilings import Bus
from nodes.machine.memory import Region
from tests.workloads.loopback import LoopbackHost
from tests.workloads.ring import Ring
from workloads.collective import CollectiveOptions
from workloads.element_types import ELEMENT_TYPES, REDUCTIONS
from workloads.experiment.rank import Rank
from workloads.experiment.records import ExperimentConfig, RankFailure, RankPlace, Sample, Trial
from workloads.experiment.rendezvous import rendezvous
from workloads.pattern import PATTERNS
from workloads.registry import WORKLOADS
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.contract import CONTRACTS
from workloads.stream import StreamOptions
from workloads.stream_check import WHOLE_BYTES

STAGED = ("bounce", "kernel")
T = TypeVar("T")


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)


TWICE = CollectiveOptions(iterations=2)
SHORT = StreamOptions(duration_s=0.2)


def config(path: str, size: int, hosts: int = 2, workload: str = "all_reduce") -> ExperimentConfig:
    own = SHORT if workload == "stream" else TWICE
    return ExperimentConfig("star", hosts, workload, (size,), (path,), own, timeout_s=5.0)


def ring(asked: ExperimentConfig) -> list[Sample]:
    """Two trials; the rows of the second."""
    ranks = Ring(asked)
    for repetition in range(2):
        ranks.connect(repetition)
        rows = ranks.run()
        ranks.each(lambda rank: rank.disconnect())
    ranks.each(lambda rank: rank.close())
    return rows


@pytest.mark.parametrize("path", STAGED)
@pytest.mark.parametrize(("hosts", "size"), [(2, 4), (2, 1 << 20), (3, 8), (3, 4 * 100_003), (5, 5 << 20)])
def test_every_value_of_an_all_reduce_is_right(path: str, hosts: int, size: int) -> None:
    rows = ring(config(path, size, hosts))
    assert len(rows) == hosts * 6
    assert [row.warmup for row in rows[:6]] == [1, 0, 0] * 2
    assert [row.in_place for row in rows[:6]] == [0, 0, 0, 1, 1, 1]
    assert {row.wrong_elements for row in rows} == {0}
    assert {row.checked_bytes for row in rows} == {size}
    assert {row.nranks for row in rows} == {hosts}
    moved = sum(row.payload_sent_bytes for row in rows if row.iteration == 0)
    assert moved == 2 * (hosts - 1) * size


COLLECTIVES = [(name, each) for name, algorithms in ALGORITHMS.items() for each in algorithms]


@pytest.mark.parametrize(("workload", "algorithm"), COLLECTIVES)
@pytest.mark.parametrize("hosts", [2, 3, 4])
def test_every_value_of_every_collective_is_right(workload: str, algorithm: str, hosts: int) -> None:
    """In pieces, over two flows, with sizes that no number of ranks divides."""
    root = hosts - 1 if CONTRACTS[workload].rooted else 0
    own = CollectiveOptions(
        iterations=1, warmup=0, algorithm=algorithm, root=root, chunk_bytes=20_000, flows=2
    )
    rows = ring(ExperimentConfig("star", hosts, workload, (4 * 50_021,), ("bounce",), own, timeout_s=5.0))
    assert {row.wrong_elements for row in rows} == {0}
    assert len(rows) == hosts * (2 if CONTRACTS[workload].in_place else 1)
    checked = sum(row.checked_bytes for row in rows)
    assert (checked > 0) == (workload != "barrier")
    assert sum(row.payload_sent_bytes - row.payload_received_bytes for row in rows) == 0


SMALL_STEP: dict[str, Any] = {"layers": 1, "tokens": 8, "tflops": 100.0}
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("data_parallel", "fsdp", "tensor_parallel", "pipeline", "moe"), SMALL_STEP),
    "ingest": {"compute_ms": 1.0}, "parameter_server": {"compute_ms": 1.0}, "rpc": {"calls": 20},
    "pairwise": {"messages": 5, "window": 2},
    "checkpoint": {"chunk_bytes": 30_000}, "block_storage": {"ios": 20, "rwmixread": 50},
}  # fmt: skip


@pytest.mark.parametrize("workload", [each.name for each in PATTERNS])
def test_every_byte_of_every_pattern_is_right(workload: str) -> None:
    kind = WORKLOADS[workload]
    own = kind.options(iterations=1, warmup=1, **OWN.get(workload, {}))
    size = 0 if kind.default_sizes == "0" else 100_001
    asked = ExperimentConfig("star", 3, workload, (size,), ("bounce",), own, timeout_s=5.0)
    kind.check(asked)
    rows = ring(asked)
    assert len(rows) == 3 * 2
    assert {row.wrong_elements for row in rows} == {0}
    assert sum(row.checked_bytes for row in rows) > 0
    sent, received = (
        sum(getattr(row, f"payload_{way}_bytes") for row in rows) for way in ("sent", "received")
    )
    assert sent == received > 0
    operations = {row.operations for row in rows} - {None}
    assert operations == {"rpc": {20}, "block_storage": {20}}.get(workload, set())
    for row in rows:
        assert row.size_bytes == size or not size
        if row.operations:
            assert row.latency_p50_us is not None
            assert row.latency_p99_us is not None
            assert 0 < row.latency_p50_us <= row.latency_p99_us < row.time_s * 1e6


def warmed(**own: Any) -> list[Sample]:
    options = CollectiveOptions(iterations=2, **own)
    return ring(ExperimentConfig("star", 3, "all_reduce", (4096,), ("kernel",), options, timeout_s=5.0))


def test_warm_up_lasts_for_its_time_and_ends_on_all_ranks_at_once() -> None:
    rows = warmed(warmup_time_s=0.4)
    marks = [[(row.warmup, row.in_place) for row in rows if row.rank == rank] for rank in range(3)]
    assert marks[0] == marks[1] == marks[2]
    assert [row.iteration for row in rows if row.rank == 1] == list(range(len(marks[1])))
    groups = [(mark, len([*group])) for mark, group in itertools.groupby(marks[0])]
    assert [mark for mark, _ in groups] == [(1, 0), (0, 0), (1, 1), (0, 1)]
    assert groups[1][1] == groups[3][1] == 2, "as many are measured as without it"
    for place in (0, 1):
        warm = [row for row in rows if row.warmup and row.in_place == place and row.rank == 0]
        assert len(warm) > 1
        assert warm[-1].end_s - warm[0].start_s > 0.15
        assert warm[-2].end_s - warm[0].start_s < 0.4, "no iteration begins when the time is over"


class SlowRuntime(MachineRuntime):
    """Its clock goes at a hundredth of the speed."""

    def monotonic(self) -> float:
        return super().monotonic() / 100


def test_warm_up_ends_by_the_clock_of_rank_0_whatever_others_say(monkeypatch: pytest.MonkeyPatch) -> None:
    own = CollectiveOptions(iterations=1, warmup_time_s=0.1, place="out")
    ranks = Ring(ExperimentConfig("star", 2, "all_reduce", (4096,), ("kernel",), own, timeout_s=5.0))
    ranks.connect()
    monkeypatch.setattr(ranks.ranks[1]._machine, "runtime", SlowRuntime())
    warm = [row for row in ranks.run() if row.warmup and row.rank == 0]
    ranks.each(lambda rank: rank.close())
    assert all(row.end_s - warm[0].start_s < 0.1 for row in warm[:-1])


def test_warm_up_has_its_iterations_also_where_its_time_is_shorter() -> None:
    rows = [row for row in warmed(warmup=3, warmup_time_s=1e-6) if row.rank == 0]
    assert [row.warmup for row in rows] == [1, 1, 1, 0, 0] * 2
    rows = [row for row in warmed(warmup=0, warmup_time_s=1e-6) if row.rank == 0]
    assert [row.warmup for row in rows] == [1, 0, 0] * 2
    assert sum(row.warmup for row in warmed(warmup=0)) == 0


def test_a_computation_takes_its_time_and_what_does_not_depend_on_it_overlaps() -> None:
    own = WORKLOADS["parameter_server"].options(iterations=1, warmup=0, steps=2, compute_ms=50.0)
    asked = ExperimentConfig("star", 2, "parameter_server", (4096,), ("bounce",), own, timeout_s=5.0)
    server, worker = ring(asked)
    assert server.compute_s is None
    assert worker.compute_s is not None
    assert 0.1 <= worker.compute_s <= worker.time_s
    assert server.overlapped_s is None
    assert worker.overlapped_s is not None
    assert 0 < worker.overlapped_s <= worker.compute_s


def test_a_trainer_tells_setup_and_stalls_and_a_storage_host_does_not() -> None:
    """The storage host takes 50 ms to find a batch, and a step 10 ms: every step stalls."""
    own = WORKLOADS["ingest"].options(iterations=1, warmup=0, steps=3, compute_ms=10.0, storage_us=50_000.0)
    asked = ExperimentConfig("star", 2, "ingest", (4096,), ("bounce",), own, timeout_s=5.0)
    trainer, storage = ring(asked)
    assert storage.setup_s is storage.stalled_s is None
    assert trainer.setup_s is not None
    assert trainer.stalled_s is not None
    assert trainer.compute_s is not None
    assert trainer.setup_s >= 0.05
    assert 0 < trainer.stalled_s <= trainer.time_s - trainer.setup_s - trainer.compute_s


def test_system_time_is_a_part_of_a_ranks_cpu_time_and_kernel_has_no_tokens() -> None:
    rows = ring(config("kernel", 16 << 20))
    assert sum(row.app_system_cpu_s for row in rows) > 0
    for row in rows:
        assert row.app_system_cpu_s <= row.app_cpu_s
        assert row.machine_softirq_s >= 0
        assert row.token_return_p50_us is row.token_return_max_us is row.rx_pool_peak_share is None
        assert row.rx_hw_drops is row.rx_hw_drop_overruns is None


def test_every_wrong_message_of_a_pattern_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Accelerator.copy_to_host

    def copy_to_host(self: Accelerator, source: Region, offset: int, destination: memoryview) -> None:
        honest(self, source, offset, destination)
        if len(destination) == 5000:
            destination[77] ^= 1

    monkeypatch.setattr(Accelerator, "copy_to_host", copy_to_host)
    own = WORKLOADS["incast"].options(iterations=1, warmup=0)
    rows = ring(ExperimentConfig("star", 3, "incast", (5000,), ("bounce",), own, timeout_s=5.0))
    assert [row.wrong_elements for row in rows] == [2 * 4, 0, 0]
    assert [row.checked_bytes for row in rows] == [2 * 4 * 5000, 0, 0]


@pytest.mark.parametrize("dtype", ELEMENT_TYPES)
@pytest.mark.parametrize("redop", REDUCTIONS)
def test_every_reduction_of_every_type_is_exact(dtype: str, redop: str) -> None:
    own = CollectiveOptions(iterations=1, warmup=0, dtype=dtype, redop=redop)
    rows = ring(ExperimentConfig("star", 3, "all_reduce", (4 * 5_003,), ("bounce",), own, timeout_s=5.0))
    assert {(row.wrong_elements, row.redop) for row in rows} == {(0, redop)}
    assert {row.count_elements for row in rows} == {rows[0].size_bytes // ELEMENT_TYPES[dtype].bytes}


def test_nothing_is_compared_where_that_is_not_wanted() -> None:
    own = CollectiveOptions(iterations=1, warmup=0, no_check=True)
    rows = ring(ExperimentConfig("star", 2, "all_reduce", (4096,), ("bounce",), own, timeout_s=5.0))
    assert {(row.wrong_elements, row.checked_bytes) for row in rows} == {(None, 0)}


@pytest.mark.parametrize("size", [0, 4])
def test_no_element_and_one_element_are_arrays(size: int) -> None:
    rows = ring(config("kernel", size, 3))
    assert {row.wrong_elements for row in rows} == {0}
    assert {row.count_elements for row in rows} == {size // 4}


@pytest.mark.parametrize("path", STAGED)
@pytest.mark.parametrize("bidir", [False, True])
def test_a_stream_reports_what_arrived(path: str, bidir: bool) -> None:
    own = StreamOptions(duration_s=0.2, bidir=bidir)
    asked = ExperimentConfig("star", 3, "stream", (100_001,), (path,), own)
    sender, receiver = ring(asked)
    assert sender.wrong_elements == receiver.wrong_elements == 0
    assert sender.payload_sent_bytes == receiver.payload_received_bytes == receiver.size_bytes > 0
    assert (sender.payload_received_bytes > 0) == (receiver.payload_sent_bytes > 0) == bidir
    assert receiver.time_s > 0.1
    assert receiver.checked_bytes >= min(receiver.payload_received_bytes, WHOLE_BYTES)
    assert (sender.checked_bytes > 0) == bidir
    assert (sender.type, sender.redop, sender.root) == ("byte", "none", "none")


def test_the_kernel_path_has_four_accesses_a_byte_three_derived_and_headers() -> None:
    for row in ring(config("kernel", 1 << 20, 2)):
        payload = row.payload_sent_bytes + row.payload_received_bytes
        total = row.host_dram_read_bytes + row.host_dram_write_bytes
        headers = row.header_host_dram_bytes
        assert row.payload_staged_bytes == payload
        assert total == 4 * payload + headers
        assert row.host_dram_derived_bytes == 3 * payload + headers
        assert row.rx_packets is None
        assert row.tx_wire_packets is not None
        assert row.rx_wire_packets is not None
        on_wire = row.tx_wire_packets + row.rx_wire_packets
        assert row.header_host_dram_uncoalesced_bytes == 2 * 66 * on_wire
        # 512 KiB each way and step, in super-packets of 65,160 bytes, and bare acknowledgements.
        assert headers >= 2 * 66 * 2 * 2 * 9


def test_the_kernel_path_has_no_more_headers_as_moved_than_packets() -> None:
    """Linux puts several short messages into a packet."""
    for row in ring(config("kernel", 8, workload="stream")):
        assert 0 < row.header_host_dram_bytes <= row.header_host_dram_uncoalesced_bytes


def test_the_application_of_a_staged_path_copies_each_byte_once() -> None:
    for row in ring(config("bounce", 1 << 20, 2)):
        payload = row.payload_sent_bytes + row.payload_received_bytes
        assert row.host_dram_read_bytes + row.host_dram_write_bytes == payload
        assert row.host_dram_derived_bytes == 0


def test_a_memory_ceiling_holds_the_kernel_path_up(monkeypatch: pytest.MonkeyPatch) -> None:
    buses = Buses({MEMORY: Bus.create(40e6)})
    monkeypatch.setattr(LoopbackHost, "buses", buses)
    rows = ring(config("kernel", 1 << 20, 2))
    # Both hosts share the bus here: 2 ranks x (1 + 1) MiB x 4 accesses at 40 MB/s.
    assert min(row.time_s for row in rows) > 0.5 * 2 * 2 * (1 << 20) * 4 / 40e6


@pytest.mark.parametrize("path", STAGED)
def test_a_staged_byte_goes_up_and_down_the_pcie_switch_of_its_ranks_nic(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, int]] = []
    monkeypatch.setattr(LoopbackHost, "turn", lambda _host, _dram, *counts: asked.append(counts))
    payload = sum(row.payload_sent_bytes + row.payload_received_bytes for row in ring(config(path, 1 << 20)))
    assert {nic for nic, _, _ in asked} == {"lo"}
    # In two trials. The NIC's half of path bounce is the endpoint's, which is not here.
    expected = 2 * payload if path == "kernel" else payload
    for moved in (sum(up for _, up, _ in asked), sum(down for _, _, down in asked)):
        assert expected <= moved < 1.01 * expected


def test_a_rank_whose_accelerator_is_too_small_says_so() -> None:
    place = RankPlace(3, "h2", "nowhere", Slot("gpu3", "h2-eth1", 1 << 20))
    with pytest.raises(RankFailure, match=r"rank 3 on host h2, failed while .*gpu3 has 1048576 bytes of"):
        Rank(place, config("bounce", 1 << 20))


def test_a_wrong_value_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Accelerator.generate

    def generate(
        self: Accelerator, memory: Region, offset: int, size: int, values: Callable[[], Array]
    ) -> None:
        computed = values()
        computed[7] += np.float32(1)
        honest(self, memory, offset, size, lambda: computed)

    monkeypatch.setattr(Accelerator, "generate", generate)
    assert {row.wrong_elements for row in ring(config("bounce", 4096))} == {1}


@pytest.mark.parametrize("path", STAGED)
def test_a_wrong_byte_in_the_middle_of_a_stream_is_counted(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, chunks = Accelerator.copy_to_host, itertools.count()

    def copy_to_host(self: Accelerator, source: Region, offset: int, destination: memoryview) -> None:
        honest(self, source, offset, destination)
        if next(chunks) == 5:
            destination[100] ^= 1

    monkeypatch.setattr(Accelerator, "copy_to_host", copy_to_host)
    ranks = Ring(config(path, 100_001, workload="stream"))
    ranks.connect()
    _, receiver = ranks.run()
    ranks.each(lambda rank: rank.close())
    assert next(chunks) > 12  # it was neither in the first message nor in the last
    assert receiver.wrong_elements == 1


def test_a_neighbour_that_goes_away_is_reported_in_one_sentence() -> None:
    ranks = Ring(config("kernel", 4096))
    ranks.connect()
    ranks.ranks[1].disconnect()
    with pytest.raises(
        RankFailure, match=r"^rank 0 on host h1, path kernel, failed while .*(closed|reset|[Bb]roken)"
    ):
        ranks.ranks[0].run()


def test_a_neighbour_that_says_nothing_is_given_up_after_the_timeout() -> None:
    asked = ExperimentConfig("star", 2, "all_reduce", (4096,), ("kernel",), TWICE, timeout_s=1.5)
    ranks = Ring(asked)
    ranks.connect()
    with pytest.raises(
        RankFailure,
        match=r"waiting for all ranks before iteration 0.*nothing has moved for 1.5 s; --timeout",
    ):
        ranks.ranks[0].run()
    ranks.each(lambda rank: rank.close())


def test_a_peer_that_does_not_listen_is_reported_in_one_sentence() -> None:
    ranks = Ring(config("kernel", 4096))
    peers = rendezvous([rank.listen(Trial("kernel", 4096, 0)) for rank in ranks.ranks])
    ranks.ranks[1].disconnect()
    with pytest.raises(
        RankFailure, match=r"rank 0 on host h1, path kernel, failed while connecting to rank 1: .*refused"
    ):
        ranks.ranks[0].connect(peers[0])
    ranks.each(lambda rank: rank.close())

"""Collectives and patterns over real endpoints: right values, nothing staged, all bytes accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.network import Network
from tests.workloads.ring import Ring
from topologies.mininet.fabric import Fabric
from topologies.shapes import registry
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig, Sample
from workloads.pattern import PATTERNS
from workloads.registry import WORKLOADS
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.contract import CONTRACTS

pytestmark = [pytest.mark.system, pytest.mark.timeout(120), pytest.mark.xdist_group("one network")]

HOSTS = 3


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    directory = tmp_path_factory.mktemp("run")
    with Fabric(registry.build("star", HOSTS), directory) as fabric:
        network = Network(fabric, directory, {})
        for host in fabric.topology.hosts:
            network.start(host.name)
        for host in fabric.topology.hosts:
            network.host(host.name).close()  # it is ready
        yield network


def rows_of(network: Network, asked: ExperimentConfig) -> list[Sample]:
    WORKLOADS[asked.workload].check(asked)
    ranks = Ring(asked, network.channel)
    try:
        ranks.connect()
        rows = ranks.run()
        ranks.each(lambda rank: rank.disconnect())
        ranks.each(lambda rank: rank.restore())
    finally:
        ranks.each(lambda rank: rank.close())
    return rows


def assert_accounted(rows: list[Sample], path: str) -> None:
    assert {row.wrong_elements for row in rows} == {0}
    sent = sum(row.payload_sent_bytes for row in rows)
    assert sent == sum(row.payload_received_bytes for row in rows) > 0
    staged = sum(row.payload_staged_bytes for row in rows)
    assert staged == (0 if path == "devmem" else 2 * sent)
    dram = sum(row.host_dram_read_bytes + row.host_dram_write_bytes for row in rows)
    headers = sum(row.header_host_dram_bytes for row in rows)
    # Four accesses a staged byte sent, four received; a retransmission may read some again.
    assert dram - headers >= 4 * staged
    assert dram - headers <= 4 * staged + staged // 2


COLLECTIVES = [(name, each) for name, algorithms in ALGORITHMS.items() for each in algorithms]
TYPES = ("float32", "bfloat16", "float16", "int32")
REDOPS = ("sum", "avg", "max", "prod", "min")


@pytest.mark.parametrize("number", range(len(COLLECTIVES)))
def test_every_collective_is_right_from_dma_buf_to_dma_buf(three: Network, number: int) -> None:
    """Each with another type, reduction, root and number of flows; pieces that end anywhere."""
    name, algorithm = COLLECTIVES[number]
    contract = CONTRACTS[name]
    own = CollectiveOptions(
        iterations=1,
        warmup=0,
        algorithm=algorithm,
        dtype=TYPES[number % 4],
        redop=REDOPS[number % 5] if contract.reduces else "sum",
        root=number % HOSTS if contract.rooted else 0,
        flows=1 + number % 2,
        chunk_bytes=60_000,
    )
    asked = ExperimentConfig("star", HOSTS, name, (4 * 100_003,), ("devmem",), own, timeout_s=20.0)
    assert_accounted(rows_of(three, asked), "devmem")


SMALL: dict[str, dict[str, Any]] = {
    **{
        name: {"layers": 1, "tokens": 64, "tflops": 10.0}
        for name in ("data_parallel", "fsdp", "tensor_parallel", "pipeline", "moe")
    },
    "ingest": {"compute_ms": 1.0}, "parameter_server": {"compute_ms": 1.0}, "rpc": {"calls": 20},
    "block_storage": {"ios": 20, "rwmixread": 50}, "checkpoint": {"chunk_bytes": 100_000},
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(PATTERNS)))
def test_every_pattern_is_right_from_dma_buf_to_dma_buf(three: Network, number: int) -> None:
    """Every second one over several connections to a peer."""
    kind, name = PATTERNS[number], PATTERNS[number].name
    own = kind.options(iterations=1, warmup=0, flows=1 + number % 2, **SMALL.get(name, {}))
    size = 0 if kind.default_sizes == "0" else 200_003
    asked = ExperimentConfig("star", HOSTS, name, (size,), ("devmem",), own, timeout_s=20.0)
    assert_accounted(rows_of(three, asked), "devmem")


@pytest.mark.parametrize("path", ["bounce", "kernel"])
def test_messages_and_collectives_share_a_staged_path_without_mixing(three: Network, path: str) -> None:
    kind = WORKLOADS["fsdp"]
    own = kind.options(iterations=2, warmup=0, **SMALL["fsdp"])
    asked = ExperimentConfig("star", HOSTS, "fsdp", (0,), (path,), own, timeout_s=20.0)
    assert_accounted(rows_of(three, asked), path)

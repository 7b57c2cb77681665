"""Clients and servers end with any number of ranks, move the bytes they should, and wait as they should."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from workloads.patterns import serving, traffic
from workloads.patterns.serving import (
    ANSWER_BYTES,
    REQUEST_BYTES,
    BlockStorageOptions,
    CheckpointOptions,
    IngestOptions,
    ParameterServerOptions,
)
from workloads.patterns.traffic import CallsOptions, MessagesOptions
from workloads.trace.dry_run import Model, Outcome, dry_run
from workloads.trace.node import ReceiveFrom, SendTo, Trace

SIZE = 100_000
LINE = Model(1e-4, 1e-8)
PATTERNS: dict[str, tuple[Any, Any]] = {
    "parameter_server": (serving.parameter_server, ParameterServerOptions()),
    "parameter_server async": (serving.parameter_server, ParameterServerOptions(asynchronous=True)),
    "ingest": (serving.ingest, IngestOptions()),
    "block_storage": (serving.block_storage, BlockStorageOptions()),
    "block_storage rw": (serving.block_storage, BlockStorageOptions(rwmixread=50, storage_us=10)),
    "checkpoint": (serving.checkpoint, CheckpointOptions(chunk_bytes=30_000, storage_us=5)),
    "incast": (traffic.incast, MessagesOptions()),
    "outcast": (traffic.outcast, MessagesOptions()),
    "pairwise": (traffic.pairwise, MessagesOptions()),
    "incast windows": (traffic.incast, MessagesOptions(messages=7, window=3)),
    "outcast windows": (traffic.outcast, MessagesOptions(messages=6, window=2)),
    "pairwise windows": (traffic.pairwise, MessagesOptions(messages=7, window=1)),
    "rpc": (traffic.rpc, CallsOptions()),
}


def traces(pattern: str, nranks: int, options: Any = None, size: int = SIZE) -> list[Trace]:
    write, usual = PATTERNS[pattern]
    return [write(rank, nranks, size, options or usual, 1) for rank in range(nranks)]


def outcomes(pattern: str, nranks: int, options: Any = None, model: Model = LINE) -> list[Outcome]:
    return dry_run(traces(pattern, nranks, options), model)


@pytest.mark.parametrize("nranks", [2, 3, 4, 9])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_ends_with_any_number_of_ranks(pattern: str, nranks: int) -> None:
    found = outcomes(pattern, nranks)
    assert sum(each.message_bytes for each in found) > 0


def sent(pattern: str, nranks: int, options: Any = None) -> list[int]:
    return [each.message_bytes for each in outcomes(pattern, nranks, options)]


def test_a_parameter_server_takes_and_gives_as_much_as_all_workers() -> None:
    assert sent("parameter_server", 4) == [24 * SIZE, 8 * SIZE, 8 * SIZE, 8 * SIZE]


def test_only_a_synchronous_server_waits_for_the_slowest_worker() -> None:
    """Rank 1 would be answered before the others have pushed, were the server asynchronous."""

    def of(asynchronous: bool) -> SendTo:
        options = ParameterServerOptions(asynchronous=asynchronous, steps=1)
        (server, *_) = traces("parameter_server", 4, options)
        return next(node for node in server.nodes if isinstance(node, SendTo))

    assert len(of(asynchronous=False).deps) == 3
    assert len(of(asynchronous=True).deps) == 1


def test_ingest_reads_every_batch_from_storage_hosts_in_equal_shares() -> None:
    options = IngestOptions(steps=8, storage=2)
    asked = Counter(
        node.peer
        for trace in traces("ingest", 6, options)[:4]
        for node in trace.nodes
        if isinstance(node, SendTo)
    )
    assert asked == {4: 16, 5: 16}
    assert sent("ingest", 6, options) == [8 * REQUEST_BYTES] * 4 + [16 * SIZE] * 2


def test_trainers_read_in_orders_of_their_own() -> None:
    orders = {
        tuple(node.peer for node in trace.nodes if isinstance(node, ReceiveFrom))
        for trace in traces("ingest", 6, IngestOptions(steps=8, storage=2))[:4]
    }
    assert len(orders) == 4


def test_a_step_waits_for_its_data_unless_that_was_asked_for_ahead() -> None:
    """A batch takes 1 ms, a step 2 ms: with two batches ahead only the first is waited for."""
    options = IngestOptions(steps=10, compute_ms=2.0, depth=2)
    fast = Model(1e-5, 1e-8)
    (ahead, _) = outcomes("ingest", 2, options, fast)
    (late, _) = outcomes("ingest", 2, IngestOptions(steps=10, compute_ms=2.0, depth=1), fast)
    batch = SIZE * 1e-8
    assert ahead.time_s == pytest.approx(ahead.compute_s + batch, rel=0.01)
    assert late.time_s == pytest.approx(late.compute_s + 10 * batch, rel=0.02)


@pytest.mark.parametrize(("mix", "reads"), [(100, 32), (50, 16), (0, 0)])
def test_block_storage_reads_and_writes_in_the_mix_that_was_asked_for(mix: int, reads: int) -> None:
    client, storage = sent("block_storage", 2, BlockStorageOptions(rwmixread=mix))
    writes = 32 - reads
    assert client == 32 * REQUEST_BYTES + writes * SIZE
    assert storage == reads * SIZE + writes * ANSWER_BYTES


def test_a_queue_depth_of_several_keeps_the_line_busy() -> None:
    def took(depth: int) -> float:
        options = BlockStorageOptions(iodepth=depth)
        return dry_run(traces("block_storage", 2, options, 1000), Model(1e-3, 1e-8))[0].time_s

    assert took(1) == pytest.approx(32 * 2e-3, rel=0.02)
    assert took(8) == pytest.approx(took(1) / 8, rel=0.05)


def test_a_checkpoint_is_saved_whole_and_read_back() -> None:
    rank, _, storage = sent("checkpoint", 3)
    assert rank == SIZE + 2 * 4 * REQUEST_BYTES
    assert storage == 2 * (SIZE + 4 * ANSWER_BYTES)


def test_a_window_of_messages_is_answered_before_the_next_one() -> None:
    """Seven in threes: a round trip is waited for twice, however fast the line is."""

    def took(window: int) -> float:
        options = MessagesOptions(messages=7, window=window)
        return dry_run(traces("incast", 2, options, 1), Model(1e-3, 0.0))[0].time_s

    assert took(0) == took(7) == pytest.approx(1e-3)
    assert took(3) == pytest.approx(5e-3)
    assert took(1) == pytest.approx(13e-3)


@pytest.mark.parametrize(
    ("pattern", "expected"), [("incast", [0, 4, 4, 4]), ("outcast", [12, 0, 0, 0]), ("pairwise", [4] * 4)]
)
def test_messages_go_where_the_pattern_says(pattern: str, expected: list[int]) -> None:
    assert sent(pattern, 4) == [count * SIZE for count in expected]


def test_an_odd_last_rank_has_no_pair() -> None:
    assert sent("pairwise", 3) == [4 * SIZE, 4 * SIZE, 0]


def test_a_call_is_made_when_the_one_before_was_answered() -> None:
    caller, called = outcomes("rpc", 2, CallsOptions(calls=10, answer_bytes=100))
    call = 2e-4 + (SIZE + 100) * 1e-8
    assert caller.time_s == pytest.approx(10 * call)
    assert called.message_bytes == 1000

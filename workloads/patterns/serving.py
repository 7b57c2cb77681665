"""Clients and servers, as traces: parameter server, ingest of training data, block storage, checkpoints.

In: a rank, the number of ranks, options. Out: the rank's trace of one iteration; pure. Owns nothing. Storage
hosts are the last ranks. A request is a message of 64 bytes, as an NVMe command is (NVM Express Base
Specification, section 3.3.3.1); an answer without data has 16 bytes, as a completion.
"""

from __future__ import annotations

import random
from typing import Annotated

from nodes.option import Option
from nodes.quantity import parse_size
from workloads.options import MEMORIES, Memory, TracedOptions
from workloads.trace.node import Program, Trace

REQUEST_BYTES = 64
ANSWER_BYTES = 16


Steps = Annotated[int, Option("Training steps of an iteration.", min=1, max=10_000)]
ComputeMs = Annotated[float, Option("Milliseconds that a step computes.", min=0, max=1e6)]


class ParameterServerOptions(TracedOptions, frozen=True):
    """Rank 0 is the server."""

    asynchronous: Annotated[
        bool, Option("The server answers each worker at once and does not wait for the others.")
    ] = False
    steps: Steps = 8
    compute_ms: ComputeMs = 20.0


class StorageOptions(TracedOptions, frozen=True):
    """The last hosts are storage."""

    storage: Annotated[int, Option("Storage hosts, the last ones.", flag="storage-hosts", min=1)] = 1
    storage_us: Annotated[
        float, Option("Microseconds in which a storage host finds the data of a request.", min=0)
    ] = 0.0


class IngestOptions(StorageOptions, frozen=True):
    """Training steps that wait for their data."""

    steps: Steps = 8
    compute_ms: ComputeMs = 20.0
    depth: Annotated[int, Option("Batches that are asked for ahead.", min=1, max=1024)] = 2


class BlockStorageOptions(StorageOptions, frozen=True):
    """fio's words; NVMe over Fabrics calls a client an initiator and a storage host a target."""

    ios: Annotated[int, Option("Reads and writes of each client in an iteration.", min=1, max=100_000)] = 32
    iodepth: Annotated[int, Option("Reads and writes that a client has under way.", min=1, max=1024)] = 8
    rwmixread: Annotated[int, Option("Per cent that are reads.", min=0, max=100)] = 100
    initiator_memory: Annotated[
        Memory, Option("Whose memory a client's blocks are in.", choices=MEMORIES)
    ] = "accelerator"
    target_memory: Annotated[Memory, Option("Likewise, at the storage hosts.", choices=MEMORIES)] = "ssd"


class CheckpointOptions(StorageOptions, frozen=True):
    """Every rank saves its shard, and reads it back."""

    chunk_bytes: Annotated[int, Option("Bytes of one write or read.", flag="block", parse=parse_size)] = (
        1 << 20
    )


def parameter_server(rank: int, nranks: int, size: int, options: ParameterServerOptions, seed: int) -> Trace:  # noqa: ARG001
    """Workers push gradients of `size` bytes and pull parameters (Li et al., "Scaling Distributed Machine
    Learning with the Parameter Server", 2014). Synchronous: the server waits for all."""
    program = Program(rank, nranks)
    workers = range(1, nranks)
    if rank:
        pulled: tuple[int, ...] = ()
        for step in range(options.steps):
            done = program.compute(f"step {step}", options.compute_ms * 1000, *pulled)
            program.send(f"push {step}", 0, size, done, tag=0)
            pulled = (program.receive(f"pull {step}", 0, size, tag=0),)
        return program.trace()
    for step in range(options.steps):
        pushed = [program.receive(f"push {step} of rank {peer}", peer, size, tag=0) for peer in workers]
        for peer, own in zip(workers, pushed, strict=True):
            after = (own,) if options.asynchronous else tuple(pushed)
            program.send(f"pull {step} of rank {peer}", peer, size, *after, tag=0)
    return program.trace()


def ingest(rank: int, nranks: int, size: int, options: IngestOptions, seed: int) -> Trace:
    """Each training step needs a batch of `size` bytes, which lies on a storage host: in shards that all
    hosts' readers take in a shuffled order. `depth` batches are asked for before they are needed. Set-up ends
    when the first one is on the accelerator; a later step stalls while its batch is not."""
    program, trainers = Program(rank, nranks), nranks - options.storage
    reads = [_shuffled(trainer, trainers, nranks, options.steps, seed) for trainer in range(trainers)]
    if rank >= trainers:
        for step in range(options.steps):
            for trainer in range(trainers):
                if reads[trainer][step] == rank:
                    _serve(program, trainer, size, options.storage_us, f"batch {step} of rank {trainer}")
        return program.trace()
    computed: list[int] = []
    came: list[int] = []
    for step in range(options.steps):
        while len(came) < min(options.steps, step + options.depth):
            ahead = len(came)
            freed = ahead - options.depth
            after = (computed[freed],) if freed >= 0 else ()
            target, slot = reads[rank][ahead], ahead % options.depth
            program.send(f"ask for {ahead}", target, REQUEST_BYTES, *after, tag=0)
            came.append(program.batch(f"batch {ahead}", target, size, *after, tag=slot))
        computed.append(
            program.compute(f"step {step}", options.compute_ms * 1000, came[step], *computed[-1:])
        )
    return program.trace()


def block_storage(rank: int, nranks: int, size: int, options: BlockStorageOptions, seed: int) -> Trace:
    """Clients read and write blocks of `size` bytes, `iodepth` at a time, as fio's random reads and writes
    over NVMe/TCP do. A client's n-th goes to storage host n modulo their number."""
    program, clients = Program(rank, nranks), nranks - options.storage
    kinds = [_reads(client, options, seed) for client in range(clients)]
    if rank >= clients:
        for number in range(options.ios):
            for client in range(clients):
                if clients + number % options.storage == rank:
                    name = f"{number} of rank {client}"
                    if kinds[client][number]:
                        _serve(program, client, size, options.storage_us, name)
                    else:
                        _take(program, client, size, options.storage_us, name)
        return program.trace()
    ended: list[int] = []
    for number in range(options.ios):
        target, slot = clients + number % options.storage, number % options.iodepth
        freed = number - options.iodepth
        after = (ended[freed],) if freed >= 0 else ()
        asked = program.send(f"ask for {number}", target, REQUEST_BYTES, *after, tag=1)
        if kinds[rank][number]:
            ended.append(program.completion(f"read {number}", target, size, *after, tag=2 + slot))
        else:
            program.send(f"write {number}", target, size, asked, tag=0)
            ended.append(program.completion(f"written {number}", target, ANSWER_BYTES, *after, tag=1))
    return program.trace()


def checkpoint(rank: int, nranks: int, size: int, options: CheckpointOptions, seed: int) -> Trace:  # noqa: ARG001
    """Every rank writes its shard of `size` bytes to a storage host, block by block, and when the last block
    is confirmed reads it back."""
    program, clients = Program(rank, nranks), nranks - options.storage
    blocks = [min(options.chunk_bytes, size - at) for at in range(0, size, options.chunk_bytes)]
    if rank >= clients:
        mine = [client for client in range(clients) if clients + client % options.storage == rank]
        for number, block in enumerate(blocks):
            for client in mine:
                _take(program, client, block, options.storage_us, f"block {number} of rank {client}", number)
        for number, block in enumerate(blocks):
            for client in mine:
                _serve(program, client, block, options.storage_us, f"block {number} of rank {client}", number)
        return program.trace()
    target = clients + rank % options.storage
    saved: list[int] = []
    for number, block in enumerate(blocks):
        asked = program.send(f"save {number}", target, REQUEST_BYTES, tag=len(blocks))
        program.send(f"block {number}", target, block, asked, tag=number)
        saved.append(program.receive(f"saved {number}", target, ANSWER_BYTES, tag=len(blocks)))
    for number, block in enumerate(blocks):
        program.send(f"restore {number}", target, REQUEST_BYTES, saved[-1], tag=len(blocks))
        program.receive(f"restored {number}", target, block, saved[-1], tag=number)
    return program.trace()


def _serve(
    program: Program, client: int, size: int, find_us: float, name: str, tag: int | None = None
) -> None:
    """A request comes, its data goes."""
    asked = program.receive(f"request {name}", client, REQUEST_BYTES, tag=1 << 30)
    found = program.compute(f"find {name}", find_us, asked) if find_us else asked
    program.send(f"data {name}", client, size, found, tag=0 if tag is None else tag)


def _take(
    program: Program, client: int, size: int, find_us: float, name: str, tag: int | None = None
) -> None:
    """A request and its data come, an answer goes."""
    program.receive(f"request {name}", client, REQUEST_BYTES, tag=1 << 30)
    came = program.receive(f"data {name}", client, size, tag=0 if tag is None else tag)
    stored = program.compute(f"store {name}", find_us, came) if find_us else came
    program.send(f"answer {name}", client, ANSWER_BYTES, stored, tag=1 << 30)


def _shuffled(trainer: int, trainers: int, nranks: int, steps: int, seed: int) -> list[int]:
    """The storage host of each of a trainer's batches: all hosts as often, in an order of its own."""
    order = [trainers + step % (nranks - trainers) for step in range(steps)]
    random.Random(f"{seed} {trainer}").shuffle(order)
    return order


def _reads(client: int, options: BlockStorageOptions, seed: int) -> list[bool]:
    """Which of a client's are reads."""
    reads = round(options.ios * options.rwmixread / 100)
    kinds = [True] * reads + [False] * (options.ios - reads)
    random.Random(f"{seed} {client}").shuffle(kinds)
    return kinds

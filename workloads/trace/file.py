"""Trace files: one a rank, JSON lines; the first line says what the file is, every other one is a node.

In: a directory, or traces. Out: traces, or files rank0.jsonl, rank1.jsonl, ... Owns the format and its
version. Errors name file and line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from workloads.trace.check import TraceError
from workloads.trace.node import Node, Trace

T = TypeVar("T")

VERSION = 1
_LIMIT_BYTES = 1 << 28


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `format` says what the file is."""

    format: Literal["devmem-testbed-trace"] = "devmem-testbed-trace"
    version: int
    rank: int
    nranks: int


_HEADER = msgspec.json.Decoder(Header)
_NODE: msgspec.json.Decoder[Node] = msgspec.json.Decoder(Node)


def name_of(rank: int) -> str:
    return f"rank{rank}.jsonl"


def write(directory: Path, traces: Sequence[Trace]) -> list[Path]:
    """A file a rank. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for trace in traces:
        header = Header(version=VERSION, rank=trace.rank, nranks=trace.nranks)
        lines = [msgspec.json.encode(each) for each in (header, *trace.nodes)]
        path = directory / name_of(trace.rank)
        path.write_bytes(b"\n".join(lines) + b"\n")
        paths.append(path)
    return paths


def read(directory: Path) -> list[Trace]:
    """The traces of all ranks, in order. Raises TraceError."""
    first = read_one(directory / name_of(0), 0)
    return [first, *(read_one(directory / name_of(rank), rank) for rank in range(1, first.nranks))]


def read_one(path: Path, rank: int) -> Trace:
    """One rank's trace. Raises TraceError."""
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise TraceError(f"{path} has more than {_LIMIT_BYTES >> 20} MiB; divide the trace")
        lines = path.read_bytes().splitlines()
    except OSError as reason:
        raise TraceError(
            f"{path} cannot be read ({reason.strerror}); a trace has a file for each rank"
        ) from None
    if not lines:
        raise TraceError(f"{path} is empty; its first line says format, version, rank and nranks")
    header = _decoded(_HEADER, lines[0], path, 1)
    if header.version != VERSION:
        raise TraceError(f"{path} has version {header.version}; version {VERSION} is understood")
    if header.rank != rank or not 1 <= header.nranks <= 1_000_000:
        raise TraceError(
            f"{path} is of rank {header.rank} of {header.nranks}, and its name is of rank {rank}"
        )
    nodes = [_decoded(_NODE, line, path, number) for number, line in enumerate(lines[1:], 2) if line.strip()]
    return Trace(rank=rank, nranks=header.nranks, nodes=tuple(nodes))


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes, path: Path, number: int) -> T:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, msgspec.ValidationError) as reason:
        raise TraceError(
            f"{path} line {number} is no {'header' if number == 1 else 'node'}: {reason}"
        ) from None

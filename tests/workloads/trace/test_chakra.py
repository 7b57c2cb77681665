"""Chakra's files become traces that go together. The files are written here byte by byte: fields and numbers
are those of MLCommons' et_def.proto, without what reads them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from workloads.trace import chakra
from workloads.trace.check import TraceError
from workloads.trace.dry_run import dry_run
from workloads.trace.node import Collective, Compute, ReceiveFrom, SendTo, Trace

METADATA, LOAD, COMPUTE, SEND, RECEIVE, COLLECTIVE = 1, 2, 4, 5, 6, 7
ALL_REDUCE, ALL_GATHER, BARRIER = 0, 2, 9


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def whole(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def counted(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def attribute(name: str, value: int | str | float) -> bytes:
    """Numbers as uint64_val, texts as string_val, fractions as double_val."""
    if isinstance(value, str):
        body = counted(29, value.encode())
    elif isinstance(value, float):
        body = varint(3 << 3 | 1) + struct.pack("<d", value)
    else:
        body = whole(13, value)
    return counted(10, counted(1, name.encode()) + body)


def node(number: int, kind: int, *deps: int, us: int = 0, ctrl: tuple[int, ...] = (), **more: Any) -> bytes:
    body = whole(1, number) + counted(2, f"n{number}".encode()) + whole(3, kind)
    body += counted(4, b"".join(map(varint, ctrl))) + counted(5, b"".join(map(varint, deps)))
    body += whole(6, 99) + whole(7, us) + counted(8, counted(1, b"an IOInfo that nobody reads"))
    return body + b"".join(attribute(name, value) for name, value in more.items())


def traces(directory: Path, *ranks: list[bytes]) -> list[Trace]:
    for rank, nodes in enumerate(ranks):
        messages = [counted(1, b"1.0"), *nodes]
        data = b"".join(varint(len(each)) + each for each in messages)
        (directory / f"t.{rank}.et").write_bytes(data)
    return chakra.read(str(directory / "t"))


def refused(directory: Path, *ranks: list[bytes]) -> str:
    with pytest.raises(TraceError) as reason:
        traces(directory, *ranks)
    return str(reason.value)


def test_computations_messages_and_collectives_become_nodes(tmp_path: Path) -> None:
    first, second = traces(
        tmp_path,
        [
            node(1, COMPUTE, us=250, is_cpu_op=0, share=0.5),
            node(2, SEND, 1, comm_src=0, comm_dst=1, comm_size=1000, comm_tag=7),
            node(5, COLLECTIVE, 1, ctrl=(2,), comm_type=ALL_REDUCE, comm_size=4096),
        ],
        [
            node(1, RECEIVE, comm_src=0, comm_dst=1, comm_size=1000, comm_tag=7),
            node(2, LOAD, 1, us=3),
            node(3, COLLECTIVE, 2, comm_type=ALL_REDUCE, comm_size=4096),
        ],
    )
    assert first.nodes == (
        Compute(id=0, name="n1", duration_us=250),
        SendTo(id=1, name="n2", deps=(0,), peer=1, bytes=1000, tag=7),
        Collective(id=2, name="n5", deps=(1, 0), collective="all_reduce", bytes=4096),
    )
    assert second.nodes == (
        ReceiveFrom(id=0, name="n1", peer=0, bytes=1000, tag=7),
        Compute(id=1, name="n2", deps=(0,), duration_us=3),
        Collective(id=2, name="n3", deps=(1,), collective="all_reduce", bytes=4096),
    )
    assert dry_run([first, second])[0].time_s == pytest.approx(253e-6)


def test_nodes_that_do_nothing_are_left_out_and_what_waited_still_waits(tmp_path: Path) -> None:
    (trace,) = traces(
        tmp_path,
        [
            node(9, COMPUTE, us=5),
            node(8, METADATA, 9),
            node(7, METADATA, ctrl=(8,)),
            node(3, COMPUTE, 7, us=4),
            node(4, COLLECTIVE, 3, comm_type=ALL_REDUCE, comm_size=64),
            node(5, COMPUTE, 4, us=6),
        ],
    )
    assert [(each.name, each.deps) for each in trace.nodes] == [("n9", ()), ("n3", (0,)), ("n5", (1,))]


def test_a_communicator_has_the_ranks_that_use_it(tmp_path: Path) -> None:
    def rank(group: str, number: int) -> list[bytes]:
        more: dict[str, Any] = {"comm_type": ALL_GATHER, "comm_size": 5, "pg_name": group}
        return [
            node(1, COLLECTIVE, **more),
            node(2, COLLECTIVE, 1, comm_type=BARRIER, note=number),
        ]

    found = traces(tmp_path, *(rank("even" if each % 2 == 0 else "odd", each) for each in range(4)))
    for number, trace in enumerate(found):
        gather, barrier = trace.nodes
        assert isinstance(gather, Collective)
        assert isinstance(barrier, Collective)
        assert gather.ranks == ((0, 2) if number % 2 == 0 else (1, 3))
        assert gather.bytes == 12  # what both give, in whole elements
        assert (barrier.collective, barrier.ranks, barrier.bytes) == ("barrier", (), 4)
    dry_run(found)


def test_what_cannot_be_converted_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"there is no file .*/none.0.et; a Chakra trace has PREFIX.RANK.et"):
        chakra.read(str(tmp_path / "none"))
    assert refused(tmp_path, [node(1, COMPUTE, 2)]) == (
        "rank 0, Chakra's node 1 (n1) depends on node 2, which is not there"
    )
    assert refused(tmp_path, [node(1, COMPUTE, 2), node(2, COMPUTE, 1)]) == (
        "rank 0, Chakra's node 1 (n1) depends on itself, or on a node that does"
    )
    both = [[node(1, COLLECTIVE, comm_type=77, comm_size=4)]] * 2
    assert refused(tmp_path, *both) == (
        "rank 0, Chakra's node 1 (n1) has comm_type 77, which is no collective of Chakra's"
    )
    assert refused(tmp_path, [], [node(4, SEND, comm_dst=0)]) == (
        "rank 1, Chakra's node 4 (n4) has comm_size None, which is no number from 0 on"
    )
    (tmp_path / "t.0.et").write_bytes(b"\x05\xff\xff\xff\xff\xff")
    with pytest.raises(TraceError, match=r"t.0.et is no Chakra trace \(.*; write it with Chakra's own tools"):
        chakra.read(str(tmp_path / "t"))


def test_messages_whose_tags_come_in_another_order_are_refused(tmp_path: Path) -> None:
    sent = [node(each, SEND, comm_dst=1, comm_size=8, comm_tag=each) for each in (1, 2)]
    received = [node(each, RECEIVE, comm_src=0, comm_size=8, comm_tag=3 - each) for each in (1, 2)]
    assert refused(tmp_path, sent, received) == (
        "rank 1, node 0 (n1) has comm_tag 2, and what comes there from rank 0 is node 0 with 1: order the "
        "nodes alike"
    )

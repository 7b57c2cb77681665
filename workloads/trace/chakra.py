"""Chakra's execution traces (MLCommons) become traces of ours.

In: files PREFIX.0.et, PREFIX.1.et, ...: a GlobalMetadata message and Node messages, each behind its length,
as in Chakra's schema (schema/protobuf/et_def.proto). Out: traces. Owns the few fields that are read, which
are described here when they are needed: no generated code. Needs the package protobuf.

What differs, and how it is bridged. A rank of ours computes one thing at a time, so computations that overlap
there follow each other here, and so do loads and stores of memory. Nodes that do nothing are left out, and
what waited for them waits for what they waited for. A communicator (`pg_name`) has the ranks that use it.
There, `comm_size` of an all-gather or a gather is what one rank gives; here it is the whole array. Elements
are float32, so sizes of collectives are rounded up to 4 bytes. A root is the first of its ranks. Messages are
matched by order here and by `comm_tag` there: traces in which these differ are refused.
"""

from __future__ import annotations

import functools
import heapq
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from workloads.trace.check import TraceError, named
from workloads.trace.node import Collective, Compute, Node, ReceiveFrom, SendTo, Trace

_MEMORY = (2, 3)  # MEM_LOAD_NODE, MEM_STORE_NODE
_COMPUTE, _SEND, _RECEIVE, _COLLECTIVE = 4, 5, 6, 7
_COLLECTIVES = (
    "all_reduce", "reduce", "all_gather", "gather", "scatter", "broadcast", "all_to_all", "reduce_scatter",
    "reduce_scatter", "barrier",
)  # fmt: skip
_OF_ONE_RANK = ("all_gather", "gather")  # comm_size is what one rank gives
_ELEMENT_BYTES = 4
# The scalar fields of an AttributeProto's value: name, number, type.
_VALUES = (
    ("double_val", 3, "DOUBLE"), ("float_val", 5, "FLOAT"), ("int32_val", 7, "INT32"),
    ("int64_val", 9, "INT64"), ("uint32_val", 11, "UINT32"), ("uint64_val", 13, "UINT64"),
    ("sint32_val", 15, "SINT32"), ("sint64_val", 17, "SINT64"), ("fixed32_val", 19, "FIXED32"),
    ("fixed64_val", 21, "FIXED64"), ("sfixed32_val", 23, "SFIXED32"), ("sfixed64_val", 25, "SFIXED64"),
    ("bool_val", 27, "BOOL"), ("string_val", 29, "STRING"),
)  # fmt: skip


class ChakraNode(msgspec.Struct, frozen=True):
    """What is read of a Node message."""

    id: int
    name: str
    type: int
    deps: tuple[int, ...]
    duration_us: int
    attributes: Mapping[str, Any]


def read(prefix: str) -> list[Trace]:
    """The traces of PREFIX.0.et and so on, for as many ranks as there are files. Raises TraceError."""
    ranks: list[list[ChakraNode]] = []
    while (path := Path(f"{prefix}.{len(ranks)}.et")).exists():
        ranks.append(list(_nodes_of(path)))
    if not ranks:
        raise TraceError(f"there is no file {prefix}.0.et; a Chakra trace has PREFIX.RANK.et for each rank")
    return converted(ranks)


def converted(ranks: Sequence[Sequence[ChakraNode]]) -> list[Trace]:
    """The nodes of every rank as traces. Raises TraceError."""
    groups: dict[str, tuple[int, ...]] = {}
    for rank, nodes in enumerate(ranks):
        for name in {_group(node) for node in nodes if node.type == _COLLECTIVE}:
            groups[name] = (*groups.get(name, ()), rank)
    groups[""] = tuple(range(len(ranks)))
    traces = [_Conversion(rank, len(ranks), groups).trace(nodes) for rank, nodes in enumerate(ranks)]
    _check_order(traces)
    return traces


class _Conversion:
    """Of one rank."""

    def __init__(self, rank: int, nranks: int, groups: Mapping[str, tuple[int, ...]]) -> None:
        self._rank = rank
        self._nranks = nranks
        self._groups = groups

    def trace(self, nodes: Sequence[ChakraNode]) -> Trace:
        made: list[Node] = []
        stands_for: dict[int, tuple[int, ...]] = {}  # a node of theirs: what waits for it waits for these
        for node in self._ordered(nodes):
            deps = tuple(dict.fromkeys(own for dep in node.deps for own in stands_for[dep]))
            own = self._converted(node, len(made), deps)
            stands_for[node.id] = deps if own is None else (own.id,)
            if own is not None:
                made.append(own)
        return Trace(rank=self._rank, nranks=self._nranks, nodes=tuple(made))

    def _converted(self, node: ChakraNode, number: int, deps: tuple[int, ...]) -> Node | None:
        shared: Any = {"id": number, "name": node.name, "deps": deps}
        if node.type in (_COMPUTE, *_MEMORY):
            return Compute(**shared, duration_us=float(node.duration_us))
        if node.type == _COLLECTIVE:
            return self._collective(node, shared)
        if node.type not in (_SEND, _RECEIVE):
            return None
        size, tag = self._number(node, "comm_size"), self._number(node, "comm_tag", 0)
        if node.type == _SEND:
            return SendTo(**shared, peer=self._number(node, "comm_dst"), bytes=size, tag=tag)
        return ReceiveFrom(**shared, peer=self._number(node, "comm_src"), bytes=size, tag=tag)

    def _collective(self, node: ChakraNode, shared: Any) -> Node | None:
        members = self._groups[_group(node)]
        if len(members) == 1:
            return None
        kind = self._number(node, "comm_type")
        if not 0 <= kind < len(_COLLECTIVES):
            raise TraceError(f"{self._named(node)} has comm_type {kind}, which is no collective of Chakra's")
        name = _COLLECTIVES[kind]
        size = _ELEMENT_BYTES if name == "barrier" else self._number(node, "comm_size")
        if name in _OF_ONE_RANK:
            size *= len(members)
        whole = -(-size // _ELEMENT_BYTES) * _ELEMENT_BYTES
        ranks = () if len(members) == self._nranks else members
        return Collective(**shared, collective=name, bytes=whole, ranks=ranks)

    def _ordered(self, nodes: Sequence[ChakraNode]) -> list[ChakraNode]:
        """By id, but each behind what it waits for."""
        by_id = {node.id: node for node in nodes}
        waiting = {node.id: len(set(node.deps)) for node in nodes}
        then: dict[int, list[int]] = defaultdict(list)
        for node in nodes:
            for dep in set(node.deps):
                if dep not in by_id:
                    raise TraceError(f"{self._named(node)} depends on node {dep}, which is not there")
                then[dep].append(node.id)
        ready = [number for number, count in waiting.items() if not count]
        heapq.heapify(ready)
        ordered = []
        while ready:
            number = heapq.heappop(ready)
            ordered.append(by_id[number])
            for later in then[number]:
                waiting[later] -= 1
                if not waiting[later]:
                    heapq.heappush(ready, later)
        if len(ordered) < len(by_id):
            left = next(by_id[number] for number, count in waiting.items() if count)
            raise TraceError(f"{self._named(left)} depends on itself, or on a node that does")
        return ordered

    def _number(self, node: ChakraNode, name: str, default: int | None = None) -> int:
        found = node.attributes.get(name, default)
        if not isinstance(found, int) or found < 0:
            raise TraceError(f"{self._named(node)} has {name} {found!r}, which is no number from 0 on")
        return found

    def _named(self, node: ChakraNode) -> str:
        return f"rank {self._rank}, Chakra's node {node.id}" + (f" ({node.name})" if node.name else "")


def _group(node: ChakraNode) -> str:
    """The communicator's name; "" for all ranks."""
    return str(node.attributes.get("pg_name", ""))


def _check_order(traces: Sequence[Trace]) -> None:
    """Messages come in the order of their tags. Raises TraceError."""
    for trace in traces:
        sent = {
            peer: iter(_sends(traces[peer], trace.rank)) for peer in _sources(trace) if peer < len(traces)
        }
        for node in trace.nodes:
            if isinstance(node, ReceiveFrom) and node.peer in sent:
                message = next(sent[node.peer], None)
                if message is not None and message.tag != node.tag:
                    raise TraceError(
                        f"{named(trace.rank, node)} has comm_tag {node.tag}, and what comes there from rank "
                        f"{node.peer} is node {message.id} with {message.tag}: order the nodes alike"
                    )


def _sources(trace: Trace) -> set[int]:
    return {node.peer for node in trace.nodes if isinstance(node, ReceiveFrom)}


def _sends(trace: Trace, peer: int) -> list[SendTo]:
    return [node for node in trace.nodes if isinstance(node, SendTo) and node.peer == peer]


def _nodes_of(path: Path) -> Iterator[ChakraNode]:
    metadata, node = _messages()
    from google.protobuf.message import DecodeError
    from google.protobuf.proto import parse_length_prefixed

    file = io.BytesIO(path.read_bytes())
    try:
        parse_length_prefixed(metadata, file)
        while (found := parse_length_prefixed(node, file)) is not None:
            attributes = {each.name: getattr(each, each.WhichOneof("value") or "name") for each in found.attr}
            deps = tuple(dict.fromkeys((*found.ctrl_deps, *found.data_deps)))
            yield ChakraNode(found.id, found.name, found.type, deps, found.duration_micros, attributes)
    except (DecodeError, ValueError) as reason:
        raise TraceError(f"{path} is no Chakra trace ({reason}); write it with Chakra's own tools") from None


@functools.cache
def _messages() -> tuple[Any, Any]:
    """The classes of GlobalMetadata and Node, with the fields that are read; others are skipped as protobuf
    does. Raises TraceError where protobuf is not installed."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        raise TraceError("Chakra's files need the Python package protobuf; install it") from None
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="chakra.proto", package="chakra", syntax="proto3")

    def add(message: Any, name: str, number: int, kind: str, **more: Any) -> None:
        many = more.pop("many", False)
        label = field.LABEL_REPEATED if many else field.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=getattr(field, f"TYPE_{kind}"), label=label, **more)

    attribute = file.message_type.add(name="Attribute")
    attribute.oneof_decl.add(name="value")
    add(attribute, "name", 1, "STRING")
    for name, number, kind in _VALUES:
        add(attribute, name, number, kind, oneof_index=0)
    add(file.message_type.add(name="Metadata"), "version", 1, "STRING")
    node = file.message_type.add(name="Node")
    add(node, "id", 1, "UINT64")
    add(node, "name", 2, "STRING")
    add(node, "type", 3, "INT32")
    add(node, "ctrl_deps", 4, "UINT64", many=True)
    add(node, "data_deps", 5, "UINT64", many=True)
    add(node, "duration_micros", 7, "UINT64")
    add(node, "attr", 10, "MESSAGE", type_name=".chakra.Attribute", many=True)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def made(name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"chakra.{name}"))

    return made("Metadata"), made("Node")

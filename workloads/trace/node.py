"""What a rank does, as a graph: computations, collectives, messages, and which has to wait for which.

In: kinds of work. Out: records, which are also the lines of a trace file (workloads.trace.file). Owns
nothing; pure. The shape is that of Chakra's execution traces (MLCommons): nodes with dependencies, compute
and communication apart. A rank does its nodes in streams, as an accelerator does: computations one after the
other, collectives one after the other, what it sends to a peer in order, what it receives from a peer in
order. A node begins when those that it depends on have ended and its turn in its stream has come.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

_Id = Annotated[int, msgspec.Meta(ge=0)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
_Rank = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Microseconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class _Done(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """What every node has. `began_us` and `took_us`: when and how long it was done in the run that the trace
    was written by, None in one that was not; a replay does not look at them."""

    id: _Id
    name: str = ""
    deps: tuple[_Id, ...] = ()
    began_us: _Microseconds | None = None
    took_us: _Microseconds | None = None


class Compute(_Done, frozen=True, kw_only=True, tag="compute"):
    """The accelerator is busy for `duration_us` microseconds of its own clock."""

    duration_us: _Microseconds


class Collective(_Done, frozen=True, kw_only=True, tag="collective"):
    """A collective among `ranks`, in that order; of none, among all. `bytes` is the whole array, as in
    nccl-tests; `root` is a place in `ranks`. `transposed`: an all_to_allv takes everything back: rank j sends
    to rank i as many bytes as i sends to j without it."""

    collective: str
    bytes: _Bytes
    ranks: tuple[_Rank, ...] = ()
    dtype: str = "float32"
    redop: str = "sum"
    root: _Rank = 0
    algorithm: str = ""
    seed: int = 0
    transposed: bool = False


class SendTo(_Done, frozen=True, kw_only=True, tag="send"):
    """A message to rank `peer`. Messages with the same `tag` to the same peer are sent from the same memory,
    each from another place of it than the one before."""

    peer: _Rank
    bytes: _Bytes
    tag: _Id = 0


class ReceiveFrom(_Done, frozen=True, kw_only=True, tag="receive"):
    """The next message from rank `peer`. Messages with the same `tag` from the same peer are received into
    the same memory. `operation`: it ends a call, a read or a write, whose latency is reported: from when the
    node could begin, as far as what it depends on says. `batch`: data that a computation is fed with; how
    long the rank waits for it is reported."""

    peer: _Rank
    bytes: _Bytes
    tag: _Id = 0
    operation: bool = False
    batch: bool = False


Node = Compute | Collective | SendTo | ReceiveFrom


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank does, in the order in which its streams take the nodes."""

    rank: _Rank
    nranks: Annotated[int, msgspec.Meta(ge=1, le=1_000_001)]
    nodes: tuple[Node, ...]

    def members(self, node: Collective) -> tuple[int, ...]:
        """The ranks that take part in it."""
        return node.ranks or tuple(range(self.nranks))


def kind_of(node: Node) -> str:
    """compute, collective, send or receive."""
    return str(type(node).__struct_config__.tag)


def bytes_of(node: Node) -> int:
    """Of a message, or of a collective's whole array."""
    return 0 if isinstance(node, Compute) else node.bytes


Stream = tuple[str, int]  # its kind, and the peer or 0


def stream_of(node: Node) -> Stream:
    """Which of its rank's streams a node belongs to."""
    match node:
        case Compute():
            return "compute", 0
        case Collective():
            return "collective", 0
        case SendTo():
            return "send", node.peer
        case ReceiveFrom():
            return "receive", node.peer


class Program:
    """Writes a trace: each method adds a node and returns its id. `after`: what it has to wait for. `size`:
    as asked for, of a trace that depends on one."""

    def __init__(self, rank: int, nranks: int, size: int = 0) -> None:
        self.rank = rank
        self.nranks = nranks
        self.size = size
        self._nodes: list[Node] = []

    def compute(self, name: str, duration_us: float, *after: int) -> int:
        return self._add(Compute(id=self._next, name=name, deps=after, duration_us=duration_us))

    def collective(
        self, name: str, kind: str, size: int, *after: int, ranks: tuple[int, ...] = (), **others: object
    ) -> int:
        """`others`: as Collective's fields."""
        node = Collective(
            id=self._next,
            name=name,
            deps=after,
            collective=kind,
            bytes=size,
            ranks=ranks,
            **others,  # type: ignore[arg-type]
        )
        return self._add(node)

    def send(self, name: str, peer: int, size: int, *after: int, tag: int | None = None) -> int:
        """Without a tag the message has memory of its own."""
        own = self._next if tag is None else tag
        return self._add(SendTo(id=self._next, name=name, deps=after, peer=peer, bytes=size, tag=own))

    def receive(self, name: str, peer: int, size: int, *after: int, tag: int | None = None) -> int:
        own = self._next if tag is None else tag
        return self._add(ReceiveFrom(id=self._next, name=name, deps=after, peer=peer, bytes=size, tag=own))

    def completion(self, name: str, peer: int, size: int, *after: int, tag: int) -> int:
        """A receive that ends an operation, which begins when `after` has ended."""
        node = ReceiveFrom(
            id=self._next, name=name, deps=after, peer=peer, bytes=size, tag=tag, operation=True
        )
        return self._add(node)

    def batch(self, name: str, peer: int, size: int, *after: int, tag: int) -> int:
        """A receive of data that computations are fed with."""
        node = ReceiveFrom(id=self._next, name=name, deps=after, peer=peer, bytes=size, tag=tag, batch=True)
        return self._add(node)

    def trace(self) -> Trace:
        return Trace(rank=self.rank, nranks=self.nranks, nodes=tuple(self._nodes))

    @property
    def _next(self) -> int:
        return len(self._nodes)

    def _add(self, node: Node) -> int:
        self._nodes.append(node)
        return node.id


class CheckedProgram(Program):
    """One that somebody else writes: its methods raise ValueError for what a trace's file could not have."""

    def _add(self, node: Node) -> int:
        try:
            plain = msgspec.to_builtins(node, enc_hook=_plain)
            return super()._add(msgspec.convert(plain, Node))
        except msgspec.ValidationError as reason:
            raise ValueError(f"there is no such {kind_of(node)}: {reason}") from None


def _plain(value: Any) -> Any:
    """Of a number of numpy's."""
    if callable(getattr(value, "item", None)):
        return value.item()
    raise msgspec.ValidationError(f"{value!r} is no number")

"""Reads drawing.json: the network of a run as it is drawn.

In: the file's bytes. Out: a checked record. Owns the file's schema, as far as it is read. The file may have
been written by somebody else: what no run writes is refused by one sentence.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from analysis.results_error import ResultsError
from analysis.samples import is_word

NAME = "drawing.json"
LIMIT_BYTES = 16 << 20
_NODES, _LINKS = 4096, 1 << 14

Place = Annotated[float, msgspec.Meta(ge=-1e5, le=1e5)]
Kind = Literal["compute", "storage", "bridge", "router"]


class End(msgspec.Struct, frozen=True):
    node: str
    interface: str


class DrawnNode(msgspec.Struct, frozen=True):
    """`y` upwards; neighbours are about 1 apart."""

    name: str
    kind: Kind
    x: Place
    y: Place


class DrawnLink(msgspec.Struct, frozen=True):
    """`bend`: how far the line's control point is off its middle, to the right of the way from `a` to `b`, as
    a share of its length. `rate_bps`: 0 for none. `asked`: in words, "" for nothing."""

    a: End
    b: End
    bend: Annotated[float, msgspec.Meta(ge=-100, le=100)]
    rate_bps: Annotated[int, msgspec.Meta(ge=0, le=10**18)]
    asked: Annotated[str, msgspec.Meta(max_length=256)]


class Drawing(msgspec.Struct, frozen=True):
    shape: Annotated[str, msgspec.Meta(max_length=256)]
    nodes: Annotated[tuple[DrawnNode, ...], msgspec.Meta(min_length=1, max_length=_NODES)]
    links: Annotated[tuple[DrawnLink, ...], msgspec.Meta(max_length=_LINKS)]


def read_drawing(data: bytes, path: Path) -> Drawing:
    """The drawing that `path` held. Raises ResultsError."""
    try:
        found = msgspec.json.decode(data, type=Drawing)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ResultsError(f"{path} breaks its schema ({error}); restore it or remove it") from error
    names = {node.name for node in found.nodes}
    ends = [end for link in found.links for end in (link.a, link.b)]
    for word in (*names, *(end.interface for end in ends)):
        if not is_word(word):
            raise ResultsError(f"{path} has a name {word[:80]!r}, which is not a word; restore it")
    if unknown := {end.node for end in ends} - names:
        raise ResultsError(
            f"{path} has a link to {min(unknown)[:80]!r}, which is no node; restore it or remove it"
        )
    if not all(text.isprintable() for text in (found.shape, *(link.asked for link in found.links))):
        raise ResultsError(f"{path} has a text with control characters; restore it or remove it")
    return found

"""Layer-2 segments: which NICs are neighbours, and which router is their gateway.

In: links and what their ends are. Out: a `Segment` each. Owns nothing. A segment is what a broadcast reaches:
bridges join all their ports, a router joins those to hosts and bridges and none to other routers, a host
joins nothing. So segments are trees: a loop of bridges would flood a frame for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from topologies.link import Link, LinkEnd
from topologies.switch import Kind
from topologies.topology_error import TopologyError


class Segment(msgspec.Struct, frozen=True):
    """Number, the NICs in the hosts' order, the router that is their gateway ("" for none), the links."""

    number: int
    nics: tuple[LinkEnd, ...]
    router: str
    links: tuple[Link, ...]

    @property
    def carries_ipv6(self) -> bool:
        return all(link.carries_ipv6 for link in self.links)


def is_uplink(link: Link, kinds: Mapping[str, Kind]) -> bool:
    """Whether both ends are routers: a link that packets are routed over."""
    return all(kinds.get(end.node) == "router" for end in link.ends)


def segments(
    nics: Sequence[LinkEnd], kinds: Mapping[str, Kind], links: Collection[Link]
) -> tuple[Segment, ...]:
    """The segments of `links` that have NICs, numbered from 0 by their first NIC. `nics`: the ends that are
    hosts', in the order of hosts; `kinds`: the switches. Raises TopologyError for a loop of bridges, and for
    two routers in one segment."""
    trees = _Trees()
    local = [link for link in links if not is_uplink(link, kinds)]
    for link in local:
        joined = trees.join(*(_vertex(end, kinds) for end in link.ends))
        if not joined:
            raise TopologyError(
                f"link {link} closes a loop of bridges, which would flood frames for ever; make them routers"
                ", or leave the link out"
            )
    routers: dict[str, str] = {}
    for name, kind in kinds.items():
        if kind == "router" and (other := routers.setdefault(trees.root(name), name)) != name:
            raise TopologyError(
                f"routers {other} and {name} are in one segment, where hosts have one gateway; link them "
                "directly, or part the segment"
            )
    found: dict[str, list[LinkEnd]] = {}
    for end in nics:
        found.setdefault(trees.root(_vertex(end, kinds)), []).append(end)
    of_links: dict[str, list[Link]] = {}
    for link in local:
        of_links.setdefault(trees.root(_vertex(link.a, kinds)), []).append(link)
    return tuple(
        Segment(number, tuple(ends), routers.get(root, ""), tuple(of_links.get(root, ())))
        for number, (root, ends) in enumerate(found.items())
    )


def _vertex(end: LinkEnd, kinds: Mapping[str, Kind]) -> str:
    """A switch joins its ports; each interface of a host is by itself."""
    return end.node if end.node in kinds else f"{end.node} {end.interface}"


class _Trees:
    """Which vertices are connected (disjoint sets)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, vertex: str) -> str:
        while (parent := self._parents.get(vertex, vertex)) != vertex:
            vertex = parent
        return vertex

    def join(self, a: str, b: str) -> bool:
        """Whether they were apart until now."""
        first, second = self.root(a), self.root(b)
        self._parents[second] = first
        return first != second

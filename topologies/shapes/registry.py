"""The shapes that there are, and a topology of each by name.

In: words as `leaf_spine:leaves=4,spines=2`, a number of hosts, what links shall be. Out: a `Topology`. Owns
the list: a new shape is added here.
"""

from __future__ import annotations

from topologies import link_options
from topologies.link import GSO_LEGACY_MAX_BYTES
from topologies.link_options import LinkOptions
from topologies.names import check_unique
from topologies.net import Net
from topologies.shapes.chain import dumbbell, line, ring
from topologies.shapes.clos import fat_tree, leaf_spine, storage
from topologies.shapes.one_switch import incast, pair, star
from topologies.shapes.rails import a3, dual_plane, rail_optimized
from topologies.shapes.shape import Shape
from topologies.shapes.torus import torus2d
from topologies.topology import Topology
from topologies.topology_error import TopologyError

SHAPES = {
    each.name: each
    for each in (
        pair, star, line, ring, dumbbell, incast, leaf_spine, fat_tree, storage, rail_optimized, a3,
        dual_plane, torus2d,
    )
}  # fmt: skip


def named(text: str) -> Shape:
    """The shape of `leaf_spine:leaves=4`. Raises TopologyError."""
    name = text.partition(":")[0]
    if name not in SHAPES:
        shapes = ", ".join(SHAPES)
        raise TopologyError(
            f"there is no topology {name!r}; choose one of {shapes}, or name FILE.yaml or FILE.py,NAME"
        )
    return SHAPES[name]


def build(
    text: str,
    hosts: int | None = None,
    mtu: int = 1500,
    gso_max_bytes: int = GSO_LEGACY_MAX_BYTES,
    link: str = "",
    bottleneck: str = "",
) -> Topology:
    """The topology of `text`, a shape's name and perhaps values of its parameters, with `hosts` hosts named
    h1, h2, ...; None: as many as the shape has by default, or its parameters say.

    mtu in bytes of IP packet, gso_max_bytes the longest super-packet of every link. `link`: rate and delay of
    every link, "1Gbit,50us"; `bottleneck`: those of the shape's bottleneck. Raises TopologyError for an
    unknown shape, a number of hosts it cannot have, or limits out of range.
    """
    shape = named(text)
    values = _values(shape, text)
    if hosts is not None:
        if values.setdefault("hosts", hosts) != hosts:
            raise TopologyError(f"topology {text} has {values['hosts']:g} hosts and not {hosts}; say it once")
        shape.parameters["hosts"].check(shape.name, hosts)
    asked = link_options.parse(link).over(LinkOptions(mtu=mtu))
    net = Net(asked, link_options.parse(bottleneck), gso_max_bytes)
    shape.draw(net, **values)
    if bottleneck and not net.has_bottleneck:
        raise TopologyError(
            f"topology {shape.name} has no bottleneck; leave it out, or choose dumbbell or incast"
        )
    return net.topology(shape.name)


def _values(shape: Shape, text: str) -> dict[str, float]:
    """The parameters that `text` gives. Raises TopologyError."""
    words = text.partition(":")[2].split(",") if ":" in text else []
    pairs = [word.partition("=") for word in words]
    check_unique(f"parameter of topology {shape.name}", [name for name, _, _ in pairs])
    values = {}
    for name, equals, value in pairs:
        if name in shape.parameters and not equals:
            raise TopologyError(f"parameter {name} of topology {shape.name} has no value; write {name}=VALUE")
        if name not in shape.parameters:
            known = ", ".join(f"{each}=" for each in shape.parameters)
            raise TopologyError(f"topology {shape.name} has no parameter {name!r}; choose from {known}")
        values[name] = shape.parameters[name].parse(shape.name, value)
    return values

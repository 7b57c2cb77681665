"""Figures of topologies against what theory says of them, and their drawings."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import msgspec
import pytest

from analysis import drawing as painted
from analysis.network_plot import draw, write
from topologies.drawing import drawing
from topologies.graph import EXACT_HOSTS, Bisection, figures
from topologies.graph_text import dot, text
from topologies.layout import layout
from topologies.net import Net
from topologies.shapes.registry import SHAPES, build


@pytest.mark.parametrize(
    ("name", "diameter", "paths", "bisection", "oversubscription"),
    [
        ("pair", 1, None, 1, None),
        ("star", 2, None, 2, None),
        ("line", 5, None, 1, 1.0),
        ("ring:hosts=6", 5, (1, 2), 2, 0.5),
        ("dumbbell:hosts=6", 3, (1, 1), 1, 3.0),
        ("leaf_spine:leaves=4,spines=2,hosts=8", 4, (2, 2), 4, 1.0),
        ("leaf_spine:leaves=2,spines=1,hosts=8", 4, (1, 1), 1, 4.0),
        ("fat_tree:k=4", 6, (2, 4), 8, 1.0),
        ("rail_optimized:rails=4,spines=2,hosts=2", 2, (2, 2), 4, 1.0),
        ("dual_plane:leaves=2,spines=2", 4, (2, 2), 4, 1.0),
        ("torus2d:rows=4,columns=4", 6, (1, 24), 8, 0.25),
    ],
)
def test_figures_are_those_of_theory(
    name: str, diameter: int, paths: tuple[int, int] | None, bisection: int, oversubscription: float | None
) -> None:
    topology = build(name)
    found = figures(topology)
    assert (found.diameter_links, found.paths) == (diameter, paths)
    assert found.bisection == Bisection(bisection, True, len(topology.hosts) <= EXACT_HOSTS)
    assert found.oversubscription == oversubscription


def test_bandwidth_is_in_bits_a_second_where_links_have_rates() -> None:
    topology = build("dumbbell", 6, link="1Gbit", bottleneck="100Mbit")
    assert figures(topology).bisection == Bisection(1e8, False, True)
    assert figures(topology).oversubscription == 30.0
    some = build("dumbbell", 4, bottleneck="100Mbit")
    assert figures(some).bisection == Bisection(1e8, False, True)
    assert figures(some).oversubscription is None  # hosts send as fast as the CPU
    open_ended = build("incast", 4, bottleneck="100Mbit")
    assert figures(open_ended).bisection == Bisection(math.inf, False, True)
    assert "bisection bandwidth  not limited by a rate\n" in text(open_ended)


def test_hosts_without_a_way_to_each_other_have_no_diameter() -> None:
    net = Net()
    for _ in range(2):
        net.link(net.host(), net.router())
    assert figures(net.topology("apart")).diameter_links is None
    assert "diameter             infinite\n" in text(net.topology("apart"))
    assert "bisection bandwidth  0 links\n" in text(net.topology("apart"))


def test_parallel_links_carry_more() -> None:
    net = Net()
    left, right = net.switch(), net.router()
    for switch in (left, right):
        for _ in range(3):
            net.link(net.host(), switch)
    net.link(left, right)
    assert figures(net.topology("one")).bisection.capacity == 1
    more = Net()
    a, b = more.router(), more.router()
    for router in (a, b):
        for _ in range(3):
            more.link(more.host(), router)
    for _ in range(2):
        more.link(a, b)
    assert figures(more.topology("two")).bisection.capacity == 2
    assert figures(more.topology("two")).paths == (2, 2)


def test_every_half_of_an_odd_number_of_hosts_is_tried() -> None:
    net = Net()
    middle = net.switch()
    for rate in ("100Mbit", "100Mbit", "10Mbit"):
        net.link(net.host(), middle, rate=rate)
    assert figures(net.topology("odd")).bisection == Bisection(1e7, False, True)


def test_the_text_names_switches_links_and_figures() -> None:
    assert text(build("dumbbell", 2, link="1Gbit,50us", bottleneck="2.5Mbit,1.5ms")) == (
        "dumbbell: 2 hosts, 2 routers, 3 links\n"
        "  left       router  right h1\n"
        "  right      router  left h2\n"
        "  2.5 Mbit/s, delay 1.5 ms: left-eth1<->right-eth1\n"
        "  1 Gbit/s, delay 50 us: h1-eth0<->left-eth2, h2-eth0<->right-eth2\n"
        "diameter             3 links\n"
        "equal-cost paths     1\n"
        "bisection bandwidth  2.5 Mbit/s\n"
        "oversubscription     400 to 1\n"
    )
    assert text(build("pair")).startswith("pair: 2 hosts, 1 link\n  h1 h2\n")


def test_everything_asked_of_a_link_is_in_the_text() -> None:
    topology = build("pair", link="1Gbit,5ms")
    bad = {"jitter_s": 1e-4, "loss": 0.1, "reorder": 0.2, "duplicate": 0.3, "corrupt": 0.4}
    link = msgspec.structs.replace(topology.links[0], queue_packets=7, ecn_threshold_bytes=900, **bad)
    said = text(msgspec.structs.replace(topology, links=(link,)))
    assert (
        "  1 Gbit/s, delay 5 ms, jitter 100 us, loss 0.1, reorder 0.2, duplicate 0.3, corrupt 0.4, " in said
    )
    assert "corrupt 0.4, queue 7 packets, " in said
    assert "ECN from 900 bytes: h1-eth0<->h2-eth0" in said


def test_dot_has_every_node_and_link() -> None:
    drawn = dot(build("dumbbell", 2, bottleneck="1Gbit"))
    assert '  "left" -- "right" [label="1 Gbit/s"];\n' in drawn
    assert '  "left" [peripheries=2];\n' in drawn
    assert '  "h1" [shape=box];\n' in drawn
    assert drawn.count(" -- ") == 3


@pytest.mark.parametrize("name", [*SHAPES, "torus2d:rows=2,columns=4", "ring:hosts=12", "star:hosts=40"])
def test_no_two_nodes_of_a_drawing_are_in_each_others_way(name: str) -> None:
    topology = build(name)
    places = layout(topology)
    assert places.keys() == {host.name for host in topology.hosts} | {each.name for each in topology.switches}
    assert min(math.dist(a, b) for a, b in itertools.combinations(places.values(), 2)) > 0.4


def test_layers_circles_and_grids() -> None:
    tree = layout(build("fat_tree"))
    heights = {name.rstrip("0123456789"): y for name, (_, y) in tree.items()}
    assert heights["h"] < heights["edge"] < heights["agg"] < heights["core"]
    assert {y for name, (_, y) in tree.items() if name.startswith("agg")} == {heights["agg"]}
    ring = layout(build("ring", 5))
    assert len({round(math.hypot(*at), 6) for name, at in ring.items() if name.startswith("r")}) == 1
    torus = layout(build("torus2d:rows=3,columns=4"))
    assert torus["r1"][1] == torus["r4"][1] > torus["r5"][1]
    assert torus["r1"][0] == torus["r5"][0] < torus["r2"][0]


def as_painted(name: str, link: str = "", bottleneck: str = "") -> painted.Drawing:
    drawn = drawing(build(name, link=link, bottleneck=bottleneck))
    return msgspec.convert(drawn, painted.Drawing, from_attributes=True)


def test_links_bend_where_they_would_hide_another_or_pass_a_node() -> None:
    assert {link.bend for link in drawing(build("star")).links} == {0.0}
    circle = drawing(build("torus2d:rows=3,columns=3"))
    bends = {link.bend for link in circle.links}
    assert 0.0 in bends
    assert len(bends) > 1
    net = Net()
    a, b = net.router(), net.router()
    for _ in range(2):
        net.link(a, b)
    for switch in (a, b):
        net.link(net.host(), switch)
    first, second = drawing(net.topology("two")).links[:2]
    assert (first.bend == 0, second.bend == 0) == (True, False)


def test_a_picture_has_a_colour_for_each_quality_and_a_legend(tmp_path: Path) -> None:
    figure = draw(as_painted("dumbbell", link="1Gbit", bottleneck="1Mbit"), "diameter 3 links")
    assert figure.get_supxlabel() == "diameter 3 links"
    (legend,) = figure.legends
    assert [each.get_text() for each in legend.get_texts()] == ["compute", "router", "1 Mbit/s", "1 Gbit/s"]
    colours = {patch.get_edgecolor() for patch in figure.axes[0].patches}
    assert len(colours) == 2
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        write(as_painted("pair"), "", tmp_path / f"x{suffix}")
        assert (tmp_path / f"x{suffix}").read_bytes().startswith(start)


def test_the_text_says_which_accelerators_are_beside_which_nic() -> None:
    two = build("rail_optimized:rails=2,accelerators=4,spines=1")
    assert "  h1, h2: eth0 accel0 accel1, eth1 accel2 accel3\n" in text(two)
    assert "accel" not in text(build("star"))
    first, second = two.hosts
    limited = msgspec.structs.replace(first, host_mem_bw_bytes_per_s=20e9, pcie_bw_bytes_per_s=16e9)
    memory = msgspec.structs.replace(first.accelerators[3], memory_bytes=16 << 30)
    limited = msgspec.structs.replace(limited, accelerators=(*first.accelerators[:3], memory))
    said = text(msgspec.structs.replace(two, hosts=(limited, second)))
    assert "  h1: eth0 accel0 accel1, eth1 accel2 accel3 (16 GiB), memory 20 GB/s, PCIe 16 GB/s\n" in said
    assert "  h2: eth0 accel0 accel1, eth1 accel2 accel3\n" in said
def test_directions_that_differ_are_both_in_the_text_and_the_slower_one_limits() -> None:
    topology = build("pair", 2, link="10Mbit/100Mbit,1ms,loss=0/gemodel:10%,90%")
    said = text(topology)
    asked = "up 10 Mbit/s, delay 1 ms; down 100 Mbit/s, delay 1 ms, loss 0.1 in bursts"
    assert f"  {asked}: h1-eth0<->h2-eth0\n" in said
    assert "bisection bandwidth  10 Mbit/s\n" in said
    assert 'label="up 10 Mbit/s' in dot(topology)

"""docs/topologies.md: its drawings, its tables, its programs and its commands are those of the shapes."""

from __future__ import annotations

import re
import shlex
import sys
import typing
from pathlib import Path

import pytest

from commands import dispatch
from tests.docs import pages
from tests.docs.pages import block, command
from topologies.custom import load as load_topo
from topologies.file.load import load
from topologies.graph_text import figure_lines, text
from topologies.link_options import LinkOptions
from topologies.net import Net
from topologies.routing import Paths
from topologies.shapes.registry import SHAPES, build
from topologies.shapes.shape import Shape

PAGE = "docs/topologies.md"
COMMANDS = block("docs/topologies.md", "python3 run.py graph")
SHAPE = block("docs/topologies.md", "from typing import Annotated")
RACKS = block("docs/topologies.md", "# racks.yaml")
MINE = block("docs/topologies.md", "# mine.py")
OF_README = command("README.md", "python3 run.py graph fat_tree")
SHAPES_TEXT = pages.text(PAGE).partition("### Parameters")[0]
DRAWINGS = dict(re.findall(r"^### (\w+)\n.*?^```text\n(.*?)^```$", SHAPES_TEXT, re.DOTALL | re.MULTILINE))


def test_every_shape_is_drawn_and_none_else() -> None:
    assert list(DRAWINGS) == list(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_a_drawing_has_the_shapes_nodes_and_figures(name: str) -> None:
    topology = build(name)
    first, *drawing, last = DRAWINGS[name].splitlines()
    assert first == text(topology).splitlines()[0]
    assert last == ", ".join(f"{figure} {value}" for figure, value in figure_lines(topology))
    nodes = {host.name for host in topology.hosts} | {switch.name for switch in topology.switches}
    words = set(re.findall(r"[a-z]+[0-9]+|left|right", " ".join(drawing)))
    assert words == nodes


def test_every_parameter_is_in_the_table() -> None:
    declared = [
        [f"`{shape.name}`", f"`{each.name}`", f"{each.default:g}", each.bounds, each.parameter.help]
        for shape in SHAPES.values()
        for each in shape.parameters.values()
    ]
    assert [row for row in pages.table(PAGE, "Shapes") if len(row) == 5] == declared


def test_every_field_of_a_link_is_in_the_table() -> None:
    hints = typing.get_type_hints(LinkOptions, include_extras=True)
    fields = [
        [f"`{name}`", hints[name].__metadata__[0].description] for name in LinkOptions.__struct_fields__
    ]
    assert pages.table(PAGE, "A file of your own") == fields


def test_the_address_table_is_the_plan() -> None:
    cells = " ".join(" ".join(row) for row in pages.table(PAGE, "Addresses"))
    router = build("ring").switch("r3")
    assert router.local is not None
    nic = build("ring").host("h3").nics[0]  # segment 2
    here = [
        nic.kernel_address.replace("/16", ""),
        nic.endpoint_address.replace("/16", ""),
        nic.gateway,
        nic.gateway6,
    ]
    for address in (*here, nic.kernel_address6, nic.endpoint_address6):
        pattern = address.replace("10.2.", "10.s.").replace("fd00:2:", "fd00:s:")
        assert re.sub(r"(?<=[.:])3(?=$|/)", "i", pattern) in cells


def test_the_shape_of_ones_own_is_one() -> None:
    names: dict[str, Shape] = {}
    exec(SHAPE, names)
    border = names["border"]
    net = Net()
    border.draw(net, hosts=5)
    topology = net.topology("border")
    assert (len(topology.hosts), len(topology.segments())) == (5, 2)
    assert [link.rate_bps for link in topology.links].count(10**8) == 2
    assert Paths(topology).count("r1", "10.1.0.0/16") == 1
    assert border.parameters["hosts"].bounds == "2 to 254"


def test_the_file_of_ones_own_says_what_its_comments_say(tmp_path: Path) -> None:
    (tmp_path / "racks.yaml").write_text(RACKS)
    topology = load(tmp_path / "racks.yaml", Net())
    assert {host.name: len(host.nics) for host in topology.hosts} == {"h1": 1, "h2": 1, "h3": 1, "h4": 2}
    assert [each.nic for each in topology.host("h4").accelerators] == ["h4-eth0", "h4-eth1"]
    said = set(re.findall(r"(\w+): [\d.]", RACKS))
    assert set(LinkOptions.__struct_fields__) <= said, "a field of links that the example leaves out"


def test_the_topo_is_a_loop_that_routers_may_close(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    topology, note = load_topo(f"{tmp_path}/mine.py,triangle", Net(), routers=True)
    assert (len(topology.hosts), len(topology.routers), note) == (3, 3, "")
    assert {link.rate_bps for link in topology.links} == {0, 10**7}


def test_the_pages_commands_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "racks.yaml").write_text(RACKS)
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    said = []
    for line in (*COMMANDS.splitlines(), OF_README):
        python, *words = shlex.split(line, comments=True)
        assert python == "python3"
        monkeypatch.setattr(sys, "argv", words)
        assert dispatch.main() == 0, line
        said.append(capfd.readouterr().out)
    assert said[0] == text(build("leaf_spine:leaves=4,spines=2", 8))
    assert said[1] == said[2] == ""
    assert (tmp_path / "dumbbell.png").read_bytes().startswith(b"\x89PNG")
    assert "torus2d" in (tmp_path / "torus.svg").read_text()
    assert said[3] == "racks.yaml: 4 hosts, 3 switches, 7 links, no problem\n"
    assert said[4].startswith("racks: 4 hosts, 1 bridge, 2 routers, 7 links\n")
    assert said[5].startswith("triangle: 3 hosts, 3 routers, 6 links\n")
    assert said[6] == text(build("fat_tree"))

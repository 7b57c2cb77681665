"""validate and graph: exit statuses and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

import commands.list
from commands import graph, validate
from commands.topology import topology_of
from commands.usage import UsageError
from topologies.shapes.registry import SHAPES
from topologies.topology import Topology
from workloads.experiment.records import NetworkConfig

TWO = "hosts: {h1: , h2: }\nlinks:\n- {endpoints: [h1, h2]}\n"


def of(words: str, hosts: int | None = None, **asked: str | bool | int) -> Topology:
    return topology_of(words, hosts, NetworkConfig(**asked))  # type: ignore[arg-type]


def refused(words: str, hosts: int | None = None, **asked: str | bool | int) -> str:
    with pytest.raises(UsageError) as reason:
        of(words, hosts, **asked)
    assert "\n" not in str(reason.value)
    return str(reason.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "two.yaml").write_text(TWO)
    return tmp_path / "two.yaml"


def test_validate_ends_with_0_without_problems_1_with_and_2_without_a_file(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate.command(file) == 0
    assert capsys.readouterr().out == f"{file}: 2 hosts, 0 switches, 1 links, no problem\n"
    file.write_text(TWO + "- 1\n- 2\n")
    assert validate.command(file) == 1
    assert capsys.readouterr().out == (
        f"{file}:4: links[1] is no mapping; write lines of NAME: VALUE\n"
        f"{file}:5: links[2] is no mapping; write lines of NAME: VALUE\n"
    )
    with pytest.raises(UsageError, match=r"none.yaml cannot be read"):
        validate.command(Path("/none.yaml"))


def test_a_topology_file_is_a_topology_with_what_the_command_line_asks(file: Path) -> None:
    (link,) = of(str(file), mtu=9000, link="1Gbit", gso_max_bytes=100_000).links
    assert (link.mtu, link.rate_bps, link.gso_max_bytes) == (9000, 10**9, 100_000)


def test_what_does_not_go_with_a_file_or_a_shape_is_refused(file: Path) -> None:
    assert "has 2 hosts and not 3; leave --hosts out" in refused(str(file), 3)
    assert "--bottleneck is for shapes that have one" in refused(str(file), bottleneck="1Gbit")
    assert "--routers is for a Mininet Topo" in refused(str(file), routers=True)
    assert "--routers is for a Mininet Topo" in refused("star", routers=True)
    assert "none.yaml cannot be read" in refused("none.yaml")
    assert "'x.py' is not FILE.py,NAME" in refused("x.py")
    assert "there is no file x.py" in refused("x.py,X")
    file.write_text("1")
    assert "two.yaml:1: the file is no mapping" in refused(str(file))


def test_a_note_about_a_topo_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.py").write_text(
        "from mininet.topo import Topo\n"
        "class My(Topo):\n"
        "    def build(self):\n"
        "        self.addLink(self.addHost('h1', ip='10.9.9.9'), self.addHost('h2'))\n"
    )
    assert of(f"{tmp_path}/my.py,My").shape == "My"
    assert capsys.readouterr().err == (
        "run.py: hosts have the addresses of the address plan: h1 not 10.9.9.9\n"
    )


def test_graph_writes_what_the_files_name_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph.command("pair")
    assert capsys.readouterr().out.startswith("pair: 2 hosts, 1 link\n")
    graph.command("ring", tmp_path / "ring.dot", hosts=5)
    assert (tmp_path / "ring.dot").read_text().count("--") == 10
    graph.command("ring", tmp_path / "ring.png")
    assert (tmp_path / "ring.png").stat().st_size > 1000
    with pytest.raises(UsageError, match=r"ring.pdf is none of .png, .svg and .dot; choose one"):
        graph.command("ring", tmp_path / "ring.pdf")
    with pytest.raises(UsageError, match="topology ring cannot have 2 hosts"):
        graph.command("ring", hosts=2)


def test_commands_that_draw_have_help(capsys: pytest.CaptureFixture[str]) -> None:
    for module in (graph, validate):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command()(module.command)
        with pytest.raises(SystemExit):
            app(["--help"])
        assert str(module.command.__doc__) in capsys.readouterr().out


@pytest.mark.parametrize(("nic", "tx_queues"), [("generic", 1), ("combined", 5)])
def test_an_interface_has_as_many_queues_as_the_endpoints_nic(nic: str, tx_queues: int) -> None:
    topology = topology_of("star", 2, NetworkConfig(rx_queues=5, nic=nic))
    nics = [each for host in topology.hosts for each in host.nics]
    assert {(each.rx_queues, each.tx_queues) for each in nics} == {(5, tx_queues)}


def test_list_has_a_line_a_shape_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    commands.list.command()
    lines = capsys.readouterr().out.partition("--workload")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["--topology", *SHAPES]
    (fat_tree,) = (line for line in lines if line.startswith("  fat_tree "))
    assert fat_tree.endswith("with k ports (k)")

"""The command graph: a topology drawn, and its figures.

In: what --topology takes. Out: text on stdout, or a picture or DOT text in a file. Owns nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from commands.topology import topology_of
from commands.usage import UsageError
from workloads.experiment.records import NetworkConfig

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES: tuple[type[Exception], ...] = ()
_TEXTS, _PICTURES = (".dot", ".gv"), (".png", ".svg")

Name = Annotated[str, typer.Argument(help="A shape, FILE.yaml or FILE.py,NAME.", metavar="TOPOLOGY")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="A file: .png, .svg or .dot.")]
Hosts = Annotated[int | None, typer.Option(help="How many hosts.")]
Link = Annotated[str, typer.Option(help="Rate and delay of every link, as 1Gbit,50us.")]
Bottleneck = Annotated[str, typer.Option(help="Rate and delay of the shape's bottleneck.")]
Routers = Annotated[bool, typer.Option("--routers", help="Switches of a Mininet Topo become routers.")]


def command(  # its parameters are the command line's
    name: Name,
    output: Output = None,
    hosts: Hosts = None,
    link: Link = "",
    bottleneck: Bottleneck = "",
    routers: Routers = False,
) -> None:
    """A topology's nodes, paths and bandwidth, as text or drawn."""
    if output is not None and output.suffix not in (*_TEXTS, *_PICTURES):
        raise UsageError(f"--output {output} is none of .png, .svg and .dot; choose one")
    topology = topology_of(name, hosts, NetworkConfig(link=link, bottleneck=bottleneck, routers=routers))
    from topologies.graph_text import dot, figure_lines, text  # networkx and matplotlib take their time

    if output is None:
        print(text(topology), end="")
    elif output.suffix in _TEXTS:
        output.write_text(dot(topology))
    else:
        from analysis import drawing as painted
        from analysis.network_plot import write
        from topologies.drawing import drawing

        words = "   ".join(f"{name} {value}" for name, value in figure_lines(topology))
        write(msgspec.convert(drawing(topology), painted.Drawing, from_attributes=True), words, output)

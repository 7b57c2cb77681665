"""docs/contributing/: each page's example is one that the project would take."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from nodes.nic import nic_model
from tests.docs.pages import block, command
from topologies.graph_text import text
from topologies.net import Net
from topologies.shapes import registry
from topologies.shapes.shape import Shape
from topologies.topology_error import TopologyError
from workloads import pattern

SHAPE = block("docs/contributing/shape.md", "from typing import Annotated")
SHAPE_CHECK = block("docs/contributing/shape.md", "from topologies.routing import Paths")
WORKLOAD = block("docs/contributing/workload.md", "from typing import Annotated")
ENTRY = block("docs/contributing/workload.md", "from workloads.pattern import Pattern")
WORKLOAD_CHECK = block("docs/contributing/workload.md", "from workloads.trace.dry_run import")
MODEL = block("docs/contributing/nic-model.md", "from nodes.nic.nic_model import")
OBSTACLE = block("docs/contributing/nic-model.md", "assert SHORT.obstacle")
EXCHANGE = block("docs/contributing/nic-model.md", "from tests.path.two_hosts import")
# Each is run where its own page is tested; here is what the pages of this folder say of them.
REFERENCE = {
    command("docs/contributing/index.md", ".venv/bin/python -m tests.docs.reference"),
    command("docs/contributing/workload.md", ".venv/bin/python -m tests.docs.reference"),
    command("docs/contributing/nic-model.md", ".venv/bin/python -m tests.docs.reference"),
}
SCHEMA = {
    command("docs/contributing/index.md", ".venv/bin/python -m workloads.sweep.schema"),
    command("docs/contributing/workload.md", ".venv/bin/python -m workloads.sweep.schema"),
    command("docs/contributing/nic-model.md", ".venv/bin/python -m workloads.sweep.schema"),
}
OTHERS = (
    command("docs/contributing/index.md", ".venv/bin/python -m tests.docs.channel_page"),
    command("docs/contributing/index.md", ".venv/bin/python -m tests.semantics.document"),
)


def run(*sources: str) -> dict[str, Any]:
    """The names that these blocks define, one after the other."""
    names: dict[str, Any] = {"__name__": "example"}
    for source in sources:
        exec(compile(source, "docs/contributing", "exec"), names)
    return names


def test_the_shape_is_built_drawn_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    names = run(SHAPE, SHAPE_CHECK)
    building: Shape = names["building"]
    monkeypatch.setitem(registry.SHAPES, "building", building)
    names["check"](registry.build("building:branches=3", 6, bottleneck="100Mbit"))
    assert "root" in text(registry.build("building"))
    assert len(registry.build("building:branches=5").hosts) == 10
    for hosts in (int(building.hosts.min), int(building.hosts.max)):
        building.draw(net := Net(), hosts=hosts)
        assert len(net.topology("building").hosts) == hosts
    with pytest.raises(TopologyError, match="ask for more hosts"):
        registry.build("building:branches=5", 4)


def test_the_pattern_becomes_a_workload_whose_traces_are_right() -> None:
    names = run(WORKLOAD, ENTRY, WORKLOAD_CHECK)
    mine: pattern.Pattern = names["HALO"]
    assert list(inspect.signature(mine.write).parameters) == ["rank", "nranks", "size", "options", "seed"]
    workload = pattern.workload(mine)
    assert (workload.name, workload.options) == ("halo", names["HaloOptions"])


def test_the_nic_model_drops_what_its_buffer_is_too_short_for(monkeypatch: pytest.MonkeyPatch) -> None:
    names = run(MODEL, OBSTACLE)
    short: nic_model.NicModel = names["SHORT"]
    monkeypatch.setitem(nic_model.MODELS, short.name, short)
    run(MODEL, EXCHANGE)


def test_the_pages_name_one_command_for_each_page_that_is_made() -> None:
    assert (len(REFERENCE), len(SCHEMA), len(OTHERS)) == (1, 1, 2)

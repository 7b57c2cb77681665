"""docs/faults.md: its kinds are the sources', its schedule is one, its options are the command line's."""

from __future__ import annotations

import re
from pathlib import Path

from commands.faults import asked_faults
from tests.docs import pages
from topologies.fault import KINDS, Fault, Scope, check, parse
from topologies.file.faults import load
from topologies.shapes.registry import build
from workloads.experiment.records import ExperimentConfig, NetworkConfig

PAGE = "docs/faults.md"
LASTS = {"may": "may be given", "must": "must be given", "no": ""}
OF_README = "link-down:h1-eth0,at=2s,for=500ms"


def test_every_kind_is_in_the_table() -> None:
    rows = pages.table(PAGE, "Kinds")
    assert [pages.named(row[0]) for row in rows] == [[name] for name in KINDS]
    for row, kind in zip(rows, KINDS.values(), strict=True):
        _, target, value, lasts, meaning = row
        assert (target, lasts, meaning) == (kind.target, LASTS[kind.lasts], kind.meaning)
        assert bool(value) is (kind.value is not None)


def test_every_fault_that_is_named_is_one() -> None:
    (of_page,) = re.findall(r"--fault (\S+)", pages.text(PAGE))
    for text in (of_page, OF_README):
        assert isinstance(check(parse(text), Scope(build("pair"), 2)), Fault)
    assert f"`--fault {OF_README}`" in pages.text("README.md")


def test_every_option_that_is_named_exists() -> None:
    fields = {f"--{name.replace('_', '-')}" for name in ExperimentConfig.__struct_fields__}
    options = {word for code in pages.inline_code(PAGE) for word in re.findall(r"--[a-z-]+", code)}
    assert {"--fault", "--faults", "--seed", "--timeout", "--impair"} == options
    assert options - {"--timeout"} <= fields
    assert "timeout_s" in ExperimentConfig.__struct_fields__


def test_the_schedule_hurts_in_six_ways(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(pages.block(PAGE, "# faults.yaml"))
    scope = Scope(build("leaf_spine"), standing=True)
    scheduled = load(path, scope)
    assert len({fault.kind for fault in scheduled}) == 6
    both = NetworkConfig(faults=str(path), fault=(OF_README,))
    assert [each.text for each in asked_faults(both, scope)] == [*(f.text for f in scheduled), OF_README]

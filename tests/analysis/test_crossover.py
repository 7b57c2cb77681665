"""The line rate at which bounce falls behind, as arithmetic and from a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.crossover import UNLIMITED, Limits, Need, crossover, highest_rate
from analysis.load import load
from analysis.memory_plots import compared_needs
from analysis.needs import dram_per_busbw_byte, need_of
from analysis.summary import summarise
from tests.analysis.synthetic import MIB, Made

BOUNCE, DEVMEM = Need(8.0, 2.0), Need(0.03, 1.0)


@pytest.mark.parametrize(
    ("need", "limits", "rate"),
    [
        (BOUNCE, Limits(dram=16.0), 2.0),
        (BOUNCE, Limits(dram=16.0, pcie=3.0), 1.5),
        (BOUNCE, Limits(pcie=3.0), 1.5),
        (DEVMEM, Limits(pcie=3.0), 3.0),
        (Need(0.0, 1.0), Limits(dram=1.0), UNLIMITED),
        (BOUNCE, Limits(), UNLIMITED),
    ],
)
def test_a_path_is_as_fast_as_its_scarcest_resource(need: Need, limits: Limits, rate: float) -> None:
    assert highest_rate(need, limits) == rate


def test_bounce_falls_behind_where_its_highest_rate_is() -> None:
    assert crossover(BOUNCE, DEVMEM, Limits(dram=16.0)) == 2.0
    assert crossover(BOUNCE, DEVMEM, Limits(dram=16.0, pcie=3.0)) == 1.5


def test_paths_that_need_the_same_never_part() -> None:
    assert crossover(DEVMEM, DEVMEM, Limits(dram=16.0)) is None
    assert crossover(Need(8.0, 1.0), DEVMEM, Limits(pcie=3.0)) is None, "PCIe holds both up alike"


@pytest.mark.parametrize(
    ("made", "bounce"),
    [
        (Made(sizes=(16 * MIB,)), Need(8.0, 2.0)),
        (Made(workload="stream", sizes=(16 * MIB,), repetitions=1), Need(4.0, 1.0)),
        (Made(workload="stream", sizes=(16 * MIB,), bidir=True), Need(8.0, 2.0)),
    ],
    ids=["collective", "one way", "both ways"],
)
def test_a_runs_need_is_its_dram_for_each_byte_of_rate(tmp_path: Path, made: Made, bounce: Need) -> None:
    summary = summarise(load(made.write(tmp_path / "r")))
    found = compared_needs(summary)
    assert found["bounce"].dram == pytest.approx(bounce.dram, rel=1e-2)
    assert found["bounce"].pcie == pytest.approx(bounce.pcie)
    assert found["devmem"].dram == pytest.approx(bounce.dram / 4 * 132 / 65536, rel=1e-2)
    assert found["devmem"].pcie == 1.0
    assert dram_per_busbw_byte(summary[1]) == found["bounce"].dram


def test_what_was_not_recorded_has_no_need(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem", "bounce"))
    rows = [row | {"host_dram_read_bytes": None} for row in made.rows()]
    summary = summarise(load(made.write(tmp_path / "r", rows)))
    assert [need_of(row) for row in summary] == [None, None]
    assert compared_needs(summary) == {}

"""Latencies and losses as they are drawn: what is known, where it stands, what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import latency_plot, loss_plot
from analysis.load import load
from analysis.memory_plots import Look
from analysis.style import MARKERS, PATH_COLOURS
from analysis.summary import SummaryRow, summarise
from tests.analysis.synthetic import MIB, Made

LOOKS = {path: Look(path, colour, MARKERS[path]) for path, colour in PATH_COLOURS.items()}
MEASURE = Made().measure()


@pytest.fixture
def row(tmp_path: Path) -> SummaryRow:
    (found,) = summarise(load(Made(sizes=(MIB,), paths=("devmem",)).write(tmp_path / "r")))
    return found


def test_operations_come_before_ranks_and_a_stream_has_neither(row: SummaryRow) -> None:
    ranks = replace(row, rank_time_p50_us=1.0, rank_time_p95_us=2.0, rank_time_p99_us=3.0)
    asked = replace(ranks, latency_p50_us=4.0, latency_p95_us=5.0, latency_p99_us=6.0)
    found = latency_plot.known([ranks, asked], MEASURE)
    assert [times for _, times in found] == [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)]
    stream = Made(workload="stream").measure()
    assert [times for _, times in latency_plot.known([ranks, asked], stream)] == [(4.0, 5.0, 6.0)]
    assert latency_plot.known([replace(ranks, rank_time_p95_us=None)], MEASURE) == []


def test_a_line_goes_from_the_median_to_the_99th_percentile(row: SummaryRow) -> None:
    axes = Figure().add_subplot()
    caption = latency_plot.paint(axes, [(row, (1e3, 2e3, 4e3))], MEASURE, LOOKS)
    stem, median, hollow, last = (np.array(line.get_ydata(), float) for line in axes.get_lines())
    assert list(stem) == [1, 4]
    assert (list(median), list(hollow), list(last)) == ([1], [2], [4])
    assert axes.get_ylabel() == "iteration of a rank (ms)"
    assert caption.startswith("Measured. How long each rank took")


@pytest.mark.parametrize("highest_us", [40.0, 100.0, 1e3, 1e5])
def test_the_axis_of_times_names_two_values_at_least(highest_us: float, row: SummaryRow) -> None:
    axes = Figure().add_subplot()
    latency_plot.paint(axes, [(row, (20.0, 30.0, highest_us))], MEASURE, LOOKS)
    low, high = axes.get_ylim()
    ticks = [*axes.yaxis.get_ticklabels(minor=False), *axes.yaxis.get_ticklabels(minor=True)]
    named = {each.get_text() for each in ticks if each.get_text() and low <= each.get_position()[1] <= high}
    assert len(named) >= 2


def test_counters_that_counted_nothing_are_not_drawn(row: SummaryRow) -> None:
    lost = replace(row, tcp_retrans_segs=7, link_drops=0, rx_alloc_fail=None)
    assert loss_plot.counted([row, lost]) == ["tcp_retrans_segs"]
    figure = Figure()
    caption = loss_plot.paint(figure, [lost], LOOKS)
    (axes,) = figure.axes
    assert [each.get_text() for each in axes.get_yticklabels()] == ["retransmitted"]
    legend = axes.get_legend()
    assert legend is not None
    assert [each.get_text() for each in legend.get_texts()] == [LOOKS[row.path].label]
    assert [text.get_text() for text in axes.texts] == [" 7"]
    assert "page pool" not in caption


def test_pools_are_drawn_beside_counters_as_percent(row: SummaryRow) -> None:
    assert not loss_plot.has_something([replace(row, rx_pool_peak_share=None)])
    full = replace(row, rx_pool_peak_share=0.25)
    assert loss_plot.has_something([full])
    figure = Figure()
    assert "page pool" in loss_plot.paint(figure, [full], LOOKS)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["25.0 %"]
    assert [patch.get_extents().ymax for patch in axes.patches] == [axes.transData.transform((0, 25))[1]]

"""Congestion control in time, in a run's directory and in its figure."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest
from matplotlib.colors import to_hex

from analysis.analyse import analyse
from analysis.captioned_figure import painted
from analysis.load import load
from analysis.results_error import ResultsError
from analysis.style import PATH_COLOURS
from analysis.tcp_info import TcpInfoRow
from analysis.tcp_plot import CONNECTIONS, paint, shown
from tests.analysis.synthetic import Made
from tests.docs import pages
from workloads.experiment.tcp_info import TcpInfoSample

LABELS = {"devmem": "devmem", "kernel": "kernel"}


def row(path: str, at_s: float, **more: int | None) -> TcpInfoRow:
    """A sample of rank 0's connection to rank 1, which has had `at_s` megabytes acknowledged."""
    given = TcpInfoRow(path, 8, 0, 0, 1, 0, 1e9 + at_s, 0, 1448, 10, None, 1000, 100, 200_000, 0, 0, 0, 5,
                       int(at_s * 1e6))  # fmt: skip
    return msgspec.structs.replace(given, **more)


ROWS = [
    row(path, at, ssthresh_segs=at or None, total_retrans_segs=5 + at) for path in LABELS for at in (0, 1, 2)
]


def write(directory: Path, rows: list[TcpInfoRow], paths: tuple[str, ...] = ("devmem", "kernel")) -> Path:
    write_rows(Made(paths=paths, sizes=(1 << 20,)).write(directory), rows)
    return directory


def write_rows(directory: Path, rows: list[TcpInfoRow]) -> None:
    with (directory / "tcp_info.csv").open("w", newline="") as file:
        csv.writer(file).writerows([TcpInfoRow.__struct_fields__, *map(msgspec.structs.astuple, rows)])


def test_what_is_read_is_what_is_written_and_documented() -> None:
    assert TcpInfoRow.__struct_fields__ == TcpInfoSample.__struct_fields__
    rows = pages.table("docs/reference/columns.md", "tcp_info.csv")
    documented = [pages.named(cells[0])[0] for cells in rows]
    assert documented == list(TcpInfoRow.__struct_fields__)


def test_rows_are_loaded_and_drawn_and_a_run_without_has_none(tmp_path: Path) -> None:
    run = write(tmp_path / "r", ROWS)
    assert load(run).tcp_info == tuple(ROWS)
    assert "congestion.png" in {path.name for path in analyse(run).figure_paths}
    (run / "tcp_info.csv").unlink()
    assert load(run).tcp_info == ()
    assert "congestion.png" not in {path.name for path in analyse(run).figure_paths}


def test_a_row_that_no_run_writes_is_refused(tmp_path: Path) -> None:
    run = write(tmp_path / "r", [row("devmem", 0, cwnd_segs=-1)])
    with pytest.raises(ResultsError, match=r"tcp_info\.csv line 2 .*cwnd_segs"):
        load(run)


def test_the_last_trial_of_each_path_is_shown_and_what_only_received_is_not() -> None:
    last = [row("devmem", at, size_bytes=16, repetition=2) for at in (0, 1)]
    other = [msgspec.structs.replace(each, rank=1, peer=0, bytes_acked=1) for each in last]
    assert shown([*ROWS, *other, *last]) == {
        "devmem": {(0, 1, 0): last}, "kernel": {(0, 1, 0): ROWS[3:]},
    }  # fmt: skip
    many = [msgspec.structs.replace(each, flow=flow) for each in ROWS for flow in range(CONNECTIONS + 3)]
    assert {len(connections) for connections in shown(many).values()} == {CONNECTIONS}


def test_windows_trips_and_retransmissions_begin_with_the_trial() -> None:
    figure = painted(lambda figure: paint(figure, ROWS, LABELS, "Measured"))
    windows, trips, again = figure.axes
    colours = {to_hex(line.get_color()).upper() for axes in (trips, again) for line in axes.get_lines()}
    assert colours == {PATH_COLOURS["devmem"], PATH_COLOURS["kernel"]}
    for axes, values in ((trips, [1, 1, 1]), (again, [0, 1, 2])):
        for line in axes.get_lines():
            assert np.array(line.get_xdata(), float) == pytest.approx([0, 1, 2])
            assert np.array(line.get_ydata(), float) == pytest.approx(values)
    window, threshold = (np.array(line.get_ydata(), float) for line in windows.get_lines()[:2])
    assert window == pytest.approx([10, 10, 10])
    assert threshold == pytest.approx([1, 2]), "there was none before the first loss"

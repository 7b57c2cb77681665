"""Every figure: units at its axes, the same colour for a path everywhere, PNG and SVG, a caption."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import msgspec
import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from analysis import figures, network_plot, several_runs, style
from analysis.analyse import analyse
from analysis.captioned_figure import CaptionedFigure, painted
from analysis.drawing import Drawing
from analysis.frames import Frames, frames
from analysis.loss_plot import COUNTERS
from analysis.notebook import recorded
from analysis.results_error import ResultsError
from analysis.style import OTHER_COLOURS, PATH_COLOURS
from tests.analysis.synthetic import FAULTS, MIB, Made, write_ledger, write_links
from tests.analysis.test_tcp_info import ROWS, write

Maker = Callable[[Path], CaptionedFigure]


PATHS = (*PATH_COLOURS,)  # of the runs that are drawn


def made(directory: Path, **more: Any) -> Frames:
    return frames(Made(**{"sizes": (MIB, 2 * MIB), "paths": PATHS} | more).write(directory / "r"))


def with_links(directory: Path) -> Frames:
    path = Made(sizes=(MIB,), paths=PATHS).write(directory / "r")
    write_links(path, PATHS)
    return frames(path)


def with_tcp_info(directory: Path) -> Frames:
    rows = [msgspec.structs.replace(row, path=path) for path in PATHS for row in ROWS[:3]]
    return frames(write(directory / "r", rows, PATHS))


def with_pools(directory: Path, hosts: int = 2) -> Frames:
    path = Made(sizes=(MIB,), paths=PATHS).write(directory / "r")
    write_ledger(path, PATHS, [f"h{number}" for number in range(1, hosts + 1)])
    return frames(path)


def niovs(directory: Path) -> list[Frames]:
    return [made(directory / str(size), config={"niov_bytes": size}) for size in (4096, 65536)]


def scales(directory: Path) -> list[Frames]:
    return [made(directory / str(count), config={"ranks": count}) for count in (16, 2)]


def memories(directory: Path) -> list[Frames]:
    return [made(directory / str(rate), config={"host_mem_bw_bytes_per_s": rate}) for rate in (1e9, 4e9)]


MAKERS: dict[str, Maker] = {
    "rate": lambda place: figures.rate(made(place)),
    "rate of one size": lambda place: figures.rate(with_links(place)),
    "goodput": lambda place: figures.rate(made(place, workload="stream", bidir=True)),
    "host_dram": lambda place: figures.host_dram(made(place)),
    "cpu": lambda place: figures.cpu(made(place)),
    "ceiling": lambda place: figures.ceiling(made(place, config={"host_mem_bw_bytes_per_s": 2e9})),
    "latency": lambda place: figures.latency(made(place)),
    "losses": lambda place: figures.losses(made(place, lost=7)),
    "pools": lambda place: figures.pools(with_pools(place)),
    "timeline": lambda place: figures.timeline(made(place, manifest={"faults": FAULTS})),
    "links": lambda place: figures.links(with_links(place)),
    "congestion": lambda place: figures.congestion(with_tcp_info(place)),
    "iterations": lambda place: figures.iterations(made(place)),
    "niov_sizes": lambda place: several_runs.niov_sizes(niovs(place)),
    "scale": lambda place: several_runs.scale(scales(place)),
    "crossover": lambda place: several_runs.crossover(memories(place)),
    "two_runs": lambda place: several_runs.two_runs(made(place / "a"), made(place / "b")),
}
# In parentheses, or what is counted; ticks of sizes have units themselves, and those of paths need none.
UNIT = re.compile(
    r"\((GB/s|GB/s, measured|Gbit/s|MB/s|ms|s|segments|ratio|number|%)\)$"
    r"|^bytes |^CPU seconds per GB|^seconds|^host DRAM bytes per byte|^% of|^message size$|^path"
)


@pytest.mark.usefixtures("real_png")
@pytest.mark.parametrize("name", MAKERS)
def test_axes_have_units_and_figures_have_captions(name: str, tmp_path: Path) -> None:
    figure = MAKERS[name](tmp_path)
    assert imread(BytesIO(figure.png())).std() > 0
    assert figure.caption.endswith(".")
    assert figure.caption.startswith(("Measured", "Modelled", "Counted", "Each host's"))
    for axes in figure.axes:
        if axes.axison:
            for axis, label in ((axes.xaxis, axes.get_xlabel()), (axes.yaxis, axes.get_ylabel())):
                assert UNIT.search(label) if label else has_names(axis), f"{name}: {label!r} has no unit"


def test_the_legend_of_iterations_lies_above_the_points_and_beside_the_title(tmp_path: Path) -> None:
    """Also with the longest names of paths."""
    paths = {"devmem(RX-only)": 2.0, "bounce": 1.0, "kernel(clean-wire)": 4.0}
    figure = figures.iterations(made(tmp_path, paths=tuple(paths), gigabyte_per_s=paths))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= axes.bbox.y1
    (title,) = (text for text in axes.findobj(Text) if text.get_text() == axes.get_title("left"))
    assert legend.get_window_extent().x0 > title.get_window_extent().x1


@pytest.mark.parametrize("name", ["rate", "latency"])
def test_a_legend_lies_above_all_points(name: str, tmp_path: Path) -> None:
    figure = MAKERS[name](tmp_path)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    points = np.vstack([axes.transData.transform(line.get_xydata()) for line in axes.lines])
    assert points[:, 1].max() < legend.get_window_extent().y0


def has_names(axis: Axis) -> bool:
    """Whether an axis without a label shows paths, counters, or nothing since a panel beside it has it."""
    shown = [tick.get_text() for tick in axis.get_ticklabels() if tick.get_visible()]
    return {text.split("\n")[0] for text in shown} <= {*PATH_COLOURS, *COUNTERS.values()}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("path", PATH_COLOURS)
def test_a_path_has_its_colour_and_no_other_paths(
    name: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PATHS", (path,))
    used = colours(MAKERS[name](tmp_path))
    assert used & {*PATH_COLOURS.values()} == {PATH_COLOURS[path]}


def test_pools_have_a_panel_a_host_and_beyond_six_the_fullest(tmp_path: Path) -> None:
    two, nine = (figures.pools(with_pools(tmp_path / str(hosts), hosts)) for hosts in (2, 9))
    assert [axes.get_ylabel() for axes in two.axes] == ["h1 (%)", "h2 (%)"]
    shares = two.axes[0].patches[0].get_data().values  # type: ignore[attr-defined]
    assert [*shares] == [0, 12.5, 25, 37.5]
    assert len(nine.axes) == 6
    assert "3 others are in ledger.csv" in nine.caption
    assert nine.get_figheight() > two.get_figheight()


def colours(figure: Figure) -> set[str]:
    """Of all that is drawn."""
    found = []
    for artist in figure.findobj():
        for name in ("get_color", "get_facecolor", "get_edgecolor", "get_markerfacecolor"):
            given = getattr(artist, name, lambda: "none")()
            several = isinstance(given, list | np.ndarray) and np.ndim(given) > 1
            found += [*given] if several else [given]
    return {to_hex(each).upper() for each in found if not isinstance(each, str) or each != "none"}


def test_networks_and_quantities_have_no_colour_of_a_path() -> None:
    node = {"y": 0.0}
    kinds = ("compute", "storage", "bridge", "router")
    nodes = [{"name": f"n{at}", "kind": kind, "x": float(at)} | node for at, kind in enumerate(kinds)]
    ends = [{"node": each["name"], "interface": f"{each['name']}-eth0"} for each in nodes]
    links = [
        {"a": ends[0], "b": ends[1], "bend": 0.1 * at, "rate_bps": 10**9, "asked": f"quality {at}"}
        for at in range(6)
    ]
    drawing = msgspec.convert({"shape": "some", "nodes": nodes, "links": links}, Drawing)
    used = colours(network_plot.draw(drawing, "words"))
    assert used & {*PATH_COLOURS.values()} == set()
    shades = {to_hex(style.AMOUNT(step / 100)).upper() for step in range(101)}
    assert shades & {*PATH_COLOURS.values(), *OTHER_COLOURS[1:]} == set()


def test_an_unknown_path_has_a_colour_of_its_own() -> None:
    names = ["devmem", "rdma", "bounce", "quic"]
    assert len({style.colour_of(name, names) for name in names}) == 4


def luminance(colour: str) -> float:
    """As WCAG 2 has it."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("path", PATH_COLOURS)
def test_lines_stand_out_from_the_figures_own_ground(path: str) -> None:
    """3 to 1, as WCAG 2 asks of graphics; the ground is the figure's, so the page's theme does not matter."""
    figure = painted(lambda figure: figure.add_subplot().get_title())
    ground = to_hex(figure.get_facecolor())
    assert to_rgba(figure.get_facecolor())[3] == 1, "opaque"
    assert (luminance(ground) + 0.05) / (luminance(PATH_COLOURS[path]) + 0.05) >= 3


@pytest.mark.usefixtures("real_svg")
def test_the_report_saves_each_figure_as_png_and_as_svg(tmp_path: Path) -> None:
    run = Made(sizes=(MIB,)).write(tmp_path / "r")

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (run / "figures").iterdir()}

    page = analyse(run).report_path.read_text()
    before = files()
    assert set(before) == {
        f"{name}.{suffix}"
        for name in ("busbw", "host_dram", "cpu", "crossover", "latency")
        for suffix in ("png", "svg")
    }
    for name, data in before.items():
        assert name in page
        if name.endswith(".svg"):
            assert ElementTree.fromstring(data).tag.endswith("svg")
            assert b"<dc:date>" not in data
    plain = frames(run)
    assert figures.host_dram(plain).png() == before["host_dram.png"], "a notebook shows the report's figure"
    assert figures.host_dram(plain).svg() == before["host_dram.svg"]
    analyse(run)
    assert files() == before


@pytest.mark.usefixtures("real_svg")
def test_a_notebook_shows_a_figure_with_its_caption_in_the_themes_colours(tmp_path: Path) -> None:
    figure = figures.host_dram(made(tmp_path))
    shown = figure._repr_html_()
    (described,) = re.findall(r'aria-describedby="([^"]+)"', shown)
    assert f'<figcaption id="{described}">{html.escape(figure.caption)}</figcaption>' in shown
    assert 'aria-label="Host DRAM traffic per payload byte, all_reduce of 2 MiB"' in shown
    style, _, drawn = shown.partition("</style>")
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", drawn), "a colour that no theme changes"
    for variable in set(re.findall(r"var\(--([\w-]+)\)", drawn)):
        assert style.count(f"--{variable}:") == 2, "light, and dark"
    assert "--paper:var(--jp-layout-color0," in style


@pytest.mark.usefixtures("real_png")
def test_a_users_settings_change_no_byte_of_a_figure(tmp_path: Path) -> None:
    run = made(tmp_path)
    before = figures.cpu(run).png()
    with mpl.rc_context({"font.size": 40, "figure.facecolor": "black", "hatch.linewidth": 9}):
        assert figures.cpu(run).png() == before


def test_scale_has_the_numbers_of_ranks_in_their_order(tmp_path: Path) -> None:
    axes = several_runs.scale(scales(tmp_path)).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "16"]
    assert all(list(line.get_xdata()) == [2, 16] for line in axes.lines if len(line.get_xdata()) == 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (figures.ceiling, "--host-mem-bw"), (figures.timeline, "--fault"), (figures.links, "its links"),
        (figures.congestion, "--tcp-info"),
        (lambda run: several_runs.niov_sizes([recorded_without(run, "niov_bytes")]), "without niov_bytes"),
        (lambda run: several_runs.crossover([run]), "without host_mem_bw_bytes_per_s"),
        (lambda run: several_runs.scale([run]), "without ranks"),
        (lambda _: several_runs.niov_sizes([]), "no run"),
    ],
)  # fmt: skip
def test_a_run_that_lacks_what_a_figure_needs_is_told(
    tmp_path: Path, draw: Callable[[Frames], object], said: str
) -> None:
    with pytest.raises(ResultsError, match=said):
        draw(made(tmp_path))


def recorded_without(run: Frames, option: str) -> Frames:
    del run.run.manifest.config[option]
    return run


def test_the_ratio_of_two_runs_is_that_of_their_medians(tmp_path: Path) -> None:
    before = made(tmp_path / "a", iterations=4)
    faster = {"devmem": 2.5, "bounce": 1.0, "kernel": 2.0}
    after = made(tmp_path / "b", iterations=4, gigabyte_per_s=faster)
    found = several_runs.ratios(before, after)
    rows = {(row["path"], row["size_bytes"]): row for row in found.to_dict("records")}
    assert rows["devmem", MIB]["ratio"] == pytest.approx(2)
    assert rows["bounce", MIB]["ratio"] == pytest.approx(1)
    assert [rows[path, MIB]["told_apart"] for path in PATHS] == [True, False, False]
    assert rows["devmem", MIB]["ci_low"] < 2 < rows["devmem", MIB]["ci_high"]
    other = made(tmp_path / "c", paths=("devmem",), config={"paths": ["devmem"]})
    stream = made(tmp_path / "d", workload="stream", paths=("bounce",), config={"paths": ["bounce"]})
    with pytest.raises(ResultsError, match="no path and size in common"):
        several_runs.ratios(other, stream)


def test_what_memory_allows_is_the_limit_over_the_bytes_of_the_ledger(tmp_path: Path) -> None:
    """On four ranks a host moves 2 payload bytes for each byte of busbw, and bounce 4 of DRAM for each."""
    figure = several_runs.crossover(memories(tmp_path))
    (axes,) = figure.axes
    line = next(
        line for line in axes.get_lines()
        if line.get_linestyle() == ":" and line.get_color() == PATH_COLOURS["bounce"]
    )  # fmt: skip
    limits_MB, allowed = np.array(line.get_xdata(), float), np.array(line.get_ydata(), float)
    assert allowed == pytest.approx(limits_MB / 1000 / 8, rel=0.01)


def test_what_was_recorded_for_notebooks_is_named() -> None:
    with pytest.raises(ResultsError, match="no run 'nothing' is recorded; choose from"):
        recorded("nothing")


@pytest.mark.parametrize("module", ["analysis.figures", "analysis.several_runs", "analysis.notebook"])
def test_settings_that_cannot_be_read_keep_no_notebook_from_drawing(tmp_path: Path, module: str) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe: 1")
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"MPLBACKEND": "no_such_backend", "PYTHONPATH": root}
    command = [sys.executable, "-c", f"import {module}"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)

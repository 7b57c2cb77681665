"""What links carried, in a run's directory and in its report."""

from __future__ import annotations

import csv
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from analysis import drawing as read_drawing
from analysis import link_plot
from analysis.analyse import analyse
from analysis.drawing import Drawing
from analysis.link_usage import LinkUsage, Use, busiest, uses
from analysis.load import load
from analysis.results_error import ResultsError
from analysis.wire import wire_bytes
from tests.analysis.synthetic import MIB, Made
from tests.docs import pages
from topologies import drawing as written_drawing
from topologies.shapes.registry import build
from workloads.experiment import link_usage as written

MADE = Made(sizes=(MIB,), paths=("devmem", "kernel"), nranks=2)
GBIT = 10**9


def row(path: str, sender: str, receiver: str, sent: int, asked_bps: int = 0, **more: int) -> LinkUsage:
    """Sent in ten milliseconds."""
    given = LinkUsage(path, MIB, 0, sender, receiver, 0.01, 4, sent, sent // 1000, asked_bps, 1500)
    return msgspec.structs.replace(given, **more)


def drawn(name: str, hosts: int | None = None, link: str = "") -> Drawing:
    return msgspec.convert(
        written_drawing.drawing(build(name, hosts, link=link)), Drawing, from_attributes=True
    )


def write(directory: Path, rows: list[LinkUsage], drawing: Drawing) -> Path:
    MADE.write(directory)
    with (directory / "link_usage.csv").open("w", newline="") as file:
        csv.writer(file).writerows([LinkUsage.__struct_fields__, *map(msgspec.structs.astuple, rows)])
    (directory / "drawing.json").write_bytes(msgspec.json.encode(drawing))
    return directory


PAIR = [
    row("devmem", "h1-eth0", "h2-eth0", 625_000, GBIT),
    row("devmem", "h2-eth0", "h1-eth0", 125_000, GBIT),
    row("kernel", "h1-eth0", "h2-eth0", 1_000_000, GBIT),
    row("kernel", "h2-eth0", "h1-eth0", 0, GBIT),
]


def test_what_is_read_is_what_is_written_and_documented() -> None:
    assert LinkUsage.__struct_fields__ == written.LinkUsage.__struct_fields__
    rows = pages.table("docs/reference/columns.md", "link_usage.csv")
    documented = [pages.named(cells[0])[0] for cells in rows]
    assert documented == list(LinkUsage.__struct_fields__)
    for name in ("DrawnNode", "DrawnLink", "Drawing"):
        ours, theirs = getattr(read_drawing, name), getattr(written_drawing, name)
        assert ours.__struct_fields__ == theirs.__struct_fields__
    kinds = {kind for each in ("dumbbell", "storage", "star") for kind in {n.kind for n in drawn(each).nodes}}
    assert kinds == set(typing.get_args(read_drawing.Kind))


def test_a_rate_is_all_repetitions_bytes_over_their_timed_parts_when_largest() -> None:
    rows = [
        row("devmem", "a", "b", 100_000, GBIT, size_bytes=8),
        row("devmem", "a", "b", 300_000, GBIT),
        row("devmem", "a", "b", 500_000, GBIT, repetition=1),
    ]
    (found,) = uses(rows)
    wire = wire_bytes(300_000, 300, 1500) + wire_bytes(500_000, 500, 1500)
    assert found.sent_bytes == 800_000
    assert found.rate_bps == pytest.approx(8 * wire / 0.02)
    assert found.share == pytest.approx(8 * wire / 0.02 / GBIT)
    assert uses([msgspec.structs.replace(rows[0], timed_s=0.0)]) == []


def test_a_super_packet_crosses_a_link_as_wire_packets_with_a_header_each() -> None:
    assert wire_bytes(66 + 10 * 1448, 1, 1500) == pytest.approx(10 * 1514)
    assert wire_bytes(64 * 66, 64, 1500) == 64 * 66  # acknowledgements


def test_the_busiest_are_those_next_to_their_limit() -> None:
    slow, full, free = (Use("devmem", name, "x", asked, 1, rate) for name, asked, rate in
                        (("slow", GBIT, 4e8), ("full", 10**8, 9e7), ("free", 0, 5e9)))  # fmt: skip
    assert busiest([slow, free, full], 3) == [full, slow, free]
    assert busiest([slow, free, full], 1) == [full]


def test_each_half_of_a_link_is_what_the_node_beside_it_sent() -> None:
    figure, found = Figure(), uses(PAIR)
    labels = {"kernel": "k", "devmem": "d"}
    caption = link_plot.paint(figure, drawn("pair", link="1Gbit"), found, labels, "Seconds")
    kernel, devmem = figure.axes[:2]
    assert [axes.get_title(loc="center") for axes in (kernel, devmem)] == ["k", "d"]  # in the labels' order
    first, second = devmem.get_lines()
    assert first.get_linewidth() > second.get_linewidth()
    assert first.get_color() != second.get_color()
    xs: list[Any] = [each.get_xdata() for each in (first, second)]
    assert xs[0][-1] == xs[1][-1], "they meet in the middle"
    assert xs[0][0] != xs[1][0]
    texts = [each.get_text() for each in devmem.texts]
    assert [link_plot.label(use) for use in found[:2]] == [each for each in texts if each[0] != "h"]
    assert kernel.get_lines()[1].get_linestyle() == ":", "nothing was sent"
    assert caption.startswith("Seconds, from the counters")
    assert "of the asked rate" in caption


def test_labels_give_rate_and_share() -> None:
    use = Use("devmem", "a", "b", GBIT, 1, 9.397e8)
    assert link_plot.label(use) == "940M\n94 %"
    assert link_plot.label(Use("devmem", "a", "b", 0, 1, 1.234e10)) == "12.3G"
    assert [link_plot.short_rate(bps) for bps in (0.0, 999.0, 1e3, 5e12)] == ["0", "999", "1k", "5T"]


@pytest.mark.parametrize(
    ("name", "labelled"),
    [("leaf_spine:leaves=4,spines=2,hosts=8", True), ("fat_tree:k=4", False), ("star:hosts=64", False)],
)
def test_only_a_network_of_few_links_has_figures_at_them(name: str, labelled: bool) -> None:
    drawing, figure = drawn(name), Figure()
    ends = [pair for link in drawing.links for pair in ((link.a, link.b), (link.b, link.a))]
    found = uses([row("devmem", a.interface, b.interface, 1000) for a, b in ends])
    caption = link_plot.paint(figure, drawing, found, {"devmem": "devmem"}, "Seconds")
    texts = [each for each in figure.axes[0].texts if isinstance(each, Annotation)]
    names = {node.name for node in drawing.nodes}
    assert sum(text.get_text() not in names for text in texts) == labelled * 2 * len(drawing.links)
    assert (names <= {text.get_text() for text in texts}) is (name != "star:hosts=64")  # too small to be read
    assert ("too many links" in caption) is not labelled


def test_the_report_has_the_drawing_and_a_table_of_the_busiest(tmp_path: Path) -> None:
    analysis = analyse(write(tmp_path / "r", PAIR, drawn("pair", link="1Gbit")))
    assert "links.png" in [path.name for path in analysis.figure_paths]
    page = analysis.report_path.read_text()
    section = page.split("What the links carried</h3>")[1].split("<h3>")[0]
    assert section.index('id="figure-links"') < section.index("All directions of links")
    cells = section.split("<tr>")[2]
    assert [text for text in ("kernel", "h1-eth0", "h2-eth0", "1.000", "1.0") if text not in cells] == []
    many = [row("devmem", f"h{number}-eth0", "s1-eth1", 1000 + number) for number in range(40)]
    page = analyse(write(tmp_path / "s", many, drawn("pair"))).report_path.read_text()
    assert "The busiest 16 of 40 directions" in page
    assert "h39-eth0" in page
    assert "h3-eth0" not in page


def test_a_run_of_an_earlier_version_has_no_such_part(run_dir: Path) -> None:
    analysis = analyse(run_dir)
    assert "links.png" not in [path.name for path in analysis.figure_paths]
    assert "What the links carried" not in analysis.report_path.read_text()
    assert load(run_dir).damage == ()


def test_files_that_were_changed_or_removed_are_told(tmp_path: Path) -> None:
    directory = write(tmp_path / "r", PAIR, drawn("pair"))
    (directory / "drawing.json").unlink()
    Made(manifest={"files": {"drawing.json": "0", "link_usage.csv": "0"}}).write(directory)
    assert [said.split(" is ")[0] for said in load(directory).damage] == ["link_usage.csv", "drawing.json"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sent_bytes", "-1", "line 2 breaks its schema"),
        ("timed_s", "nan", "line 2 breaks its schema"),
        ("asked_bps", "1e30", "line 2 breaks its schema"),
        ("mtu", "", "line 2 breaks its schema"),
        ("sender", "two words", "'two words', which is not a word"),
    ],
)
def test_a_row_that_no_run_writes_is_refused(tmp_path: Path, name: str, value: str, said: str) -> None:
    directory = write(tmp_path / "r", PAIR, drawn("pair"))
    with (directory / "link_usage.csv").open(newline="") as file:
        header, first, *rest = csv.reader(file)
    first[header.index(name)] = value
    with (directory / "link_usage.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, first, *rest])
    with pytest.raises(ResultsError, match=f"link_usage.csv {said}|link_usage.csv line 2 has {said}"):
        load(directory)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"kind":"compute"', '"kind":"toaster"', "breaks its schema"),
        ('"x":0.5', '"x":1e300', "breaks its schema"),
        ('"node":"h2"', '"node":"h9"', "has a link to 'h9', which is no node"),
        ('"name":"h1"', '"name":"h 1"', "has a name 'h 1', which is not a word"),
        ('"shape":"pair"', '"shape":"\\u001b"', "has a text with control characters"),
        ('"shape"', "shape", "breaks its schema"),
        ('"nodes":[', '"nodes":[[[', "breaks its schema"),
    ],
)
def test_a_drawing_that_no_run_writes_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    directory = write(tmp_path / "r", PAIR, drawn("pair"))
    file = directory / "drawing.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ResultsError, match=f"drawing.json {said}"):
        load(directory)

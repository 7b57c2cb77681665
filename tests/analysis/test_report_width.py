"""The report's tables fit a window of 1100 pixels, by the widths of the widest of its fonts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from analysis.load import load
from analysis.plots import Figures
from analysis.report import write_report
from analysis.summary import summarise
from tests.analysis.synthetic import MIB, Made
from tests.analysis.test_table import both_places

WINDOW, SCROLLBAR, REM = 1100, 15, 16.0
GIB = 1 << 30
NOTES = [
    {"path": "devmem", "mark": "RX only", "text": "it stages what it sends"},
    {"path": "kernel", "mark": "clean wire", "text": "its frames pass no NIC of ours"},
]


class Tables(HTMLParser):
    """Of each table the lines of each column. A cell that may wrap has none."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[int, list[str]]] = []
        self._column, self._open = -1, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.found.append({})
        elif tag == "tr":
            self._column = -1
        elif tag in ("td", "th"):
            self._column += 1
            self._open = "wrap" not in (dict(attrs).get("class") or "")
            self.found[-1].setdefault(self._column, []).append("")
        elif tag == "br" and self._open:
            self.found[-1][self._column].append("")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.found[-1][self._column][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag not in ("td", "th")


def width_px(font: FT2Font, line: str) -> float:
    font.set_text(line.strip(), 0.0)
    return float(font.get_width_height()[0] / 64)


def rems(style: str, rule: str) -> float:
    found = re.search(rule, style)
    assert found, rule
    return float(found[1])


@pytest.mark.parametrize(
    ("workload", "both"), [("all_reduce", False), ("all_reduce", True), ("stream", False)]
)
def test_no_table_is_wider_than_the_window(workload: str, both: bool, tmp_path: Path) -> None:
    """`both`: a collective out of place and in place."""
    made = Made(workload=workload, sizes=(MIB, GIB), nranks=16, bidir=True, manifest={"notes": NOTES})
    run = load(made.write(tmp_path / "r", both_places(made, 2.0) if both else None))
    style, _, page = write_report(run, summarise(run), Figures()).read_text().partition("</style>")
    font = FT2Font(font_manager.findfont("DejaVu Sans"))
    font.set_size(rems(style, r"\btable \{[^}]*font-size: ([.\d]+)rem") * REM, 72)
    padding = rems(style, r"\bth, td \{ padding: [.\d]+rem ([.\d]+)rem") * REM
    margin = rems(style, r"\bbody \{[^}]*padding: 0 ([.\d]+)rem") * REM
    tables = Tables()
    tables.feed(page)
    assert len(tables.found[0]) >= 12, "the columns of the results"
    for columns in tables.found:
        widths = [2 * padding + max(width_px(font, line) for line in lines) for lines in columns.values()]
        assert sum(widths) <= WINDOW - SCROLLBAR - 2 * margin, columns

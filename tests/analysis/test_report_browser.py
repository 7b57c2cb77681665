"""The reports in a browser: nothing is missing, nothing is too wide, everybody can read them.

What a page must have is held against what analysis drew. axe-core judges names, structure and contrast.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from analysis import captioned_figure
from analysis.analyse import analyse
from analysis.sweep_report import write_sweep_report
from commands.report import cells_of
from tests.analysis.browser import Browser
from tests.analysis.made_sweep import made_sweep
from tests.analysis.synthetic import FAULTS, MIB, TRAFFIC, Made, write_ledger, write_links
from tests.analysis.test_table import both_places
from tests.analysis.test_tcp_info import ROWS, write_rows

pytestmark = pytest.mark.timeout(300)  # a browser starts slowly on a busy machine

PHONE, WINDOW = 390, 1100
EVERY = {
    "busbw", "host_dram", "ceiling", "crossover", "cpu", "latency", "timeline", "host_dram_time", "losses",
    "pools", "links", "congestion",
}  # fmt: skip
NOTES = [
    {"path": "devmem", "mark": "RX only", "text": "it stages what it sends"},
    {"path": "kernel", "mark": "clean wire", "text": "its frames pass no NIC of ours"},
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Of a run that has everything, of a stream, of a run that failed at once, and of a sweep."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(captioned_figure, "DPI", 20)  # of PNGs, which are not in a page
        yield _drawn(tmp_path_factory.mktemp("pages"))


def _drawn(place: Path) -> dict[str, Path]:
    more: dict[str, Any] = {"faults": FAULTS, "traffic": TRAFFIC, "notes": NOTES}
    limit: dict[str, object] = {"host_mem_bw_bytes_per_s": 2e9}
    full = Made(sizes=(MIB, 1 << 30), nranks=4, repetitions=2, lost=7, config=limit, manifest=more)
    run = full.write(place / "full", both_places(full, 2.0))
    write_ledger(run, hosts=("h1", "h2"))
    write_links(run)
    write_rows(run, ROWS)
    failed = Made(manifest={"status": "failed", "error": "h2 died"}).write(place / "failed")
    (failed / "samples.csv").unlink()
    stream = Made(workload="stream", sizes=(10**9,), bidir=True).write(place / "stream")
    found = {each.name: analyse(each).report_path for each in (run, failed, stream)}
    sweep = made_sweep(place / "sweep", {"hosts": ["2", "4", "8"], "niov-size": ["4K", "64K"]}, failed=1)
    drawn = write_sweep_report(sweep, list(cells_of(sweep)), ["x: h1 died"], ["run.py", "sweep"])
    found["sweep"] = drawn.path
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert shutil.which("chromium"), "chromium is missing; run `make setup`, which installs it"
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core's source."""
    found = find_spec("axe_core_python")
    assert found
    assert found.submodule_search_locations
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


def test_every_figure_is_there_and_has_a_name(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["full"], WINDOW)
    found = browser.run(
        "[...document.querySelectorAll('figure svg')].map(svg => [svg.closest('figure').id,"
        " svg.getBoundingClientRect().height > 100, svg.getAttribute('aria-label').length > 9,"
        " document.getElementById(svg.getAttribute('aria-describedby')) !== null])"
    )
    assert {name for name, *_ in found} == {f"figure-{name}" for name in EVERY}
    assert all(all(facts) for _, *facts in found), found


@pytest.mark.parametrize(
    ("page", "dark"), [("full", False), ("stream", True), ("failed", True), ("sweep", False)]
)
def test_a_phone_scrolls_one_way_and_nothing_is_wrong(
    page: str, dark: bool, browser: Browser, pages: dict[str, Path], axe: str
) -> None:
    browser.open(pages[page], PHONE, dark)
    assert browser.run("document.documentElement.scrollWidth") <= PHONE
    assert browser.requests == [pages[page].as_uri()], "the page asks for nothing else"
    rules = "{runOnly: ['color-contrast']}" if dark else "{}"  # the rest is the same in the dark
    browser.run(f"{axe}; 0")
    told = "({violations: all.violations, passes: all.passes.map(each => each.id)})"
    found = browser.run(f"axe.run({rules}).then(all => {told})")
    wrong = [(each["id"], [node["html"] for node in each["nodes"][:3]]) for each in found["violations"]]
    assert wrong == []
    assert len(found["passes"]) >= (1 if dark else 12), "it looked"
    browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= PHONE, "unfolded, too"
    assert browser.messages == []


@pytest.mark.parametrize("page", ["full", "stream"])
def test_no_table_is_wider_than_a_window(page: str, browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages[page], WINDOW)
    wide = browser.run(
        "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth)"
        ".map(box => box.getAttribute('aria-label') + ' ' + box.scrollWidth)"
    )
    assert wide == []


def test_figures_take_the_colours_that_the_reader_prefers(browser: Browser, pages: dict[str, Path]) -> None:
    def colours(dark: bool, medium: str = "") -> list[str]:
        browser.open(pages["full"], WINDOW, dark)
        if medium:
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            browser.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        return list(browser.run(
            "[getComputedStyle(document.documentElement).backgroundColor, ...['text', 'path'].map(kind =>"
            " getComputedStyle(document.querySelector('#figure-busbw ' + kind)).fill)]"
        ))  # fmt: skip

    light, dark = colours(dark=False), colours(dark=True)
    assert light[0] == light[2] == "rgb(255, 255, 255)", "a figure stands on the page's ground"
    assert dark[0] == dark[2] != light[0]
    assert dark[1] != light[1]
    assert colours(dark=True, medium="print") == light, "paper is white"

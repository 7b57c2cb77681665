"""docs/tutorial.md word for word, but for `make demo`: what it shows runs, and gives what it says.

All of it runs under a simulated clock, without root. The second run and the comparison are for the soak.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import block
from tests.system.reader import project, typed

pytestmark = pytest.mark.timeout(300)

NETWORK = block("docs/tutorial.md", "# lab.yaml")
LOOK = block("docs/tutorial.md", "python3 run.py validate lab.yaml").splitlines()
WORKLOAD = block("docs/tutorial.md", '"""halo.py: ranks in a ring compute')
RUN = block("docs/tutorial.md", "python3 run.py --run-id first")
SHOWN = block("docs/tutorial.md", "# halo.py:halo on lab.yaml").splitlines()
FIGURE = block("docs/tutorial.md", '"""figure.py RUN')
DRAW = block("docs/tutorial.md", ".venv/bin/python figure.py first")
CHANGED = block("docs/tutorial.md", '"""halo.py: ranks in a ring exchange')
AGAIN = block("docs/tutorial.md", "python3 run.py --run-id second")


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The tutorial's directory after its first run, and the table that was printed."""
    place = project(tmp_path_factory.mktemp("tutorial"))
    (place / "lab.yaml").write_text(NETWORK)
    (place / "halo.py").write_text(WORKLOAD)
    (place / "figure.py").write_text(FIGURE)
    return place, typed(RUN, place)


def test_the_network_is_as_oversubscribed_as_the_page_says(tmp_path: Path) -> None:
    place = project(tmp_path)
    (place / "lab.yaml").write_text(NETWORK)
    validate, graph = LOOK
    assert typed(validate, place).endswith("no problem\n")
    assert typed(graph, place).splitlines()[-1].split() == ["oversubscription", "4", "to", "1"]


def test_the_first_run_prints_the_table_that_is_shown(first: tuple[Path, str]) -> None:
    """Its words; its figures change with the model of a host's costs."""
    _, printed = first
    lines = printed.splitlines()
    assert lines[0] == SHOWN[0]
    assert [line.split() for line in lines[1:3]] == [line.split() for line in SHOWN[1:3]]
    found, shown = rows(printed)[2:], rows("\n".join(SHOWN))[2:]
    assert [row[0:3] + row[-1:] for row in found] == [row[0:3] + row[-1:] for row in shown]
    assert [row[2] for row in found] == ["devmem", "bounce"] * 3
    for row in found:
        staged = {"devmem": 0.0, "bounce": 4.0}[row[2]]
        assert (row[4], row[8]) == ("100.0", "0"), "computed, and nothing wrong"
        assert 0 <= float(row[9]) - staged < 0.1


def test_a_figure_of_ones_own_is_drawn(first: tuple[Path, str]) -> None:
    place, _ = first
    assert typed(DRAW, place) == ""
    drawn = (place / "exposed.svg").read_text()
    assert all(f"<!-- {path}, first -->" in drawn for path in ("devmem", "bounce"))
    assert "<svg" in (place / "host_dram.svg").read_text()


@pytest.mark.soak
def test_what_is_sent_while_computing_is_faster(first: tuple[Path, str]) -> None:
    place, _ = first
    (place / "halo.py").write_text(CHANGED)
    run, compare, draw = AGAIN.replace("\\\n", "").splitlines()
    exposed = {(row[0], row[2]): float(row[5]) for row in rows(typed(run, place))[2:]}
    assert exposed["65536", "devmem"] == 0.0 < exposed["1048576", "devmem"]
    compared = rows(typed(compare, place))[1:]
    assert [row[-1] for row in compared] == ["faster"] * 6
    assert typed(draw, place) == ""
    assert "<!-- bounce, second -->" in (place / "exposed.svg").read_text()

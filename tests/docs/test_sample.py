"""README.md's sample is of a form that today's sources print, and its figure says what its table says."""

from __future__ import annotations

import re
from pathlib import Path

from analysis.load import load
from analysis.summary import summarise
from analysis.table import table_text
from tests.analysis.synthetic import MIB, Made
from tests.analysis.test_table import both_places
from tests.docs import pages, sample

BLOCK = pages.block("README.md", "$ python3 run.py")
ALT = re.compile(r"!\[Host DRAM traffic per payload byte: ([^]]*)\]")


def test_the_sample_has_the_tables_columns_and_a_line_a_path_and_size(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,))
    run = load(made.write(tmp_path / "r", both_places(made, 2.0)))
    lines = [line.split() for line in BLOCK.splitlines()]
    header = next(line for line in lines if line[0] == "size")
    rows = [line for line in lines if line[0].isdigit()]
    assert header in [line.split() for line in table_text(run, summarise(run)).splitlines()]
    assert [(int(row[0]), row[5]) for row in rows] == [
        (size * MIB, path) for size in (1, 4, 16) for path in ("devmem", "bounce", "kernel")
    ]
    assert {len(row) for row in rows} == {len(header)}


def test_the_figures_text_has_the_tables_numbers() -> None:
    largest = [line.split() for line in BLOCK.splitlines() if line.startswith("16777216")]
    (said,) = ALT.findall(pages.text("README.md"))
    assert said == ", ".join(f"{row[5]} {row[-2].rstrip('*')}" for row in largest)


def test_a_new_output_takes_the_place_of_the_old_one_and_nothing_else_changes() -> None:
    page = pages.text("README.md")
    new = sample.renewed(page, "# of today\n# Report: results/x\n", {"devmem": 0.5, "bounce": 4})
    assert "    --path devmem,bounce,kernel --repeat 3\n# of today\n# Report: results/x\n```\n" in new
    assert ALT.findall(new) == ["devmem 0.5000, bounce 4.0000"]
    assert sample.words()[:3] == ["run.py", "--topology", "star"]
    back = sample.renewed(new, BLOCK.split("--repeat 3\n")[1], {})
    assert ALT.sub("", back) == ALT.sub("", page)


def test_the_figures_numbers_are_those_of_the_largest_size_out_of_place() -> None:
    found = sample.figures_of(pages.ROOT / "tests/analysis/recorded/all_reduce")
    assert found.keys() == {"devmem", "bounce", "kernel"}
    assert found["devmem"] < 0.1 < found["kernel"] < found["bounce"]

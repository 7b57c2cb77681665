"""README.md's sample: the output of the command that it shows, and that run's figure of host memory.

    .venv/bin/python -m tests.docs.sample

In: the command of the page. Out: the page with what the command prints today, docs/host_dram.png. Owns
nothing; the run's directory is removed. Needs root, and a quiet machine: the page shows its seconds.
"""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.docs import pages
from tests.docs.pages import ROOT

PAGE = "README.md"
_PICTURE = ROOT / "docs/host_dram.png"
_ALT = re.compile(r"!\[Host DRAM traffic per payload byte: [^]]*\]\(docs/host_dram\.png\)")


def words() -> list[str]:
    """Of the command, without the prompt and what starts Python."""
    return shlex.split(_command(pages.text(PAGE)).removeprefix("$ python3 ").replace("\\\n", " "))


def renewed(page: str, printed: str, figures: Mapping[str, float]) -> str:
    """`page` with what the command has `printed`; `figures`: host DRAM bytes a payload byte, by path."""
    command = _command(page)
    begin = page.index(command) + len(command)
    page = page[:begin] + printed + page[page.index("```", begin) :]
    said = ", ".join(f"{path} {value:.4f}" for path, value in figures.items())
    return _ALT.sub(f"![Host DRAM traffic per payload byte: {said}](docs/host_dram.png)", page)


def _command(page: str) -> str:
    (found,) = re.findall(r"^```console\n(\$ python3 run\.py (?:.*\\\n)*.*\n)", page, re.MULTILINE)
    return str(found)


def figures_of(run_dir: Path) -> dict[str, float]:
    """Host DRAM bytes a payload byte of the largest size, by path, as the figure shows."""
    with (run_dir / "summary.csv").open(encoding="utf-8", newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["in_place"] != "True"]
    largest = max(int(row["size_bytes"]) for row in rows)
    column = "host_dram_bytes_per_payload_byte"
    return {row["path"]: float(row[column]) for row in rows if int(row["size_bytes"]) == largest}


def main() -> None:
    with TemporaryDirectory() as place:
        command = [sys.executable, *words(), "--results", place]
        printed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        (run_dir,) = Path(place).iterdir()
        shutil.copy(run_dir / "figures/host_dram.png", _PICTURE)
        page = renewed(pages.text(PAGE), printed.replace(place, "results"), figures_of(run_dir))
    (ROOT / PAGE).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

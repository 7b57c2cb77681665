"""The reference report of docs/reproduction.md, of recorded outcomes.

In: docs/reproduction, or a directory that `run.py reproduce` made, from which the data are taken first. Out:
docs/reproduction/claims.png and all below the page's last heading. Owns nothing.
`.venv/bin/python -m tests.docs.reproduction [DIR]`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec

from analysis.claims import OUTCOMES, SUMMARY, Outcome
from analysis.claims_plot import figure
from analysis.claims_text import counts, table
from tests.docs.pages import ROOT

PAGE = ROOT / "docs/reproduction.md"
RECORDED = ROOT / "docs/reproduction"
PICTURE = RECORDED / "claims.png"
_HEADING = "\n## The reference report\n"


def outcomes() -> list[Outcome]:
    return msgspec.json.decode((RECORDED / OUTCOMES).read_bytes(), type=list[Outcome])


def report() -> str:
    """What stands below the heading."""
    found = outcomes()
    minutes = sum(each.seconds for each in found) / 60
    notes = [f"- `{each.claim.name}`: {each.claim.note}\n" for each in found if each.claim.note]
    return (
        f"\nOf a whole run on two cores that other programs shared, which took {minutes:.0f} minutes: "
        f"{counts(found)}.\nIts data are in `docs/reproduction/`: the outcomes, and each run's "
        "`summary.csv`.\n"
        f"\n![Ours over the published figure of each claim](reproduction/{PICTURE.name})\n\n{table(found)}\n"
        f"{''.join(notes)}"
    )


def page() -> str:
    """The page as it has to be."""
    before, heading, _ = PAGE.read_text(encoding="utf-8").partition(_HEADING)
    return before + heading + report()


def record(directory: Path) -> None:
    """Take the outcomes of a run of `run.py reproduce`, and what they were read from."""
    shutil.rmtree(RECORDED, ignore_errors=True)
    RECORDED.mkdir()
    shutil.copy(directory / OUTCOMES, RECORDED)
    for place in dict.fromkeys(place for each in outcomes() for place in each.runs):
        (RECORDED / place).mkdir(parents=True)
        shutil.copy(directory / place / SUMMARY, RECORDED / place)


if __name__ == "__main__":
    if sys.argv[1:]:
        record(Path(sys.argv[1]))
    PICTURE.write_bytes(figure(outcomes()).png())
    PAGE.write_text(page(), encoding="utf-8")

"""docs/reproduction.md: its commands run, its report is that of the data beside it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.claims import CHECKERS, NOT_POSSIBLE, NOT_REPRODUCED, REPRODUCED, Claim, Outcome, judged
from analysis.claims_plot import figure
from commands.claims_file import load
from commands.reproduce import CLAIMS
from tests.docs import pages, reproduction
from tests.docs.pages import ROOT, block, command

COMMANDS = block("docs/reproduction.md", "python3 run.py reproduce --list")
EXAMPLE = block("docs/reproduction.md", "claims:")
IN_README = command("README.md", "python3 run.py reproduce")


def run(line: str, place: Path) -> list[str]:
    words = [sys.executable, *shlex.split(line)[1:], f"--results={place}"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout.splitlines()


def test_the_pages_commands_do_what_it_says(tmp_path: Path) -> None:
    """But the last one, which is all claims: tests/commands/test_reproduce.py has it for the soak."""
    listing, one, whole = COMMANDS.splitlines()
    assert whole == IN_README
    assert len(run(listing, tmp_path)) == len(load(CLAIMS))
    printed = run(one, tmp_path)
    assert printed[1].split()[0] == "headers-1448"
    assert printed[1].endswith(" reproduced")
    (place,) = tmp_path.iterdir()
    assert {each.name for each in place.iterdir()} == {"claims.json", "report.md", "claims.png", "runs"}


def test_the_pages_file_holds(tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text(EXAMPLE)
    printed = run(f"python3 run.py reproduce --claims {tmp_path / 'claims.yaml'}", tmp_path / "out")
    assert printed[1].endswith(" reproduced")


def test_the_page_has_every_field_checker_and_verdict() -> None:
    rows = pages.table("docs/reproduction.md", "A claims file")
    fields = [name for row in rows for name in pages.named(row[0])]
    assert sorted(fields) == sorted(Claim.__struct_fields__)
    (checkers,) = (row[1] for row in rows if "`checker`" in row[0])
    assert set(pages.named(checkers)) == set(CHECKERS)
    verdicts = [pages.named(row[0])[0] for row in pages.table("docs/reproduction.md", "Verdicts")]
    assert verdicts == [REPRODUCED, NOT_REPRODUCED, NOT_POSSIBLE]


def test_the_report_is_that_of_the_recorded_outcomes() -> None:
    assert reproduction.page() == reproduction.PAGE.read_text(encoding="utf-8")
    assert figure(reproduction.outcomes()).png() == reproduction.PICTURE.read_bytes()


@pytest.mark.parametrize("outcome", reproduction.outcomes(), ids=lambda each: each.claim.name)
def test_a_recorded_verdict_follows_from_the_recorded_runs_and_todays_claim(
    outcome: Outcome,
) -> None:
    (today,) = (claim for claim in load(CLAIMS) if claim.name == outcome.claim.name)
    assert outcome.claim == today, "record the reference report again: python -m tests.docs.reproduction DIR"
    if outcome.verdict == NOT_POSSIBLE:
        assert today.impossible == outcome.reason
        return
    again = judged(today, [reproduction.RECORDED / place for place in outcome.runs])
    assert (again.verdict, again.reason, again.ours) == (outcome.verdict, outcome.reason, outcome.ours)
    assert (ROOT / "docs/reproduction" / outcome.runs[0] / "summary.csv").stat().st_size < 10_000

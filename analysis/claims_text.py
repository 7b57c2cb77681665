"""What became of published claims, as text.

In: outcomes. Out: a table for a terminal or a log, and report.md. Owns nothing.
"""

from collections.abc import Sequence

from analysis.aligned import aligned
from analysis.claims import NOT_POSSIBLE, NOT_REPRODUCED, REPRODUCED, SUMMARY, Outcome, bounds_text

HEADS = ("claim", "published", "ours", "verdict")
_VERDICTS = (REPRODUCED, NOT_REPRODUCED, NOT_POSSIBLE)


def cells(outcome: Outcome) -> tuple[str, str, str, str]:
    """A row below HEADS."""
    return outcome.claim.name, outcome.claim.published, outcome.ours_text, outcome.verdict_text


def plain(outcomes: Sequence[Outcome]) -> str:
    """The table for a log."""
    return aligned([HEADS, *map(cells, outcomes)])


def counts(outcomes: Sequence[Outcome]) -> str:
    """As `7 reproduced, 0 not reproduced, 2 not possible here`."""
    return ", ".join(f"{sum(each.verdict == word for each in outcomes)} {word}" for word in _VERDICTS)


def table(outcomes: Sequence[Outcome]) -> str:
    """In Markdown."""
    heads = ("claim", "published", "ours", "reproduced if", "verdict")
    rows = [
        (each.claim.claim, each.claim.published, each.ours_text, bounds_text(each.claim) or "-",
         each.verdict_text)
        for each in outcomes
    ]  # fmt: skip
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(_escaped(cell) for cell in line)} |\n" for line in lines)


def markdown(outcomes: Sequence[Outcome], command: str) -> str:
    """The whole report. `command`: the words that repeat it."""
    parts = [f"# Published claims\n\n{counts(outcomes)}. Repeat with `{command}`.\n\n{table(outcomes)}"]
    parts += [_section(each) for each in outcomes]
    return "\n".join(parts)


def _section(outcome: Outcome) -> str:
    claim = outcome.claim
    lines = [f"## {claim.name}\n", f"{claim.claim} Source: {claim.source}. Published: {claim.published}.\n"]
    if claim.note:
        lines.append(f"{claim.note}\n")
    lines.append(f"Ours: {outcome.ours_text}. {outcome.verdict_text}.\n")
    for words, place in zip(claim.runs, outcome.runs, strict=False):
        program, file = ("python", SUMMARY) if words.startswith("-m ") else ("python run.py", "report.html")
        lines.append(f"- [{place}]({place}/{file}): `{program} {words}`")
    return "\n".join(lines) + "\n"


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")

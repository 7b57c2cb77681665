"""report.md: the report as Markdown, for a pull request.

In: a run and its summary. Out: a text. Owns its form: the answer first, then the table, then what limits it,
folded away.
"""

from collections.abc import Sequence

from analysis.fidelity import FAITHFUL, SIMULATED
from analysis.headline import answer, headline, story
from analysis.load import Run
from analysis.report_table import Column, column_groups
from analysis.summary import SummaryRow, run_verdict, unsteady
from analysis.table import shown_columns, verdicts, wrong_elements

_LEFT_OUT = ("count", "type", "redop", "root", "algbw")  # which a reviewer looks for in the report


def text(run: Run, summary: Sequence[SummaryRow], repeat: str, sources: str) -> str:
    """`repeat`: the command line that repeats the run. `sources`: a sentence on their commit."""
    config, verdict = run.config, run_verdict(summary)
    lines = [f"### {plain(str(config.workload))} on {plain(str(config.topology))}, {config.hosts} hosts", ""]
    if run.manifest.status != "complete":
        error = plain(run.manifest.error or "no error recorded")
        lines += [f"> **This run is {run.manifest.status}:** {error}", ""]
    if wrong := wrong_elements(run):
        lines += [f"> **{wrong} wrong values:** this run's bandwidths are no result.", ""]
    lines += [f"> **Damaged data:** {plain(said)}." for said in run.damage]
    if said := answer(run, summary):
        lines += [f"**{plain(said)}**", ""]
    lines += [f"{plain(sentence)}\n" for sentence in headline(run, summary)]
    if summary:
        steady = verdict.word in (FAITHFUL, SIMULATED)
        some = any(row.verdict in (FAITHFUL, SIMULATED) for row in summary)
        limits = "" if steady else f": {'not every' if some else 'no'} time is the network's"
        lines += [f"Verdict: **{verdict.word}**{limits}.", ""]
        lines += [*table(run, summary), ""]
    lines += ["<details><summary>What was run, and what limits it</summary>", ""]
    lines += [plain(story(run, summary)), ""]
    lines += [f"- {plain(said.removeprefix('# '))}" for said in verdicts(summary)]
    lines += [f"- Not steady: {plain(said)}." for said in unsteady(summary, run.manifest.measure)]
    lines.append("- DRAM is modelled: host DRAM bytes for each payload byte; `*` in part derived.")
    lines.append(f"- {plain(sources)}")
    return "\n".join([*lines, "", "```sh", repeat.replace("```", "'''"), "```", "", "</details>"]) + "\n"


def table(run: Run, summary: Sequence[SummaryRow]) -> list[str]:
    """The rows of the report's table, without what is the same for all of them."""
    measure = run.manifest.measure
    groups = column_groups(shown_columns(summary, measure), measure, summary)
    columns = [each for group in groups for each in group.columns if each.name not in _LEFT_OUT]
    heads = [" ".join(each.header) for each in columns]
    sides = ["---" if each.is_text else "--:" for each in columns]
    both = len({row.in_place for row in summary}) > 1
    rows = [[_cell(each, row, both) for each in columns] for row in summary]
    return ["| " + " | ".join(cells) + " |" for cells in (heads, sides, *rows)]


def plain(said: str) -> str:
    """A text of one line, of which Markdown makes nothing else."""
    for mark in "\\`*_[]<>|#":
        said = said.replace(mark, f"\\{mark}")
    return said


def _cell(column: Column, row: SummaryRow, both: bool) -> str:
    if column.name == "path":
        return f"**{plain(row.label)}**{' in place' if both and row.in_place else ''}"
    return plain(column.text(row))

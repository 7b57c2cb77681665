"""The report of a run, with its figures inside.

In: a run, its summary and figures. Out: one self-contained report.html. Owns the report's sentences.
Everything in it is computed from the data files, and nothing from the clock: drawing it again from the same
files gives the same bytes. The page itself is the template next to this file.
"""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from analysis import loss_plot, report_markdown
from analysis.fidelity import FAITHFUL, SIMULATED, STEAL_LIMIT
from analysis.frames import options
from analysis.headline import answer, headline, numbers, story
from analysis.host_memory import HEADER_BYTES
from analysis.link_usage import busiest, uses
from analysis.load import Run
from analysis.manifest import Manifest
from analysis.nics import NicRow, at_largest_size, has_shared_hosts, nic_rows
from analysis.page import page, shown
from analysis.plots import Figures
from analysis.processes import ProcessRow, of_sizes, process_rows
from analysis.report_files import MARKDOWN, REPORT, held_files
from analysis.report_table import Group, column_groups, shared
from analysis.summary import SummaryRow, compared, of_largest_size, run_verdict, unsteady
from analysis.table import shown_columns, table_text, verdicts, wrong_elements

_ROWS_MAX = 96  # whose columns are shown one by one; summary.csv has more
_NICS_MAX = 96  # of all paths; nics.csv has more
_PROCESSES_MAX = 96  # likewise; processes.csv has more
_LINKS = 16


def write_report(run: Run, summary: Sequence[SummaryRow], figures: Figures) -> Path:
    """Write report.html and report.md into the run's directory; returns the path of the first."""
    directory = run.directory
    path = directory.write(REPORT, _page(run, summary, figures).encode("utf-8", "backslashreplace"))
    text = report_markdown.text(run, summary, repeat=command(run.manifest), sources=_sources(run.manifest))
    directory.write(MARKDOWN, text.encode("utf-8", "backslashreplace"))
    return path


def _page(run: Run, summary: Sequence[SummaryRow], figures: Figures) -> str:
    manifest, used = run.manifest, uses(run.link_usage)
    return page(
        "report.html.j2",
        title=title(run),
        manifest=manifest,
        wrong_elements=wrong_elements(run),
        answer=answer(run, summary),
        headline=headline(run, summary),
        numbers=list(numbers(run, summary)),
        story=story(run, summary),
        damage=run.damage,
        command=_words(manifest),
        sources=_sources(manifest),
        summary=summary,
        groups=_groups(run, summary),
        shared=", ".join(f"{name} {text}" for name, text in shared(summary).items()),
        parts=_parts(summary, figures),
        both_places=len({row.in_place for row in summary}) > 1,
        any_derived=any(row.derived for row in summary),
        table_text=table_text(run, summary, figures.failed),
        every_column=_every_column(summary),
        figures={each.path.stem: shown(each.path.stem, each) for each in figures.drawn},
        links=busiest(used, _LINKS),
        link_count=len(used),
        header_bytes=HEADER_BYTES,
        nics=_shown_nics(run),
        limits=_limits(run, summary),
        losses=_losses(run, summary),
        **_machine(run, summary),
        steal_limit=STEAL_LIMIT,
        faithful=FAITHFUL,
        simulated=SIMULATED,
        some_hold=any(row.verdict in (FAITHFUL, SIMULATED) for row in summary),
        verdict=run_verdict(summary),
        verdicts=[said.removeprefix("# Verdict").lstrip(" :") for said in verdicts(summary)],
        notes=_notes(run, summary, figures),
        configuration=list(_flat(manifest.config)),
        environment=list(_environment(manifest)),
        files=list(held_files(run, figures.drawn)),
    )


def title(run: Run) -> str:
    """What the report is about, in a line."""
    config = run.config
    over = "unknown paths" if config.paths is None else ", ".join(config.paths)
    return f"{config.workload} on {config.topology}, {config.hosts} hosts: {over}"


def command(manifest: Manifest) -> str:
    """The command line that repeats the run, from the project's folder."""
    return " ".join(_words(manifest))


def _words(manifest: Manifest) -> list[str]:
    """Of that command line, each quoted for a shell. Without `--run-id`: a name that exists is refused."""
    return [shlex.quote(word) for word in ("python3", "run.py", *options(manifest.argv))]


def _groups(run: Run, summary: Sequence[SummaryRow]) -> list[Group]:
    measure = run.manifest.measure
    shown = [name for name in shown_columns(summary, measure) if name not in shared(summary)]
    return column_groups(shown, measure, summary)


def _parts(summary: Sequence[SummaryRow], figures: Figures) -> list[tuple[str, str]]:
    """The page's contents: where, and what."""
    latency = any(each.path.stem == "latency" for each in figures.drawn)
    found = [("verdict", "Verdict"), ("results", "Results"), ("throughput", "Throughput")]
    found += [("memory", "Host memory"), ("cpu", "CPU"), *([("latency", "Latency")] if latency else [])]
    found.append(("network", "Network"))
    last = [("notes", "Notes"), ("environment", "Environment and files")]
    return [("run", "What was run"), *(found if summary else []), *last]


def _losses(run: Run, summary: Sequence[SummaryRow]) -> str:
    """In words, so that nothing lost is said, too."""
    rows = of_largest_size(compared(summary), run.manifest.measure)
    if loss_plot.counted(rows):
        return "What was counted at the size that paths are compared by; 0 on a path that lost nothing."
    known = any(getattr(row, name) is not None for row in rows for name in loss_plot.COUNTERS)
    return (
        "No segment was sent again, and no packet was dropped, at the size that paths are compared by."
        if known
        else "Retransmissions and drops were not recorded."
    )


def _limits(run: Run, summary: Sequence[SummaryRow]) -> str:
    said = ["CPU seconds are per GB of payload sent plus received, over all hosts of the machine."]
    steal = [row.steal_fraction_max for row in summary if row.steal_fraction_max is not None]
    if run_verdict(summary).word == SIMULATED:
        said = ["CPU seconds are per GB of payload sent plus received, over all simulated hosts."]
    elif not steal:
        said.append("Stolen CPU time was not recorded.")
    elif max(steal) > STEAL_LIMIT:
        said.append(
            f"A hypervisor gave up to {100 * max(steal):.1f} % of this machine's CPU time to others (limit "
            f"{100 * STEAL_LIMIT:.0f} %): believe ratios rather than times, and repeat the run."
        )
    else:
        said.append(f"Stolen CPU time stayed at or below {100 * max(steal):.1f} %.")
    if ceiling := run.config.host_mem_bw_bytes_per_s:
        said.append(f"Each host's emulated memory was limited to {ceiling / 1e9:g} GB/s.")
    if ceiling := run.config.pcie_bw_bytes_per_s:
        said.append(f"Each PCIe switch was limited to {ceiling / 1e9:g} GB/s in each direction.")
    return " ".join(said)


def _shown_nics(run: Run) -> list[NicRow]:
    """None where there are too many to be looked at."""
    rows = [*at_largest_size(nic_rows(run))] if has_shared_hosts(run) else []
    return rows if len(rows) <= _NICS_MAX else []


def _every_column(summary: Sequence[SummaryRow]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Of each row its name and what is known of it; none where there are too many to be looked at."""
    if len(summary) > _ROWS_MAX:
        return []
    return [
        (
            f"{row.path}, {row.size_bytes} B, {'in place' if row.in_place else 'out of place'}",
            [(name, str(value)) for name, value in values.items() if value not in (None, "")],
        )
        for row, values in ((row, dataclasses.asdict(row)) for row in summary)
    ]


def _machine(run: Run, summary: Sequence[SummaryRow]) -> dict[str, object]:
    """What the template needs of processes and of memory."""
    return {
        "processes": _shown_processes(run, summary),
        "measured_memory": _measured_memory(run, summary),
        "memory_model": run.memory_model,
    }


def _shown_processes(run: Run, summary: Sequence[SummaryRow]) -> list[ProcessRow]:
    """Of the rows that paths are compared by; none where there are too many to be looked at."""
    sizes = {row.path: row.size_bytes for row in of_largest_size(summary, run.manifest.measure)}
    rows = of_sizes(process_rows(run), sizes)
    return rows if len(rows) <= _PROCESSES_MAX else []


def _measured_memory(run: Run, summary: Sequence[SummaryRow]) -> str:
    """What the machine's own memory moved, or why that is not known."""
    found = {
        row.label: row.measured_dram_bytes_per_payload_byte
        for row in of_largest_size(summary, run.manifest.measure)
        if row.measured_dram_bytes_per_payload_byte is not None
    }
    source = run.manifest.memory_counters
    if found and source is not None:
        said = ", ".join(f"{label} {value:.2f}" for label, value in found.items())
        return (
            f"This machine's own memory, by {source}, moved for each payload byte: {said} bytes. That is all "
            "that the machine did meanwhile, the emulation's work above all, and not the hardware that is "
            "modelled."
        )
    reason = run.manifest.memory_counters_reason or "this run recorded none"
    return f"This machine's own memory traffic was not measured: {reason}."


def _notes(run: Run, summary: Sequence[SummaryRow], figures: Figures) -> list[str]:
    shaky = unsteady(summary, run.manifest.measure)
    notes = [f"{said}." for said in (*run.damage, *figures.failed, *shaky)]
    if run.incomplete_iterations:
        notes.append(f"Iterations left out, for want of a rank or of payload: {run.incomplete_iterations}.")
    simulated = run_verdict(summary).word == SIMULATED
    return [*notes, *_ALWAYS_TRUE, *(() if simulated else _OF_THIS_MACHINE)]


_ALWAYS_TRUE = (
    "Warm-up iterations are in samples.csv by flag; they count for wrong values, not for times.",
)
_OF_THIS_MACHINE = (
    "All hosts share one machine: more ranks mean less CPU for each, not more bandwidth.",
    "Times on a shared machine drift from run to run: compare within a run, by ratio.",
)


def _sources(manifest: Manifest) -> str:
    if manifest.git is None:
        why = f" ({manifest.git_error})" if manifest.git_error else ""
        return f"The sources' commit was not recorded{why}."
    changed = ", with changes that are not in it" if manifest.git.dirty else ""
    return f"Sources: commit {manifest.git.commit}{changed}."


def _environment(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield from _flat(manifest.environment)
    for name, version in manifest.versions.items():
        yield name, version or "not installed"
    yield from _interfaces(manifest)


def _interfaces(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for each in manifest.interfaces:
        threaded = {True: "threaded", False: "not threaded", None: "unknown"}[each.threaded]
        said = f"RPS {' '.join(each.rps_cpus)}; NAPI {threaded}; {', '.join(each.offloads) or 'no offloads'}"
        yield f"interface {each.interface}", said


def _flat(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Names and values as text; a record within is shown as its own fields."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, _shown(value)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value)

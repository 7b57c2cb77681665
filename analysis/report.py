"""The report of a run, with its figures inside.

In: a run, its summary and figures. Out: one self-contained report.html. Owns the report's sentences.
Everything in it is computed from the data files, and nothing from the clock: drawing it again from the same
files gives the same bytes. The page itself is the template next to this file.
"""

import base64
import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.fidelity import FAITHFUL, SIMULATED, STEAL_LIMIT
from analysis.host_memory import HEADER_BYTES
from analysis.ledger import HOST_MEMORY
from analysis.link_usage import busiest, uses
from analysis.load import Run
from analysis.manifest import Manifest
from analysis.measure import Measure
from analysis.nics import NICS, NicRow, at_largest_size, has_shared_hosts, nic_rows
from analysis.plots import Drawn, Figures, size_text
from analysis.processes import PROCESSES, ProcessRow, of_sizes, process_rows
from analysis.results_error import ResultsError
from analysis.summary import SummaryRow, compared, of_largest_size, run_verdict, unsteady
from analysis.table import (
    PATTERN_COLUMNS,
    PRINTED,
    UNKNOWN,
    goodput_interval,
    interval,
    shown_columns,
    table_text,
    wrong_elements,
)

REPORT = "report.html"
SUMMARY = "summary.csv"
_TEMPLATE = Path(__file__).with_name("report.html.j2")
_FIGURE_BYTES = 16 << 20
_ROWS_MAX = 96  # whose columns are shown one by one; summary.csv has more
_NICS_MAX = 96  # of all paths; nics.csv has more
_PROCESSES_MAX = 96  # likewise; processes.csv has more
_FIGURE_REM = 44 / 1080  # a pixel of a figure: the usual ones are as wide as text
_LINKS, _LINKS_FIGURE = 16, "figures/links.png"
_COMPARED_BYTES = 16 << 30  # of all files together: captures are large, and reading takes time


@dataclass(frozen=True, slots=True)
class _Figure:
    name: str
    caption: str
    base64: str
    width_rem: float


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    sha256: str
    verdict: str
    bad: bool


def write_report(run: Run, summary: Sequence[SummaryRow], figures: Figures) -> Path:
    """Write report.html into the run's directory and return its path."""
    pages = Environment(loader=FileSystemLoader(_TEMPLATE.parent), autoescape=True, undefined=StrictUndefined)
    pages.filters |= {"number": number, "percent": percent}
    manifest, used = run.manifest, uses(run.link_usage)
    page = pages.get_template(_TEMPLATE.name).render(
        title=title(run),
        manifest=manifest,
        wrong_elements=wrong_elements(run),
        headline=headline(run, summary),
        damage=run.damage,
        command=command(manifest),
        sources=_sources(manifest),
        summary=summary,
        columns=shown_columns(summary, manifest.measure),
        pattern_columns=[(name, PRINTED[name].header.replace("\n", " ")) for name in PATTERN_COLUMNS],
        printed=PRINTED,
        both_places=len({row.in_place for row in summary}) > 1,
        rate=manifest.measure.rate,
        any_derived=any(row.derived for row in summary),
        interval=interval,
        goodput_interval=goodput_interval,
        table_text=table_text(run, summary, figures.failed),
        every_column=_every_column(summary),
        figures=[_inlined(run, figure) for figure in figures.drawn],
        links=busiest(used, _LINKS),
        link_count=len(used),
        links_figure=_LINKS_FIGURE,
        header_bytes=HEADER_BYTES,
        nics=_shown_nics(run),
        limits=_limits(run, summary),
        **_machine(run, summary),
        steal_limit=STEAL_LIMIT,
        faithful=FAITHFUL, simulated=SIMULATED,
        verdict=run_verdict(summary),
        notes=_notes(run, summary, figures),
        configuration=list(_flat(manifest.config)),
        environment=[
            *_flat(manifest.environment),
            *((name, version or "not installed") for name, version in manifest.versions.items()),
            *_interfaces(manifest),
        ],
        files=list(_files(run, figures.drawn)),
    )
    return run.directory.write(REPORT, page.encode("utf-8", "backslashreplace"))


def title(run: Run) -> str:
    """What the report is about, in a line."""
    config = run.config
    over = "unknown paths" if config.paths is None else ", ".join(config.paths)
    return f"{config.workload} on {config.topology}, {config.hosts} hosts: {over}"


def command(manifest: Manifest) -> str:
    """The command line that repeats the run, from the project's folder."""
    given = list(manifest.argv)
    if given and given[0].endswith(".py"):
        given = given[1:]
    return shlex.join(["python", "run.py", *given])


def headline(run: Run, summary: Sequence[SummaryRow]) -> list[str]:
    """The comparison in sentences, every number computed from the data."""
    measure = run.manifest.measure
    rows = {row.path: row for row in of_largest_size(compared(summary), measure)}
    if not rows:
        return ["No iteration was completed, so there is nothing to compare."]
    sentences = []
    if wrong_elements(run):
        sentences.append("Wrong values were found: what follows is no result until they are explained.")
    devmem, bounce, kernel = rows.get("devmem"), rows.get("bounce"), rows.get("kernel")
    if devmem and bounce:
        sentences += [_fair(devmem, bounce, measure), _memory(devmem, bounce)]
    else:
        sentences += [_alone(row, measure) for row in rows.values() if row is not kernel]
    if kernel and devmem and not kernel.mark:
        sentences.append(_far(kernel, devmem, measure))
    elif kernel and (kernel.mark or not bounce):
        sentences.append(_alone(kernel, measure))
    sentences += [f"{note.path} ({note.mark}): {note.text}." for note in run.manifest.notes]
    return [sentence for sentence in sentences if sentence]


def number(value: float | None, decimals: int) -> str:
    """Fixed decimals, or n/a."""
    return UNKNOWN if value is None else f"{value:.{decimals}f}"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal, or n/a."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.1f}"


def _fair(devmem: SummaryRow, bounce: SummaryRow, measure: Measure) -> str:
    value = devmem.busbw_ratio_to_bounce
    if value is None:
        return ""
    low, high = devmem.busbw_ratio_to_bounce_ci_low, devmem.busbw_ratio_to_bounce_ci_high
    claim = (
        f"{_at(devmem, measure)}, {devmem.label} reached {value:.2f} times the {measure.shown_rate.name} of "
        f"bounce ({_rate(devmem, measure)} against {_rate(bounce, measure)}"
    )
    if low is None or high is None:
        return f"{claim}; a single value each, so nothing is known about chance). {_FAIR}"
    claim += f"; 95 % interval of the ratio {low:.2f} to {high:.2f}, {_repetitions(devmem)}). {_FAIR}"
    if low <= 1 <= high:
        claim += " The interval contains 1: this run does not tell the two apart."
    return claim


_FAIR = "This is the fair comparison: one stack, one language, only the copies differ."


def _memory(devmem: SummaryRow, bounce: SummaryRow) -> str:
    ours, theirs = devmem.host_dram_bytes_per_payload_byte, bounce.host_dram_bytes_per_payload_byte
    if ours is None or theirs is None:
        return ""
    return (
        f"By the ledger's model, devmem moved {ours:.4f} bytes of host DRAM traffic per payload byte, "
        f"bounce {theirs:.4f}."
    )


def _far(kernel: SummaryRow, devmem: SummaryRow, measure: Measure) -> str:
    value = devmem.busbw_ratio_to_kernel
    if value is None:
        return ""
    low, high = devmem.busbw_ratio_to_kernel_ci_low, devmem.busbw_ratio_to_kernel_ci_high
    spread = "" if low is None or high is None else f" (95 % interval {low:.2f} to {high:.2f})"
    return (
        f"kernel is Linux TCP, written in C: devmem's Python stack reached {value:.2f} times its "
        f"{_rate(kernel, measure)}{spread}. That ratio sets Python against C, so it says nothing about "
        "copies."
    )


def _alone(row: SummaryRow, measure: Measure) -> str:
    text = f"{_at(row, measure)}, {row.label} reached {_rate(row, measure)} of {measure.shown_rate.name}"
    dram = row.host_dram_bytes_per_payload_byte
    if dram is None:
        return text + "."
    how = "derived in part" if row.derived else "by the ledger's model"
    return f"{text} and moved {dram:.4f} bytes of host DRAM traffic per payload byte ({how})."


def _at(row: SummaryRow, measure: Measure) -> str:
    return measure.headline or f"At {size_text(row.size_bytes)}"


def _rate(row: SummaryRow, measure: Measure) -> str:
    rate = measure.shown_rate
    value = row.busbw_GB_per_s if row.goodput_gbit_per_s is None else row.goodput_gbit_per_s
    return f"{rate.told(value)} {rate.unit}"


def _repetitions(row: SummaryRow) -> str:
    return "one repetition" if row.repetitions == 1 else f"{row.repetitions} repetitions"


def _limits(run: Run, summary: Sequence[SummaryRow]) -> str:
    said = ["CPU seconds are per GB of payload sent plus received, over all hosts of the machine."]
    steal = [row.steal_fraction_max for row in summary if row.steal_fraction_max is not None]
    if not steal:
        said.append("Stolen CPU time was not recorded.")
    elif max(steal) > STEAL_LIMIT:
        said.append(
            f"The machine was robbed of up to {100 * max(steal):.1f} % of its CPU time by its host (limit "
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
    notes = [f"{said}." for said in (*run.damage, *figures.failed, *unsteady(summary))]
    if run.incomplete_iterations:
        notes.append(f"Iterations left out, for want of a rank or of payload: {run.incomplete_iterations}.")
    return [*notes, *_ALWAYS_TRUE]


_ALWAYS_TRUE = (
    "Warm-up iterations are in samples.csv by flag; they count for wrong values, not for times.",
    "All hosts share one machine: more ranks mean less CPU for each, not more bandwidth.",
    "Times on a shared machine drift from run to run: compare within a run, by ratio.",
)


def _sources(manifest: Manifest) -> str:
    if manifest.git is None:
        why = f" ({manifest.git_error})" if manifest.git_error else ""
        return f"The sources' commit was not recorded{why}."
    changed = ", with changes that are not in it" if manifest.git.dirty else ""
    return f"Sources: commit {manifest.git.commit}{changed}."


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


def _inlined(run: Run, figure: Drawn) -> _Figure:
    name = f"figures/{figure.path.name}"
    image = run.directory.read(name, _FIGURE_BYTES) or b""
    width = int.from_bytes(image[16:20])  # of the PNG header
    shown = base64.b64encode(image).decode("ascii")
    return _Figure(name, figure.caption, shown, round(width * _FIGURE_REM, 2))


def _files(run: Run, figures: Sequence[Drawn]) -> Iterator[_File]:
    """Every file but the manifest and this report, which cannot hold their own sums. What analysis draws is
    not held against the manifest: it is new each time, and the first time it is not in there yet."""
    recorded = {name: digest for name, digest in run.manifest.files.items() if not _is_drawn(name)}
    left_bytes = _COMPARED_BYTES
    for name in sorted({*recorded, "samples.csv", *_drawn(figures)} - {"manifest.json"}):
        said = recorded.get(name)
        try:
            found = run.directory.digest(name, left_bytes)
        except (ResultsError, OSError):
            yield _File(name, said or UNKNOWN, "not read: no regular file, or too large", True)
            continue
        if found is None:
            if said is not None:
                yield _File(name, said, "missing", True)
            continue
        digest, length = found
        left_bytes -= length
        if said is None:
            yield _File(name, digest, "drawn" if _is_drawn(name) else "not recorded", False)
        else:
            yield _File(name, digest, "same" if digest == said else "differs", digest != said)


def _drawn(figures: Sequence[Drawn]) -> Iterator[str]:
    yield SUMMARY
    yield NICS
    yield HOST_MEMORY
    yield PROCESSES
    for figure in figures:
        yield from (f"figures/{figure.path.stem}{suffix}" for suffix in (".png", ".svg"))


def _is_drawn(name: str) -> bool:
    return name in (SUMMARY, NICS, HOST_MEMORY, PROCESSES, REPORT) or name.startswith("figures/")

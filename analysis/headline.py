"""What a run comes to, in sentences and in a few numbers.

In: a run and its summary. Out: the answer, what supports it, what was run. Owns the sentences, every number
of which is computed from the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.fidelity import FAITHFUL, SIMULATED
from analysis.load import Run
from analysis.measure import Measure, size_text
from analysis.summary import SummaryRow, compared, of_largest_size, run_verdict
from analysis.table import wrong_elements


@dataclass(frozen=True, slots=True)
class Number:
    """One that a reader looks for first: of what, its value, and what stands below it. `path`: whose it is,
    "" of the whole run; `mark`: its restriction."""

    name: str
    value: str
    detail: str
    path: str = ""
    mark: str = ""


def answer(run: Run, summary: Sequence[SummaryRow]) -> str:
    """Which of devmem and bounce is faster, in a sentence; "" without both."""
    measure = run.manifest.measure
    rows = {row.path: row for row in of_largest_size(compared(summary), measure)}
    devmem, bounce = rows.get("devmem"), rows.get("bounce")
    value = devmem.busbw_ratio_to_bounce if devmem and bounce else None
    if devmem is None or value is None:
        return ""
    low, high = devmem.busbw_ratio_to_bounce_ci_low, devmem.busbw_ratio_to_bounce_ci_high
    at = "" if measure.headline else f" at {size_text(devmem.size_bytes)}"
    if low is None or high is None:
        rate = measure.shown_rate.name
        return f"{devmem.label} reached {value:.2f} times the {rate} of bounce{at}, by a single value each."
    if low <= 1 <= high:
        return f"{devmem.label} and bounce are not told apart{at}: {low:.2f} to {high:.2f} times as fast."
    if low > 1:
        return f"{devmem.label} is faster than bounce{at}: {value:.2f} times ({low:.2f} to {high:.2f})."
    value, low, high = 1 / value, 1 / high, 1 / low
    return f"bounce is faster than {devmem.label}{at}: {value:.2f} times ({low:.2f} to {high:.2f})."


def numbers(run: Run, summary: Sequence[SummaryRow]) -> Iterator[Number]:
    """The verdict and, at the size that paths are compared by, each path's rate and host DRAM."""
    measure = run.manifest.measure
    rows = of_largest_size(compared(summary), measure)
    if not rows:
        return
    verdict = run_verdict(summary)
    count = sum(row.verdict == verdict.word for row in summary)
    yield Number("Verdict", verdict.word, f"{count} of {len(summary)} rows")
    for row in rows:
        dram = row.host_dram_bytes_per_payload_byte
        said = "" if dram is None else f"{dram:.4f} B of host DRAM per payload byte (modelled)"
        yield Number(row.label, _rate(row, measure), said, row.path, row.mark)


def story(run: Run, summary: Sequence[SummaryRow]) -> str:
    """What was run, in a paragraph."""
    config, asked = run.config, run.manifest.config
    sizes = [row.size_bytes for row in summary] if run.manifest.measure.size_is_key else []
    of = f" of {size_text(min(sizes))}" if sizes else ""
    of += f" to {size_text(max(sizes))}" if len(set(sizes)) > 1 else ""
    said = [f"Workload {config.workload}{of} ran on topology {config.topology} with {config.hosts} hosts"]
    if summary:
        said[0] += f" and {summary[0].nranks} ranks"
    said[0] += f", over {_listed(config.paths or ('unknown paths',))}."
    if summary:
        said.append(f"Each path and size has {_repetitions(summary[0])} with {summary[0].iterations} timed")
        said[-1] += " iterations in all; warm-up is left out."
    wanted = [f"{name} {_words(asked[key])}" for name, key in _ASKED.items() if asked.get(key)]
    if wanted:
        said.append(f"Asked for: {', '.join(wanted)}.")
    if config.clock == SIMULATED:
        model = asked.get("machine")
        said.append(f"The clock is simulated{f', the machine model is {model}' if model else ''}.")
    machine = run.manifest.environment
    known = [str(machine[name]) for name in ("cpu_model", "kernel") if machine.get(name)]
    if known:
        begin = "Simulated on" if config.clock == SIMULATED else "The machine:"
        said.append(f"{begin} {', Linux '.join(known)}, {machine.get('cpu_count') or 'unknown'} CPUs.")
    return " ".join(said)


# What changes a network or a path, by the names that it has in a manifest.
_ASKED = {
    "links of": "link", "a bottleneck of": "bottleneck", "impairment": "impair", "faults": "fault",
    "background traffic": "traffic", "MTU": "mtu",
}  # fmt: skip


def _listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


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
        sentences += [_fair(devmem, bounce, measure), _other_sizes(devmem, compared(summary))]
        sentences += [_carries_over(devmem, bounce), _memory(devmem, bounce)]
    else:
        sentences += [_alone(row, measure) for row in rows.values() if row is not kernel]
    if kernel and devmem and not kernel.mark:
        sentences.append(_far(kernel, devmem, measure))
    elif kernel and (kernel.mark or not bounce):
        sentences.append(_alone(kernel, measure))
    sentences += [f"{note.path} ({note.mark}): {note.text}." for note in run.manifest.notes]
    return [sentence for sentence in sentences if sentence]


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


_FAIR = (
    "This is the fair comparison: one stack and one language. "
    "The copies differ, and with short messages the calls."
)


def _other_sizes(devmem: SummaryRow, summary: Sequence[SummaryRow]) -> str:
    """The ratios that the answer leaves out: one size need not speak for the others."""
    others = [row for row in summary if row.path == devmem.path and row.size_bytes != devmem.size_bytes]
    ratios = [row.busbw_ratio_to_bounce for row in others if row.busbw_ratio_to_bounce is not None]
    if not ratios:
        return ""
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return f"At the other sizes the ratio is {low if low == high else f'{low} to {high}'}."


def _carries_over(devmem: SummaryRow, bounce: SummaryRow) -> str:
    """What the ratio says of hardware, by the verdicts of the rows that it is of."""
    words = {devmem.verdict, bounce.verdict}
    if words <= {SIMULATED}:
        return "Seconds are simulated: the ratio is as good as the model of machines and lines."
    if words <= {FAITHFUL}:
        return ""
    return "By their verdict these times are not known to be the network's: hardware may have another ratio."


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

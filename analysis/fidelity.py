"""Whether a number is the network's, or this machine's: the verdict on a trial, a row and a run.

In: what a trial used, the links' calibration, stolen time. Out: a word and its reason; pure. Owns the
definition and its limits, which docs/fidelity.md explains. A number that the CPU limits, even in part, is
never called faithful: where a figure is uncertain it is taken from the side that speaks against it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.usage import Usage
from analysis.wire import wire_bytes

FAITHFUL, MIXED, CPU_LIMITED, UNKNOWN = "faithful", "mixed", "cpu-limited", "unknown"
UNCALIBRATED, STOLEN = "link-uncalibrated", "stolen"
SIMULATED = "simulated"  # of a run whose seconds are the simulation's: this machine has no part in them
# From the best to the worst.
VERDICTS = (SIMULATED, FAITHFUL, MIXED, CPU_LIMITED, UNKNOWN, UNCALIBRATED, STOLEN)

STEAL_LIMIT = 0.02  # of all CPU time
LINK_USED = 0.9  # of its rate: above, a faster CPU would gain a tenth of the time at most
CPU_PART = 0.1  # of the time: below, likewise
SATURATED = 0.9  # of a core
READINGS_MIN = 2  # within the timed parts: with fewer, a thread may have waited unseen
CALIBRATED = 0.05
CALIBRATED_S = 0.0002  # of a delay, or CALIBRATED of it, if that is more


def kind_of_seconds(words: Iterable[str]) -> str:
    """How a caption begins that speaks of the seconds of rows with those verdicts."""
    return "In simulated seconds" if SIMULATED in words else "Measured"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`word`: one of VERDICTS. `reason`: a clause."""

    word: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What holds for all trials: why the links are not as asked ("" if they are), and the share of all CPU
    time (0 to 1) that was stolen in the worst repetition, as ranks counted it; None: unknown. `background`:
    there was other traffic, so a link that is used says nothing of the exchange. `simulated`: see the verdict
    of that name."""

    uncalibrated: str = ""
    steal: float | None = None
    background: bool = False
    simulated: bool = False


def of_trial(used: Sequence[Usage], conditions: Conditions = Conditions()) -> Verdict:
    """`used`: all rows of one trial, or none."""
    if conditions.simulated:
        return Verdict(SIMULATED, "its seconds are those of the simulated machines and lines")
    stolen = max((share for share in (_stolen(used), conditions.steal) if share is not None), default=None)
    if stolen is not None and stolen > STEAL_LIMIT:
        return Verdict(STOLEN, f"{100 * stolen:.1f} % of the CPU time was stolen by other machines")
    if conditions.uncalibrated:
        return Verdict(UNCALIBRATED, conditions.uncalibrated)
    if not used or used[0].timed_s <= 0:
        return Verdict(UNKNOWN, "what it used of CPU and links was not recorded")
    links = [row for row in used if row.kind == "link"]
    if not links:
        return Verdict(CPU_LIMITED, "no link has a rate, so this machine's CPU is the limit")
    link = max(links, key=link_use)
    if conditions.background:
        return _by_cpu(used, "links carried background traffic, too")
    said = f"{link.name} was used {_percent(link_use(link))}"
    if link_use(link) >= LINK_USED:
        return Verdict(FAITHFUL, said)
    return _by_cpu(used, said)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """That of several trials or rows together; of none it is unknown."""
    found = list(verdicts) or [Verdict(UNKNOWN, "nothing was completed")]
    return max(found, key=lambda verdict: VERDICTS.index(verdict.word))


def link_use(link: Usage) -> float:
    """The least share of the timed part that its bytes need at the link's rate. The token bucket's burst
    needs no time, once an iteration."""
    wire = wire_bytes(link.bytes or 0, link.packets or 0, link.mtu or 0)
    timed = max(0.0, wire - link.iterations * (link.burst_bytes or 0)) * 8
    return timed / (link.rate_bps * link.timed_s) if link.rate_bps else 0.0


def cpu_part(row: Usage) -> float:
    """The largest share of the timed part in which a process computed or waited for a CPU, or in which a core
    was not idle."""
    return ((row.busy_s or 0) + (row.wait_s or 0)) / row.timed_s


def _by_cpu(used: Sequence[Usage], link_said: str) -> Verdict:
    """No link was well used: then what the CPU had to do with it decides."""
    processes = [row for row in used if row.kind == "process"]
    cores = [row for row in used if row.kind == "core"]
    if not processes or not cores:
        return Verdict(UNKNOWN, f"{link_said}, and what was used of the CPU was not recorded")
    process, core = max(processes, key=cpu_part), max(cores, key=cpu_part)
    share = _percent(min(1, cpu_part(process)))
    said = f"{link_said}, {process.name} ran or waited for a CPU {share} of the time"
    if cpu_part(process) >= SATURATED:
        return Verdict(CPU_LIMITED, said)
    if cpu_part(core) >= SATURATED:
        return Verdict(CPU_LIMITED, f"{link_said}, and {core.name} was busy all the time")
    if cpu_part(process) >= CPU_PART:
        return Verdict(MIXED, said)
    if used[0].readings < READINGS_MIN:
        return Verdict(UNKNOWN, f"{link_said}, and the trial was too short to see waits for a CPU")
    return Verdict(FAITHFUL, said)


def _stolen(used: Sequence[Usage]) -> float | None:
    cores = [row for row in used if row.kind == "core" and row.observed_s > 0]
    return sum((row.steal_s or 0) / row.observed_s for row in cores) / len(cores) if cores else None


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"

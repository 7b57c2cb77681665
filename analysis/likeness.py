"""Whether two runs can be compared: what of their machines and of their configurations is not the same.

In: two manifests. Out: each difference with both its values. Pure; owns which differences forbid a
comparison. A number of another machine, or of another question, is no measure of what changed in between.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from analysis.fidelity import CALIBRATED, SIMULATED
from analysis.manifest import Manifest

MEMORY = 0.02  # of its size: what a kernel keeps for itself differs from boot to boot
_MACHINE = ("cpu_model", "cpu_count", "memory_bytes", "machine", "kernel", "os", "python", "rootless")
# Which data, which order, how often, when to give up: the question stays the same.
_HARMLESS = (
    "seed", "repeat", "timeout_s", "allow_uncalibrated", "require_faithful", "sizes_bytes", "paths",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Differs:
    """`what` has the value `a` in the first run and `b` in the second, as words. `forbids` a comparison."""

    what: str
    a: str
    b: str
    forbids: bool

    def __str__(self) -> str:
        return f"{self.what} ({self.a} and {self.b})"


def differences(a: Manifest, b: Manifest) -> tuple[Differs, ...]:
    """Of the machines, the configurations, the links, the runs' states and the packages, those that forbid
    first."""
    found = [
        *_machines(a, b), *_kernels(a, b), *_configurations(a, b), *_links(a, b), *_states(a, b),
        *_versions(a, b),
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda each: not each.forbids))


def _machines(a: Manifest, b: Manifest) -> Iterator[Differs]:
    """They have no part in simulated seconds."""
    matters = not all(run.config.get("clock") == SIMULATED for run in (a, b))
    for name in _MACHINE:
        ours, theirs = a.environment.get(name), b.environment.get(name)
        if ours == theirs or (name == "memory_bytes" and _close(ours, theirs)):
            continue
        known = ours is not None and theirs is not None
        yield Differs(name, _told(ours), _told(theirs), known and matters)


def _kernels(a: Manifest, b: Manifest) -> Iterator[Differs]:
    """Settings of the hosts' kernels, each once."""
    ours, theirs = (
        {name: value for host in run.hosts for name, value in host.sysctls.items()} for run in (a, b)
    )
    for name in ours:
        if name in theirs and ours[name] != theirs[name]:
            yield Differs(name, ours[name], theirs[name], True)


def _close(ours: object, theirs: object) -> bool:
    if not isinstance(ours, int) or not isinstance(theirs, int):
        return False
    return abs(ours - theirs) <= MEMORY * max(ours, theirs)


def _configurations(a: Manifest, b: Manifest) -> Iterator[Differs]:
    ours, theirs = dict(_flat(a.config)), dict(_flat(b.config))
    for name in dict.fromkeys((*ours, *theirs)):
        if ours.get(name, _told(None)) != theirs.get(name, _told(None)):
            # An option that the earlier version did not have is none that was asked for.
            known = name in ours and name in theirs
            shown = ours.get(name, "not recorded"), theirs.get(name, "not recorded")
            yield Differs(name, *shown, known and name not in _HARMLESS)


def _flat(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Names and values as words; a workload's options are beside the others."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, _told(value)


def _told(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value)) or "none"
    return str(value)


def _links(a: Manifest, b: Manifest) -> Iterator[Differs]:
    """A topology file may have changed under the same name, and a link that is no longer as it was asked
    for."""
    ours, theirs = ({(each.sender, each.receiver): each for each in run.links} for run in (a, b))
    for way in dict.fromkeys((*ours, *theirs)):
        before, after = ours.get(way), theirs.get(way)
        asked = [
            None if each is None
            else (each.asked_bps, each.asked_delay_s, each.asked_jitter_s, each.asked_loss)
            for each in (before, after)
        ]  # fmt: skip
        name = f"link {way[0]} to {way[1]}"
        if asked[0] != asked[1]:
            yield Differs(name, f"asked {_told(asked[0])}", f"asked {_told(asked[1])}", True)
        elif before and after and _far(before.achieved_bps, after.achieved_bps):
            yield Differs(name, f"{before.achieved_bps:.4g} bit/s", f"{after.achieved_bps:.4g} bit/s", False)


def _far(ours: float, theirs: float) -> bool:
    return abs(ours - theirs) > CALIBRATED * max(ours, theirs)


def _states(a: Manifest, b: Manifest) -> Iterator[Differs]:
    if a.status != "complete" or b.status != "complete":
        yield Differs("status", a.status, b.status, True)


def _versions(a: Manifest, b: Manifest) -> Iterator[Differs]:
    for name in dict.fromkeys((*a.versions, *b.versions)):
        ours, theirs = a.versions.get(name), b.versions.get(name)
        if ours != theirs:
            yield Differs(f"package {name}", _told(ours), _told(theirs), False)

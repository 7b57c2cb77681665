"""Reads manifest.json and checks it.

In: the file's bytes. Out: a checked `Manifest`. Owns the schema, as far as it is read. The file may have been
written by somebody else: what is shown of it has no control characters, numbers are in ranges that arithmetic
holds, `files` are names inside the directory. What breaks this is refused by one sentence.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from analysis import schema2
from analysis.fidelity import CALIBRATED, CALIBRATED_S
from analysis.measure import Measure
from analysis.results_error import ResultsError
from analysis.rows import Share
from analysis.run_directory import is_inside
from analysis.samples import is_word
from analysis.traffic import TrafficRecord

SCHEMA_VERSION = 3
LIMIT_BYTES = 4 << 20

_DEPTH = 16
_CHARACTERS = 4096  # a sentence for a table's footer has fewer

Hosts = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Bandwidth = Annotated[float, msgspec.Meta(gt=0, le=1e18)]
Bits = Annotated[int, msgspec.Meta(ge=0, le=10**18)]
Achieved = Annotated[float, msgspec.Meta(ge=0, le=1e18)]
Delay = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
LOSS_PROBES = 1000  # packets by which the loss of a link was measured


class Git(msgspec.Struct, frozen=True):
    """The sources a run was made from."""

    commit: str
    dirty: bool
    files: tuple[str, ...] = ()


class PathNote(msgspec.Struct, frozen=True):
    """A restriction of `path` that every table has to state: a `mark` of a word or two, and the sentence."""

    path: str
    mark: str
    text: str


class LinkRecord(msgspec.Struct, frozen=True):
    """One direction of a link that something was asked of, as it was before the run. Rates in bits a second
    of whole Ethernet frames, 0 for none; delays in seconds, one way, the least found, None: nothing arrived;
    losses as shares of packets, None: not asked, so not measured."""

    sender: str
    receiver: str
    asked_bps: Bits
    achieved_bps: Achieved
    asked_delay_s: Delay
    achieved_delay_s: Delay | None
    asked_jitter_s: Delay
    asked_loss: Share
    achieved_loss: Share | None
    loss_deviation: Share | None = None  # earlier versions knew the binomial one alone

    @property
    def is_off(self) -> bool:
        """Further than the tolerance."""
        if self.achieved_delay_s is None:
            return True
        if self.asked_bps and abs(self.achieved_bps / self.asked_bps - 1) > CALIBRATED:
            return True
        allowed_s = max(CALIBRATED_S, CALIBRATED * self.asked_delay_s) + self.asked_jitter_s
        return abs(self.achieved_delay_s - self.asked_delay_s) > allowed_s or self._loses_otherwise

    @property
    def _loses_otherwise(self) -> bool:
        """By more than four deviations."""
        if self.achieved_loss is None:
            return False
        deviation = self.loss_deviation
        if deviation is None:
            deviation = math.sqrt(self.asked_loss * (1 - self.asked_loss) / LOSS_PROBES)
        return abs(self.achieved_loss - self.asked_loss) > 4 * deviation + 1 / LOSS_PROBES


class InterfaceRecord(msgspec.Struct, frozen=True):
    """How the kernel handled the packets of a host's NIC, on all paths alike."""

    node: str
    interface: str
    rps_cpus: tuple[str, ...]
    threaded: bool | None
    offloads: tuple[str, ...]


class HostRecord(msgspec.Struct, frozen=True):
    """How the kernels of hosts were set that were set alike."""

    nodes: tuple[str, ...]
    sysctls: dict[str, str]


class TunnelRecord(msgspec.Struct, frozen=True):
    """A machine's half of a link to another one."""

    link: str
    interface: str
    remote: str
    vni: Annotated[int, msgspec.Meta(ge=0, le=1 << 24)]
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)]


class MachineRecord(msgspec.Struct, frozen=True):
    """A machine of a run across several, and what it had of the topology."""

    name: str
    node: str
    address: str
    hosts: tuple[str, ...]
    switches: tuple[str, ...]
    tunnels: tuple[TunnelRecord, ...]
    clock_offset_s: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None
    clock_offset_end_s: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None
    clock_monotonic_offset_s: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None
    clock_monotonic_offset_end_s: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None
    clock_uncertainty_s: Annotated[float, msgspec.Meta(ge=0, le=1e12)] | None = None


class RankRecord(msgspec.Struct, frozen=True):
    """Where a rank was: its host, its accelerator ("": the host had none), the NIC on its PCIe switch."""

    rank: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    host: str
    accelerator: str
    nic: str
    memory: str = "accelerator"


class Prediction(msgspec.Struct, frozen=True):
    """How long an iteration of that size takes if calibrated links are the only limit."""

    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    time_s: Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class RowVerdict(msgspec.Struct, frozen=True):
    """The verdict that the run printed with a row."""

    path: str
    size_bytes: int
    verdict: str
    reason: str


class Fidelity(msgspec.Struct, frozen=True):
    """The rows' verdicts, and the run's, as the run printed them: analysis comes to its own."""

    verdict: str
    rows: tuple[RowVerdict, ...]


Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class FaultStep(msgspec.Struct, frozen=True):
    """What was hurt on purpose: the fault, what was done of it, when that was asked for and when it was
    (seconds since the measured part began), and the latter as Unix time; None: the run had ended before."""

    fault: str
    action: str
    asked_s: Seconds
    actual_s: Seconds | None = None
    time_s: Seconds | None = None


class Config(msgspec.Struct, frozen=True):
    """The part of the run's configuration that analysis uses. Units are in the names."""

    topology: str | None = None
    hosts: Hosts | None = None
    workload: str | None = None
    paths: tuple[str, ...] | None = None
    host_mem_bw_bytes_per_s: Bandwidth | None = None
    pcie_bw_bytes_per_s: Bandwidth | None = None
    clock: Literal["machine", "simulated"] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """manifest.json, schema version 3. Times are ISO 8601 in UTC; `files` maps a name to its SHA-256."""

    schema_version: int
    run_id: str
    status: Literal["running", "complete", "failed", "interrupted"]
    config: dict[str, object]
    measure: Measure
    error: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    argv: list[str] = []
    environment: dict[str, object] = {}
    versions: dict[str, str | None] = {}
    git: Git | None = None
    git_error: str | None = None
    notes: list[PathNote] = []
    links: tuple[LinkRecord, ...] = ()
    faults: list[FaultStep] = []
    traffic: tuple[TrafficRecord, ...] = ()
    interfaces: tuple[InterfaceRecord, ...] = ()
    hosts: tuple[HostRecord, ...] = ()
    ranks: tuple[RankRecord, ...] = ()
    machines: tuple[MachineRecord, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    memory_counters: str | None = None
    memory_counters_reason: str | None = None
    fidelity: Fidelity | None = None
    journal: str | None = None
    files: dict[str, str] = {}


class _WithConfig(msgspec.Struct, frozen=True):
    config: Config


def read_manifest(data: bytes, path: Path) -> tuple[Manifest, Config]:
    """The manifest whose bytes `path` held, and its configuration. Raises ResultsError."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ResultsError(f"{path} is not JSON ({error}); restore it or repeat the run") from error
    version = document.get("schema_version") if isinstance(document, Mapping) else None
    if version not in (2, SCHEMA_VERSION):
        raise ResultsError(
            f"{path} has schema_version {_plain(version, 0, path)!r}, this analysis reads 2 and "
            f"{SCHEMA_VERSION}; use the sources that made the run"
        )
    try:
        current = schema2.upgraded(document) if version == 2 else document
        # The command line alone stays as it was, to be repeated; only the report has it.
        current = {name: each if name == "argv" else _plain(each, 1, path) for name, each in current.items()}
        manifest, config = msgspec.convert(current, Manifest), msgspec.convert(current, _WithConfig).config
    except (ValueError, ArithmeticError) as error:
        if isinstance(error, ResultsError):
            raise
        raise ResultsError(f"{path} breaks its schema: {error}; repeat the run") from error
    _check_names(manifest, config, path)
    return manifest, config


def _check_names(manifest: Manifest, config: Config, path: Path) -> None:
    for word in (*(config.paths or ()), *(note.path for note in manifest.notes)):
        if not is_word(word):
            raise ResultsError(f"{path} has a path {word[:80]!r}, which is not a word; repeat the run")
    for name in manifest.files:
        if not is_inside(name):
            raise ResultsError(
                f"{path} names a file {name[:80]!r}, which is not inside the directory; restore the manifest"
            )


def _plain(value: object, depth: int, path: Path) -> object:
    """`value` with every string as one line that any terminal shows as what it is."""
    if depth > _DEPTH:
        raise ResultsError(f"{path} is nested more than {_DEPTH} deep, which no run writes; restore it")
    if isinstance(value, str):
        return _line(value)
    if isinstance(value, Mapping):
        return {_line(str(name)): _plain(each, depth + 1, path) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, depth + 1, path) for each in value]
    return value


def _line(text: str) -> str:
    spaced = text[:_CHARACTERS].replace("\n", " ").replace("\t", " ").strip()
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in spaced)

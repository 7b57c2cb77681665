"""manifest.json's records: its fields, and those of what it lists.

In: nothing. Out: records; pure. Owns the schema and its version; docs/reference/fields.md is made of them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from workloads.experiment.records import ExperimentConfig
from workloads.measure import Measure
from workloads.options import Memory
from workloads.traffic.outcome import TrafficRecord

SCHEMA_VERSION = 3
FILES_MAX = 100  # of the sources that differ from their commit


class Git(msgspec.Struct, frozen=True):
    """The sources."""

    commit: Annotated[str, "", "their commit"]
    dirty: Annotated[bool, "", "whether files differed from it"]
    files: Annotated[
        tuple[str, ...], "", f"which: the first {FILES_MAX} lines of git status, its short form"
    ] = ()


class PathNote(msgspec.Struct, frozen=True):
    """A restriction of a path that every table has to state."""

    path: Annotated[str, "", "which path"]
    mark: Annotated[str, "", "a word or two beside its name"]
    text: Annotated[str, "", "the sentence"]


class LinkRecord(msgspec.Struct, frozen=True):
    """One direction of a link that something was asked of."""

    sender: Annotated[str, "", "the interface that sends"]
    receiver: Annotated[str, "", "the interface that receives"]
    asked_bps: Annotated[int, "bit/s", "of whole Ethernet frames; 0: none was asked"]
    achieved_bps: Annotated[float, "bit/s", "likewise, measured before the run"]
    asked_delay_s: Annotated[float, "s", "one way"]
    achieved_delay_s: Annotated[float | None, "s", "one way, the least; null: nothing arrived"]
    asked_jitter_s: Annotated[float, "s", "of that delay"]
    asked_loss: Annotated[float, "0 to 1", "share of packets"]
    achieved_loss: Annotated[float | None, "0 to 1", "likewise; null: none was asked, so none was measured"]
    loss_deviation: Annotated[float | None, "0 to 1", "the standard deviation that chance gives it; likewise"]


class FaultRecord(msgspec.Struct, frozen=True):
    """What was hurt on purpose."""

    fault: Annotated[str, "", "as it was written"]
    action: Annotated[str, "", "what was done of it: down, up, ..."]
    asked_s: Annotated[float, "s", "when it was asked for, since the measured part began"]
    actual_s: Annotated[float | None, "s", "when it was; null: the run had ended before"]
    time_s: Annotated[float | None, "s", "the same as Unix time"]


class TunnelRecord(msgspec.Struct, frozen=True):
    """A machine's half of a link to another one."""

    link: Annotated[str, "", "the link's name"]
    interface: Annotated[str, "", "the VXLAN device"]
    remote: Annotated[str, "", "the other machine's address"]
    vni: Annotated[int, "", "the network identifier"]
    port: Annotated[int, "", "of UDP"]


class MachineRecord(msgspec.Struct, frozen=True):
    """A machine of a run across several."""

    name: Annotated[str, "", "the machine's"]
    node: Annotated[str, "", "its id in the Ray cluster"]
    address: Annotated[str, "", "in the underlay"]
    hosts: Annotated[tuple[str, ...], "", "of the topology, that it had"]
    switches: Annotated[tuple[str, ...], "", "likewise"]
    tunnels: Annotated[tuple[TunnelRecord, ...], "", "its links to other machines"]
    clock_offset_s: Annotated[
        float | None, "s",
        "its Unix time less the driver's when the ranks had started (docs/machines.md); null: they had not",
    ] = None
    clock_offset_end_s: Annotated[float | None, "s", "the same after the last trial"] = None
    clock_monotonic_offset_s: Annotated[float | None, "s", "likewise of the monotonic clocks"] = None
    clock_monotonic_offset_end_s: Annotated[float | None, "s", "the same after the last trial"] = None
    clock_uncertainty_s: Annotated[
        float | None, "s", "by how much these, and times of the machine's rows, are wrong at most"
    ] = None


class RankRecord(msgspec.Struct, frozen=True):
    """Where a rank was."""

    rank: Annotated[int, "", "its number"]
    host: Annotated[str, "", "its host"]
    accelerator: Annotated[str, "", "its accelerator; empty: its host has none"]
    nic: Annotated[
        str, "",
        "the NIC on the same PCIe switch, by which the rank's traffic with other hosts goes",
    ]
    memory: Annotated[Memory, "", "whose its data are in: `accelerator` or `ssd`"] = "accelerator"


class InterfaceRecord(msgspec.Struct, frozen=True):
    """How the kernel handles the packets of a host's NIC, on all paths alike."""

    node: Annotated[str, "", "the host"]
    interface: Annotated[str, "", "its NIC"]
    rps_cpus: Annotated[tuple[str, ...], "", "a mask of CPUs for each receive queue, zeros where RPS is off"]
    threaded: Annotated[bool | None, "", "whether NAPI is threaded; null: the kernel does not say"]
    offloads: Annotated[tuple[str, ...], "", "those that are on"]


class HostRecord(msgspec.Struct, frozen=True):
    """How the kernels of hosts are set."""

    nodes: Annotated[tuple[str, ...], "", "hosts that are set alike"]
    sysctls: Annotated[dict[str, str], "", "values by name, as `net.ipv4.tcp_rmem`"]


class Prediction(msgspec.Struct, frozen=True):
    """How long an iteration takes if calibrated links are the only limit."""

    size_bytes: Annotated[int, "B", "of the iteration"]
    time_s: Annotated[float, "s", "predicted, mean over ranks; of a pattern until the last one has ended"]


class RowVerdict(msgspec.Struct, frozen=True):
    """Whether the row of a path and size is the network's."""

    path: Annotated[str, "", "the row's"]
    size_bytes: Annotated[int, "B", "the row's"]
    verdict: Annotated[str, "", "one word (docs/fidelity.md)"]
    reason: Annotated[str, "", "why"]


class Fidelity(msgspec.Struct, frozen=True):
    """What can be believed."""

    verdict: Annotated[str, "", "the run's: the worst of its rows'"]
    rows: Annotated[tuple[RowVerdict, ...], "", "those of all rows"]


class Manifest(msgspec.Struct, frozen=True):
    """The file's contents."""

    run_id: Annotated[str, "", "name of the run and of its directory"]
    argv: Annotated[tuple[str, ...], "", "the command line"]
    config: Annotated[
        ExperimentConfig, "",
        "every option (docs/reference/commands.md), resolved; `options` are the workload's own",
    ]
    measure: Annotated[
        Measure, "",
        "how the rows are summed up: the table's columns, the bandwidth factor, whose time counts",
    ]
    started_at: Annotated[str, "", "ISO 8601, UTC"]
    environment: Annotated[
        dict[str, Any], "",
        "name, kernel, CPU, memory, Python and distribution of the machine; `rootless`: whether the network "
        "was built in a user namespace",
    ]
    versions: Annotated[dict[str, str], "", "of the Python packages, and whether `nodes` ran compiled"]
    git: Annotated[Git | None, "", "the sources; null if there is no checkout"]
    git_error: Annotated[
        str | None, "", "why `git` is null: what git said, or that the repository around is not the sources'"
    ]
    schema_version: Annotated[int, "", f"of manifest.json and samples.csv, {SCHEMA_VERSION}"] = SCHEMA_VERSION
    status: Annotated[str, "", "`running`, `complete`, `failed` or `interrupted`"] = "running"
    error: Annotated[str | None, "", "the sentence that a failed or interrupted run ended with"] = None
    finished_at: Annotated[str | None, "", "ISO 8601, UTC"] = None
    notes: Annotated[tuple[PathNote, ...], "", "what every table must say of a path"] = ()
    links: Annotated[
        tuple[LinkRecord, ...], "",
        "of each direction of the links that something is asked of, what was asked and what was measured "
        "before the run",
    ] = ()
    faults: Annotated[tuple[FaultRecord, ...], "", "what was hurt on purpose"] = ()
    traffic: Annotated[
        tuple[TrafficRecord, ...], "", "each entry of background traffic (docs/traffic.md#what-it-got)"
    ] = ()
    interfaces: Annotated[
        tuple[InterfaceRecord, ...], "",
        "how the kernel handles each host's interface, the same for all paths",
    ] = ()
    hosts: Annotated[tuple[HostRecord, ...], "", "the settings of the hosts' kernels"] = ()
    ranks: Annotated[tuple[RankRecord, ...], "", "where each rank was"] = ()
    machines: Annotated[tuple[MachineRecord, ...], "", "of a run across machines (docs/machines.md)"] = ()
    predictions: Annotated[
        tuple[Prediction, ...], "",
        "for each size; none where links have no rate (docs/workloads.md#predictions)",
    ] = ()
    memory_counters: Annotated[
        str | None, "", "by what this machine's own memory traffic was read; null: by nothing"
    ] = None
    memory_counters_reason: Annotated[
        str | None, "", "why by nothing: what perf and resctrl lack or refuse here"
    ] = None
    fidelity: Annotated[
        Fidelity | None, "", "the verdicts (docs/fidelity.md); null until the run is complete"
    ] = None
    journal: Annotated[
        str | None, "",
        "of a run with a simulated clock: the SHA-256 of every frame on every line (docs/simulation.md); "
        "else null",
    ] = None
    files: Annotated[dict[str, str], "", "SHA-256 of every other file by its name, links left out"] = {}

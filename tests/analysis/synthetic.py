"""In: what a run should look like. Out: a results directory with exactly known answers. Owns nothing."""

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from analysis.ledger import LedgerRow
from analysis.link_usage import LinkUsage
from analysis.measure import Measure
from analysis.samples import COLUMNS
from workloads.experiment.records import ExperimentConfig
from workloads.registry import WORKLOADS

Cell = str | int | float | None
HEADER_BYTES = 66
SUPER_PACKET_BYTES = 1 << 16
WIRE_PACKET_BYTES = 1448
MIB = 1 << 20
FAULTS = [  # the run ended before the link came up
    {
        "fault": "link-down:h1-eth0,at=1s,for=1s", "action": action, "asked_s": asked_s,
        "actual_s": actual_s, "time_s": time_s,
    }
    for action, asked_s, actual_s, time_s in (("down", 1.0, 1.0021, 100.0021), ("up", 2.0, None, None))
]  # fmt: skip
TRAFFIC = [
    {
        "traffic": "poisson:load=0.3", "kind": "poisson", "seconds": 4.0, "flows": 30, "completed": 27,
        "failed": 1, "refused": 0, "offered_bytes": 6_000_000, "delivered_bytes": 5_000_000,
        "fct_p50_s": 0.0123, "fct_p95_s": 0.05, "fct_p99_s": 2.5,
    },
    {
        "traffic": "constant:rate=1Mbit", "kind": "constant", "seconds": 4.0, "flows": 1, "completed": 0,
        "failed": 0, "refused": 0, "offered_bytes": 500_000, "delivered_bytes": 500_000,
        "fct_p50_s": None, "fct_p95_s": None, "fct_p99_s": None,
    },
]  # fmt: skip


@dataclass
class Made:
    """A run to be written: `times` gives seconds of (path, repetition, iteration)."""

    workload: str = "all_reduce"
    paths: tuple[str, ...] = ("devmem", "bounce", "kernel")
    sizes: tuple[int, ...] = (MIB, 4 * MIB, 16 * MIB)
    nranks: int = 4
    repetitions: int = 3
    iterations: int = 2
    bidir: bool = False
    gigabyte_per_s: Mapping[str, float] = field(
        default_factory=lambda: {"devmem": 1.25, "bounce": 1.0, "kernel": 2.0}
    )
    jitter: float = 0.04
    lost: int = 0
    schema: int = 3
    manifest: dict[str, object] = field(default_factory=dict)
    config: dict[str, object] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Cell]]:
        """Every rank's row, a warm-up iteration (ten times slower) before each repetition's others."""
        made = []
        for repetition in range(self.repetitions):
            for size in self.sizes:
                for path in self.paths:
                    for iteration in range(-1, self.iterations):
                        made += self._iteration(path, size, repetition, iteration)
        return made

    def _iteration(self, path: str, size: int, repetition: int, iteration: int) -> list[dict[str, Cell]]:
        warmup = iteration < 0
        seconds = size / (self.gigabyte_per_s[path] * 1e9) * (10 if warmup else 1)
        # Repetition 1 is the median one; iterations within a repetition are alike.
        seconds *= 1 + self.jitter * (repetition - self.repetitions // 2)
        return [self._rank(path, size, repetition, iteration + 1, rank, seconds) for rank in self._ranks()]

    def _ranks(self) -> range:
        return range(2 if self.workload == "stream" else self.nranks)

    def _rank(
        self, path: str, size: int, repetition: int, iteration: int, rank: int, seconds: float
    ) -> dict[str, Cell]:
        stream = self.workload == "stream"
        share = size if stream else 2 * (self.nranks - 1) * size // self.nranks
        sent = share if not stream or self.bidir or rank == 0 else 0
        received = share if not stream or self.bidir or rank == 1 else 0
        row: dict[str, Cell] = dict.fromkeys(COLUMNS)
        row |= {
            "path": path, "workload": self.workload, "size_bytes": size,
            "count_elements": size if stream else size // 4, "type": "byte" if stream else "float",
            "redop": "none" if stream else "sum", "root": "none" if stream else "-1",
            "in_place": 0 if stream else 1, "repetition": repetition, "iteration": iteration,
            "warmup": int(iteration == 0), "rank": rank, "host": f"h{rank + 1}", "nic": f"h{rank + 1}-eth0",
            "nranks": len(self._ranks()), "time_s": seconds,
            "wrong_elements": 0, "checked_bytes": received // 2 if stream else size,
            "payload_sent_bytes": sent, "payload_received_bytes": received,
            "payload_staged_bytes": 0 if path == "devmem" else sent + received,
            "payload_staged_received_bytes": 0 if path == "devmem" else received,
            "payload_local_bytes": 0, "payload_far_bytes": 0, "fabric_bytes": 0,
            "device_read_bytes": sent, "device_write_bytes": received, "pcie_switch_bytes": sent + received,
            "tcp_retrans_segs": self.lost, "rx_alloc_fail": 0,
            "rx_pool_peak_share": 0.5 if self.lost else None,
            "app_cpu_s": 0.2 * seconds,
            "endpoint_cpu_s": 0.0 if path == "kernel" else 0.7 * seconds, "machine_steal_s": 0.0,
            "app_voluntary_switches": 30, "app_involuntary_switches": 3,
            "endpoint_voluntary_switches": 0 if path == "kernel" else 50, "endpoint_involuntary_switches": 5,
            "start_s": 100.0, "end_s": 100.0 + seconds,
        }  # fmt: skip
        return row | traffic(path, sent, received)

    def measure(self) -> Measure:
        """What the workload declares for the ranks of this run, as analysis reads it."""
        kind = WORKLOADS[self.workload]
        config = ExperimentConfig("star", self.nranks, self.workload, self.sizes, self.paths, kind.options())
        declared = kind.measure(config)
        return msgspec.convert(msgspec.to_builtins(declared), Measure)

    def _measure(self) -> dict[str, object]:
        return {} if self.schema == 2 else {"measure": msgspec.to_builtins(self.measure())}

    def _options(self) -> dict[str, object]:
        stream: dict[str, object] = {"duration_s": None, "bidir": self.bidir}
        collective: dict[str, object] = {"iterations": self.iterations, "warmup": 1}
        if self.schema == 2:  # whose configuration had the options of all workloads
            return collective | stream
        return {"options": stream if self.workload == "stream" else collective}

    def write(self, directory: Path, rows: list[dict[str, Cell]] | None = None) -> Path:
        """Write manifest.json and samples.csv; `rows` replaces the made ones."""
        directory.mkdir(parents=True, exist_ok=True)
        config = {
            "topology": "star", "hosts": self.nranks, "workload": self.workload,
            "sizes_bytes": list(self.sizes), "paths": list(self.paths), "repeat": self.repetitions,
            "mtu": 1500, "gso_max_bytes": SUPER_PACKET_BYTES, "niov_bytes": 65536,
            "host_mem_bw_bytes_per_s": None, "seed": 1,
        } | self._options() | self.config  # fmt: skip
        manifest = self._measure() | {
            "schema_version": self.schema, "run_id": directory.name, "status": "complete", "error": None,
            "started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:05:00Z",
            "argv": ["run.py", "--topology", "star", "--hosts", str(self.nranks)],
            "config": config, "environment": {"kernel": "6.18.0", "cpu_model": "A CPU", "cpu_count": 2},
            "versions": {"numpy": "2.4.6"}, "git": {"commit": "0123abc", "dirty": False}, "notes": [],
            "files": {},
        } | self.manifest  # fmt: skip
        (directory / "manifest.json").write_text(json.dumps(manifest))
        write_samples(directory / "samples.csv", self.rows() if rows is None else rows)
        return directory


def traffic(path: str, sent: int, received: int) -> dict[str, Cell]:
    """What the ledger of each path says for one rank, by the memory model's arithmetic."""
    moved = sent + received
    packets, wire = -(-moved // SUPER_PACKET_BYTES), -(-moved // WIRE_PACKET_BYTES)
    staged = 0 if path == "devmem" else 2 * moved
    derived = 3 * moved + 2 * HEADER_BYTES * packets if path == "kernel" else None
    row: dict[str, Cell] = {
        "host_dram_derived_bytes": derived,
        "host_dram_read_bytes": staged + HEADER_BYTES * packets,
        "host_dram_write_bytes": staged + HEADER_BYTES * packets,
        "pcie_root_bytes": staged + HEADER_BYTES * packets,
        "header_host_dram_bytes": 2 * HEADER_BYTES * packets,
        "header_host_dram_uncoalesced_bytes": 2 * HEADER_BYTES * wire,
        "nic_host_write_bytes": (path != "devmem") * received + HEADER_BYTES * (packets // 2),
        "cpu_host_write_bytes": (path != "devmem") * moved + HEADER_BYTES * (packets - packets // 2),
        "rx_wire_packets": wire // 2, "tx_wire_packets": wire - wire // 2,
    }  # fmt: skip
    if path != "kernel":  # Linux tells no super-packets
        row |= {"rx_packets": packets // 2, "tx_packets": packets - packets // 2}
    return row


def write_samples(path: Path, rows: list[dict[str, Cell]]) -> None:
    """samples.csv with every column of the schema, None as an empty cell."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_ledger(
    directory: Path, paths: Sequence[str] = ("devmem", "bounce"), hosts: Sequence[str] = ("h1",)
) -> None:
    """ledger.csv of hosts over four intervals, each path alike."""
    with (directory / "ledger.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LedgerRow.__struct_fields__)
        for path, host in itertools.product(paths, hosts):
            for n in range(4):
                key = (path, MIB, 0, host, n / 10, (n + 1) / 10, 100 + n / 10)
                counts = range(1000, 1000 + len(LedgerRow.__struct_fields__) - len(key) - 1)
                writer.writerow((*key, *counts, n / 8))


def write_links(directory: Path, paths: Sequence[str] = ("devmem", "bounce")) -> None:
    """link_usage.csv and drawing.json of two hosts that are linked, each path alike."""
    ends = [{"node": name, "interface": f"{name}-eth0"} for name in ("h1", "h2")]
    nodes = [{"name": f"h{at + 1}", "kind": "compute", "x": float(at), "y": 0.0} for at in (0, 1)]
    link = {"a": ends[0], "b": ends[1], "bend": 0.0, "rate_bps": 10**9, "asked": "1 Gbit/s"}
    (directory / "drawing.json").write_text(json.dumps({"shape": "pair", "nodes": nodes, "links": [link]}))
    with (directory / "link_usage.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LinkUsage.__struct_fields__)
        for path in paths:
            for a, b in ((0, 1), (1, 0)):
                sender, receiver = ends[a]["interface"], ends[b]["interface"]
                writer.writerow((path, MIB, 0, sender, receiver, 0.01, 2, MIB, 20, 10**9, 1500, 0))

"""A projection as text and as JSON, plainly called what it is.

In: a machine, what is asked of it, the projections. Out: tables with their assumptions; a document. Owns the
words. Plain text without colour, like a run's table, from which it differs by its first line.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import StringIO

from rich.console import Console
from rich.table import Table

from analysis.machines import Machine
from analysis.memory_model import MemoryModel
from analysis.projection import CollectiveProjection, PathProjection, Wire

LABEL = "projection: computed from closed forms, nothing was measured"
_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Projection:
    """Everything that was asked for, and what came of it."""

    machine: Machine
    wire: Wire
    model: MemoryModel
    paths: tuple[PathProjection, ...]
    collective: str
    size_bytes: int
    collectives: tuple[CollectiveProjection, ...]

    def document(self) -> dict[str, object]:
        """For programs: the same with the units in the names."""
        return {"kind": "projection", "label": LABEL} | asdict(self)


def text(projection: Projection) -> str:
    """Two tables and what they rest on, each line ended by a newline."""
    machine, wire = projection.machine, projection.wire
    ways = "both ways at once" if wire.both_ways else "one way"
    lines = [
        f"# PROJECTION, nothing measured: {machine.name}",
        f"# {machine.nics} NICs of {machine.nic_bits_per_s / 1e9:g} Gbit/s, {ways}, MTU {wire.mtu}: "
        f"{100 * wire.payload_share:.1f} % of the line is payload",
        f"# Host DRAM {machine.dram_bytes_per_s / 1e9:.1f} GB/s, PCIe "
        f"{machine.pcie_bytes_per_s / 1e9:.1f} GB/s each way for each NIC",
        f"# Memory model: {projection.model.words}",
        *_printed(_paths_table(projection)),
        "# needs: of all NICs at the line's rate (PCIe: of one NIC, each way); saturates: payload of a NIC",
        "",
        f"# {projection.collective} of {_size(projection.size_bytes)}, {machine.accelerators} accelerators a "
        "host; seconds of moving the bytes alone",
        *_printed(_collectives_table(projection.collectives)),
        "# kernel stages as bounce does. Not projected: CPU, latency, congestion; memory at its full rate",
    ]
    lines += [f"# Assumed: {machine.assumed}"] if machine.assumed else []
    lines += [f"# Source: {source}" for source in machine.sources]
    return "\n".join(lines) + "\n"


def _paths_table(projection: Projection) -> Table:
    table = _table(
        "path", "needs DRAM\n(GB/s)", "of what\nthere is", "needs PCIe\nslot (GB/s)", "root\n(GB/s)",
        "saturates DRAM\n(Gbit/s)", "PCIe\n(Gbit/s)", "reaches\n(Gbit/s)", "of line", "limited by",
    )  # fmt: skip
    for each in projection.paths:
        share = each.needs_dram_GB_per_s * 1e9 / projection.machine.dram_bytes_per_s
        table.add_row(
            each.path, f"{each.needs_dram_GB_per_s:.1f}", f"{100 * share:.1f} %",
            f"{each.needs_pcie_slot_GB_per_s:.1f}", f"{each.needs_pcie_root_GB_per_s:.1f}",
            f"{each.saturates_dram_gbit_per_s:.1f}", f"{each.saturates_pcie_gbit_per_s:.1f}",
            f"{each.rate_gbit_per_s:.1f}", f"{100 * each.line_share:.1f} %", each.limited_by,
        )  # fmt: skip
    return table


def _collectives_table(rows: Sequence[CollectiveProjection]) -> Table:
    table = _table(
        "accelerators", "hosts", "path", "network\n(GB a host)", "host DRAM\n(GB a host)", "time\n(ms)",
        "times\ndevmem",
    )  # fmt: skip
    for each in rows:
        table.add_row(
            str(each.accelerators), str(each.hosts), each.path, f"{each.host_network_GB:.3f}",
            f"{each.host_dram_GB:.3f}", f"{1e3 * each.seconds:.3f}", f"{each.times_devmem:.2f}",
        )  # fmt: skip
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        side = "left" if header in ("path", "limited by") else "right"
        table.add_column(header, justify="left" if side == "left" else "right", no_wrap=True)
    return table


def _printed(table: Table) -> list[str]:
    page = StringIO()
    Console(file=page, width=_WIDTH, color_system=None, force_terminal=False).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):g} GiB" if size_bytes >= 1 << 30 else f"{size_bytes / (1 << 20):g} MiB"

"""A grid of wires, a transfer between two connections over each, and the table of their throughput.

In: seeds. Out: throughput.json beside this file, by `python -m tests.tcp.grid --write`; the test compares
with it. The clock is simulated, so a figure changes only if the behaviour of TCP changes.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.tcp.two_ends import CONFIG, FULL, Impairment, Ledger, TwoEnds, pattern

TABLE = Path(__file__).with_name("throughput.json")
TRANSFER_BYTES = 700_000
SEEDS = (1, 2, 3)
LOSSES = (0.0, 0.001, 0.01, 0.05)
TROUBLES = {
    "in order": Impairment(),
    "reordered": Impairment(reorder=0.03, late_s=0.0008),
    "duplicated": Impairment(duplicate=0.03),
    "corrupted": Impairment(corrupt=0.005),
}
LINKS = {"12.5 MB/s": (12.5e6, 40_000), "125 MB/s": (125e6, 250_000)}  # bytes a second, bytes of queue
BUFFERS = {"64 KiB": 64 << 10, "1 MiB": 1 << 20}
DIRECTIONS = ("one way", "both ways")


@dataclass(frozen=True)
class Cell:
    """One wire and one transfer over it."""

    loss: float
    trouble: str
    link: str
    buffer: str
    direction: str

    @property
    def name(self) -> str:
        return f"loss {self.loss:.1%}, {self.trouble}, {self.link}, {self.buffer}, {self.direction}"


def cells() -> Iterator[Cell]:
    """Every combination."""
    for values in itertools.product(LOSSES, TROUBLES, LINKS, BUFFERS, DIRECTIONS):
        yield Cell(*values)


def play(cell: Cell, seed: int) -> float:
    """Transfer, check every byte and every reference; returns the simulated seconds that it took."""
    ledger = Ledger()
    rate, queue = LINKS[cell.link]
    path = Impairment(loss=cell.loss, rate=rate, queue_bytes=queue, delay_s=0.001, cut=True, seed=seed)
    trouble = TROUBLES[cell.trouble]
    wire = replace(
        path,
        reorder=trouble.reorder,
        late_s=trouble.late_s,
        duplicate=trouble.duplicate,
        corrupt=trouble.corrupt,
    )
    size = BUFFERS[cell.buffer]
    config = replace(CONFIG, send_buffer_bytes=size, receive_buffer_bytes=2 * (size + FULL))
    ends = TwoEnds(ledger, wire, config, config).open()
    there = pattern(TRANSFER_BYTES, seed)
    back = pattern(TRANSFER_BYTES, -seed) if cell.direction == "both ways" else b""
    ends.a.write_bytes = ends.server.write_bytes = 32 << 10
    ends.a.pending, ends.server.pending = there, back
    began = ends.now
    ends.run(600.0, until=lambda: len(ends.server.read) == len(there) and len(ends.a.read) == len(back))
    took = ends.now - began
    assert bytes(ends.server.read) == there, cell.name
    assert bytes(ends.a.read) == back, cell.name
    ends.stop()
    ledger.settle()
    return took


def throughput(cell: Cell) -> float:
    """Megabytes a second in one direction, the median of the seeds: in so short a transfer a single timeout,
    which is chance, takes longer than all the rest."""
    return TRANSFER_BYTES / statistics.median(play(cell, seed) for seed in SEEDS) / 1e6


def main() -> None:
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"python -m tests.tcp.grid --write: replaces {TABLE.name}; arguments were {sys.argv[1:]}")
    table = {cell.name: round(throughput(cell), 3) for cell in cells()}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()

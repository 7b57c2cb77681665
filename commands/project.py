"""The command project: what each path would need of a real machine, by closed forms.

In: words of a command line. Out: tables or JSON on stdout, a figure in a file. Owns nothing. It measures
nothing and starts nothing.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from analysis.machines import MACHINES, Machine
from analysis.memory_model import MemoryModel
from analysis.projection import (
    COLLECTIVES,
    PATHS,
    Wire,
    accelerator_counts,
    collective_projections,
    path_projection,
)
from analysis.projection_text import Projection, text
from commands.offer import Given, offers
from commands.usage import UsageError
from nodes.option import Option
from nodes.quantity import parse_rate, parse_size
from topologies.quantity import bit_rate

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES: tuple[type[Exception], ...] = ()
_PICTURES = (".png", ".svg")
_LARGEST = 1e15


class ProjectOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, what differs of it, and what it is asked to do."""

    machine: Annotated[str, Option("What is projected to.", choices=tuple(MACHINES))] = "a3-high"
    nic_rate: Annotated[
        float | None, Option("Of each NIC, as 200Gbit.", parse=bit_rate, default="the machine's", min=1e6)
    ] = None
    nics: Annotated[int | None, Option("NICs a host.", default="the machine's", min=1, max=1024)] = None
    accelerators: Annotated[
        int | None, Option("Accelerators a host.", default="the machine's", min=1, max=1024)
    ] = None
    host_mem_bw: Annotated[
        float | None,
        Option(
            "Bandwidth of a host's DRAM, as 600GB/s.", parse=parse_rate, default="the machine's",
            metavar="B/S", min=1e6, max=_LARGEST,
        ),
    ] = None  # fmt: skip
    pcie_bw: Annotated[
        float | None,
        Option(
            "Bandwidth of a NIC's PCIe port each way, likewise.", parse=parse_rate, default="the machine's",
            metavar="B/S", min=1e6, max=_LARGEST,
        ),
    ] = None  # fmt: skip
    mtu: Annotated[int, Option("Bytes of an IP packet on the wire.", min=576, max=65535)] = 8244
    one_way: Annotated[bool, Option("A host sends or receives, and does not do both at once.")] = False
    rfo: Annotated[bool, Option("The CPU reads what it writes: read-for-ownership.")] = False
    ddio: Annotated[float, Option("Share of NICs' writes that stay in the cache.", min=0, max=1)] = 0.0
    collective: Annotated[str, Option("What the accelerators do together.", choices=tuple(COLLECTIVES))] = (
        "all_reduce"
    )
    size: Annotated[int, Option("Bytes of its array, as 1G.", parse=parse_size, default="1G")] = 1 << 30
    up_to: Annotated[int, Option("How many accelerators at most.", min=2, max=10**7)] = 4096
    json: Annotated[bool, Option("Print JSON in place of the tables.")] = False
    figure: Annotated[str, Option("Write a figure, too: a .png or .svg file.", metavar="FILE")] = ""


@offers(ProjectOptions)
def command(_context: typer.Context, given: Given) -> int:
    """What devmem, bounce and kernel would need of a real machine: a projection, nothing is measured."""
    asked = given.record(ProjectOptions)
    if asked.figure and Path(asked.figure).suffix not in _PICTURES:
        raise UsageError(f"--figure {asked.figure} is neither .png nor .svg; choose one")
    found = projected(asked)
    print(json.dumps(found.document(), indent=2) if asked.json else text(found), end="\n" * asked.json)
    if asked.figure:
        from analysis.projection_plot import write  # matplotlib takes its time

        write(found, Path(asked.figure))
    return 0


def projected(asked: ProjectOptions) -> Projection:
    """Raises UsageError."""
    machine = _machine(asked)
    wire, model = Wire(asked.mtu, not asked.one_way), MemoryModel(asked.rfo, asked.ddio)
    counts = accelerator_counts(machine.accelerators, asked.up_to)
    if not counts:
        raise UsageError(
            f"--up-to {asked.up_to} is less than two hosts of {machine.accelerators} accelerators have; "
            f"choose {2 * machine.accelerators} or more"
        )
    paths = tuple(path_projection(path, machine, wire, model) for path in PATHS)
    together = collective_projections(asked.collective, asked.size, counts, machine, wire, model)
    return Projection(machine, wire, model, paths, asked.collective, asked.size, tuple(together))


def _machine(asked: ProjectOptions) -> Machine:
    """The named one; one that differs is no longer what its sources describe, and says so."""
    given = {
        "nics": asked.nics,
        "nic_bits_per_s": asked.nic_rate,
        "accelerators": asked.accelerators,
        "dram_bytes_per_s": asked.host_mem_bw,
        "pcie_bytes_per_s": asked.pcie_bw,
    }
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    machine = MACHINES[asked.machine]
    if not changed:
        return machine
    name = f"{machine.name}; changed: {', '.join(changed)}"
    return dataclasses.replace(machine, name=name, **changed)

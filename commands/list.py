"""The command list: names that options take, and the runs in progress with their hosts."""

from __future__ import annotations

from typing import Any

from nodes.kernel_version import VERSIONS
from nodes.nic.nic_model import MODELS
from nodes.simulation.machines import MACHINES
from topologies.mininet.inventory import InventoryError, RunningHost, listens, running, state_directory
from topologies.shapes.registry import SHAPES
from topologies.shapes.shape import Shape
from workloads.registry import PATHS, WORKLOADS

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (InventoryError,)


def command() -> int:
    """What there is to choose from."""
    for title, entries in (
        ("--topology", {name: _words(shape) for name, shape in SHAPES.items()}),
        ("--workload", _workloads()),
        ("--path", {name: transport.description for name, transport in PATHS.items()}),
        ("--nic (docs/devmem.md says more)", dict.fromkeys(MODELS, "")),
        ("--kernel (likewise)", dict.fromkeys(VERSIONS, "")),
        ("--machine (with --clock simulated)", dict.fromkeys(MACHINES, "")),
        ("--run (in progress, with their hosts)", _runs()),
    ):
        print(title)
        width = max([14, *map(len, entries)])
        for name, description in entries.items():
            print(f"  {name:<{width}} {description}".rstrip())
        if not entries:
            print("  none")
    return 0


def _workloads() -> dict[str, str]:
    own = {"FILE.py:NAME": "a function of your own (docs/workloads.md)"}
    return {name: kind.description for name, kind in WORKLOADS.items()} | own


def _runs() -> dict[str, str]:
    return {run.run_id: ", ".join(map(_state, run.hosts)) for run in running(state_directory())}


def _state(host: RunningHost) -> str:
    return host.name if listens(host.channel) else f"{host.name} (down)"


def _words(shape: Shape) -> str:
    """What it is, and what stands behind its name."""
    more = [name for name in shape.parameters if name != "hosts"]
    return f"{shape.description} ({', '.join(more)})" if more else shape.description

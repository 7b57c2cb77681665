"""The command doctor: prints what `topologies.mininet` finds about this machine, and what it carries."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from nodes.compiled.state import state
from topologies.mininet.capacity import (
    AWAKE_CORES,
    BATCHED_FACTOR,
    PACKET_BYTES,
    SHARE,
    WOKEN_FACTOR,
    BareLoop,
    CapacityError,
    carried,
    measure,
)
from topologies.mininet.doctor import Check, checks

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES: tuple[type[Exception], ...] = (CapacityError,)


def command(
    capacity: Annotated[
        bool, typer.Option("--capacity", help="Measure how many hosts at which rate it carries, in seconds.")
    ] = False,
) -> int:
    """What this machine offers and lacks, and the remedy; exit status 1 if something needed is missing."""
    if capacity:
        print(capacity_text(measure(), len(os.sched_getaffinity(0))), end="")
        return 0
    words = {True: "ok", False: "missing", None: "unknown"}
    found = [*checks(), compiled()]
    for check in found:
        remedy = f"; {check.remedy}" if check.ok is False and check.remedy else ""
        word = words[check.ok] if check.needed or check.ok else "absent"
        print(f"{word:<8} {check.name:<32} {check.found}{remedy}")
    return int(any(check.needed and check.ok is False for check in found))


def compiled() -> Check:
    """Whether nodes/ runs as machine code; pure Python does the same, for more CPU time."""
    found = state()
    return Check("compiled nodes", found.compiled, str(found), "", False)


def capacity_text(loop: BareLoop, cores: int) -> str:
    """Hosts and rates, then what was measured and what is assumed."""
    send_us, receive_us = 1e6 * loop.send_s, 1e6 * loop.receive_s
    per_core = f"{1 / loop.packet_s:.0f} packets/s, {_rate(loop.bits_per_core_s)}"
    lines = [
        "hosts  rate of each, both ways",
        *(f"{each.hosts:>5}  {_rate(each.rate_bps)}" for each in carried(loop, cores)),
        f"# Measured: {PACKET_BYTES} bytes through packet sockets, {send_us:.1f} us of CPU time to send and",
        f"# {receive_us:.1f} us to receive: {per_core} a core. This machine has {cores}.",
        f"# Assumed: a host on path devmem takes {WOKEN_FACTOR:g} times that, or {AWAKE_CORES:g} of a core",
        f"# and {BATCHED_FACTOR:g} times that; all hosts take {SHARE:.0%} of the cores; nothing else runs.",
        "# An estimate: the verdict of a run says what was so.",
    ]
    return "".join(f"{line}\n" for line in lines)


def _rate(bps: float) -> str:
    return f"{bps / 1e9:.2g} Gbit/s" if bps >= 1e9 else f"{bps / 1e6:.3g} Mbit/s"

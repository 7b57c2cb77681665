"""On which machines a run is: its options, and whether they go together.

In: --across, --on, --ray-address, --tunnel-port. Out: the machine of every host and switch; UsageError.
Owns nothing. One machine is this one, without a cluster.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from commands.usage import UsageError
from nodes.option import Option
from topologies.link import GSO_LEGACY_MAX_BYTES
from topologies.part import PORT, homes
from topologies.topology import Topology
from topologies.topology_error import TopologyError
from workloads.experiment.records import ExperimentConfig

MACHINES_MAX = 64


class Machines(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a run across machines."""

    across: Annotated[
        int,
        Option(
            "Machines of a Ray cluster that share the topology's hosts; see docs/machines.md.",
            metavar="N", min=1, max=MACHINES_MAX, default="this machine alone",
        ),
    ] = 1  # fmt: skip
    on: Annotated[
        tuple[str, ...],
        Option("With --across: NODE=M, a host or switch on the M-th machine. May be repeated.", many=True),
    ] = ()
    ray_address: Annotated[str, Option("With --across: of the Ray cluster, HOST:PORT.", default="auto")] = (
        "auto"
    )
    tunnel_port: Annotated[
        int, Option("With --across: UDP port of the tunnels between machines.", min=1, max=65535)
    ] = PORT


class Division(msgspec.Struct, frozen=True):
    """`homes`: the machine of every host and switch, by number from 0."""

    machines: int
    homes: dict[str, int]
    ray_address: str
    tunnel_port: int


def division(asked: Machines, config: ExperimentConfig, network: Topology) -> Division | None:
    """None: this machine has all of it. Raises UsageError."""
    if asked.across == 1:
        if asked.on or asked.ray_address != "auto" or asked.tunnel_port != PORT:
            raise UsageError("--on, --ray-address and --tunnel-port go with --across N; give it, too")
        return None
    refused = {"--fault": config.fault, "--faults": config.faults, "--traffic": config.traffic}
    for flag in (flag for flag, given in refused.items() if given):
        raise UsageError(f"{flag} does not go with --across: it is for one machine; leave it out")
    if network.traffic:
        raise UsageError("the topology's traffic does not go with --across; leave it out of the file")
    if config.gso_max_bytes > GSO_LEGACY_MAX_BYTES:
        raise UsageError(
            f"--gso-max {config.gso_max_bytes} does not go with --across: a tunnel carries super-packets of "
            "64K at most"
        )
    try:
        found = homes(network, asked.across, dict(map(_placed, asked.on)))
    except TopologyError as reason:
        raise UsageError(f"--across {asked.across}: {reason}") from None
    return Division(asked.across, found, asked.ray_address, asked.tunnel_port)


def _placed(text: str) -> tuple[str, int]:
    node, _, number = text.partition("=")
    if not node or not number.isdecimal():
        raise UsageError(f"--on {text} is not NODE=M, as h1=2 for h1 on the second machine; correct it")
    return node, int(number) - 1

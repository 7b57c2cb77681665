"""A network with an endpoint in every host: what a measuring run and `up` have in common.

In: a topology, and what its hosts are like. Out: a HostConfig a host, as JSON, to the endpoints; the hosts'
channels, and a function that raises when a part of the network has died, to the caller. Owns the fabric and
the record of the run, through the caller's stack.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from commands.channel_access import OWNER_ALONE, ChannelAccess
from nodes.client.host import Host, HostError
from nodes.host_config import HostConfig, HostOptions, NicConfig, encode
from topologies.host import Host as TopologyHost
from topologies.mininet.fabric import Fabric, FabricError
from topologies.mininet.inventory import Inventory
from topologies.topology import Topology
from workloads.experiment.records import NetworkConfig

TOPOLOGY_NAME = "topology.json"
_READY_S = 20.0
_HELLO_S = 1.0  # for one attempt to connect; between two, `watch` is called


@dataclass(frozen=True, slots=True)
class StartedHost:
    name: str
    channel: str


@dataclass(frozen=True, slots=True)
class StartedNetwork:
    """`watch` raises FabricError when a host, an endpoint or the network has died, and whatever the
    caller's own check raises."""

    hosts: tuple[StartedHost, ...]
    inventory: Inventory
    watch: Callable[[], None]


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """`run_dir` is for logs, captures and traces. `standing`: see inventory.Record. `access`: of other users
    to the channels."""

    topology: Topology
    run_dir: Path
    config: NetworkConfig
    standing: bool = False
    access: ChannelAccess = OWNER_ALONE


def start_network(request: NetworkRequest, check: Callable[[], None], stack: ExitStack) -> StartedNetwork:
    """Build it, start the endpoints and wait until they take connections. Raises FabricError, HostError,
    InventoryError, and what `check` raises."""
    inventory = stack.enter_context(Inventory.create(request.run_dir.name, request.standing))
    channels = inventory.make_directory()
    fabric = stack.enter_context(Fabric(request.topology, request.run_dir))
    described = msgspec.json.format(msgspec.json.encode(request.topology))
    (request.run_dir / TOPOLOGY_NAME).write_bytes(described + b"\n")
    for pid in fabric.pids:
        inventory.add_process(pid)

    def watch() -> None:
        check()
        fabric.check()
        for child in fabric.dead_children():
            how = f"signal {-child.status}" if child.status < 0 else f"status {child.status}"
            what = "endpoint" if "nodes.endpoint" in child.argv else "network"
            said = _last_line(request.run_dir / f"{child.host}.log")
            raise FabricError(
                f"the {what} of host {child.host} ended with {how}{said}; see the logs in {request.run_dir}"
            )

    configs = [host_config(request, host, channels) for host in request.topology.hosts]
    for each in configs:
        argv = [sys.executable, "-m", "nodes.endpoint", "--config", encode(each)]
        inventory.add_process(fabric.spawn(each.name, argv, f"{each.name}.log"))
    hosts = tuple(StartedHost(each.name, each.channel) for each in configs)
    _wait_ready(hosts, watch)
    request.access.grant(channels)
    for host in hosts:
        inventory.add_host(host.name, Path(host.channel), fabric.shell_pid(host.name))
    return StartedNetwork(hosts, inventory, watch)


def host_config(request: NetworkRequest, host: TopologyHost, channels: Path) -> HostConfig:
    """What the endpoint of `host` is told. A topology has each address once, so the endpoint
    does not ask whether one is in use."""
    config, run_dir = request.config, request.run_dir.resolve()
    return HostConfig(
        **{name: getattr(config, name) for name in HostOptions.__struct_fields__},
        nics=tuple(
            NicConfig(
                interface=nic.interface,
                address=nic.endpoint_address,
                address6=nic.endpoint_address6,
                mac=nic.endpoint_mac,
            )
            for nic in host.nics
        ),
        channel=str(channels / f"{host.name}.sock"),
        name=host.name,
        kernel_address=host.nics[0].kernel_address.partition("/")[0],
        dad=False,
        pcap=str(run_dir / f"{host.name}.pcapng") if config.pcap else "",
        trace=str(run_dir / f"{host.name}.trace.jsonl") if config.trace else "",
    )


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f" saying {lines[-1]!r}" if lines else ""


def _wait_ready(hosts: tuple[StartedHost, ...], watch: Callable[[], None]) -> None:
    """Wait until every endpoint's channel takes connections. Raises HostError."""
    give_up_at = time.monotonic() + _READY_S
    for host in hosts:
        while True:
            watch()
            try:
                with closing(Host(host.channel, _HELLO_S)):
                    break
            except HostError as reason:
                if time.monotonic() > give_up_at:
                    raise HostError(f"host {host.name} was not ready in {_READY_S:g} s: {reason}") from None
                time.sleep(0.05)

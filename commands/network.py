"""A network with an endpoint in every host: what a measuring run and `up` have in common.

In: a topology, and what its hosts are like. Out: a HostConfig a host, as JSON, to the endpoints; the hosts'
channels, and a function that raises when a part of the network has died, to the caller. Owns the fabric and
the record of the run, through the caller's stack.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from commands.channel_access import OWNER_ALONE, ChannelAccess
from commands.endpoints import Endpoints, end_of, is_endpoint
from commands.relays import start_relays
from nodes.host_config import HostConfig, HostOptions, NicConfig
from topologies.calibration import LinkCalibration, obstacle
from topologies.host import Host as TopologyHost
from topologies.mininet.fabric import Fabric, FabricError
from topologies.mininet.inventory import Inventory
from topologies.mininet.offload import InterfaceSettings, settings
from topologies.topology import Topology
from workloads.experiment.records import NetworkConfig

TOPOLOGY_NAME = "topology.json"


@dataclass(frozen=True, slots=True)
class StartedHost:
    """`pid`: of the endpoint that was started first."""

    name: str
    channel: str
    pid: int


@dataclass(frozen=True, slots=True)
class StartedNetwork:
    """`links`: those that were calibrated. `interfaces`: how the kernel handles the packets of hosts' NICs.
    `node_pids`: a process in the namespaces of each host and switch. `watch` raises FabricError when a host,
    an endpoint or the network has died, and whatever the caller's own check raises. In a standing run an
    endpoint that has died is in `crashed` instead, by the host's name and with the reason, until `respawn`
    has started it again: HostError when it does not start, FabricError, what `watch` raises. `kill`: see
    Endpoints; `set_links`, `spawn` and `terminate`: see Fabric."""

    hosts: tuple[StartedHost, ...]
    links: tuple[LinkCalibration, ...]
    interfaces: tuple[InterfaceSettings, ...]
    node_pids: Mapping[str, int]
    inventory: Inventory
    watch: Callable[[], None]
    crashed: Mapping[str, str]
    respawn: Callable[[str], None]
    kill: Callable[[str], None]
    set_links: Callable[[Collection[str], Mapping[str, int]], float]
    spawn: Callable[[str, Sequence[str], str], int]
    terminate: Callable[[int], int]


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
    place = str(request.run_dir.resolve())
    inventory = stack.enter_context(Inventory.create(request.run_dir.name, request.standing, place))
    channels = inventory.make_directory()
    fabric = stack.enter_context(Fabric(request.topology, request.run_dir))
    described = msgspec.json.format(msgspec.json.encode(request.topology))
    (request.run_dir / TOPOLOGY_NAME).write_bytes(described + b"\n")
    for pid in fabric.pids:
        inventory.add_process(pid)

    configs = [host_config(request, host, channels) for host in request.topology.hosts]
    endpoints = Endpoints(fabric, inventory, configs)
    started: list[str] = []  # the hosts, when all of them run

    def watch() -> None:
        check()
        fabric.check()
        for child in fabric.dead_children():
            reason = end_of(child, request.topology, request.run_dir)
            if not (request.standing and started and is_endpoint(child)):
                raise FabricError(f"{reason}; see the logs in {request.run_dir}")
            endpoints.crashed[child.host] = reason

    start_relays(fabric, channels, inventory.add_process, watch)
    links = _calibrated(fabric, request)
    endpoints.start(watch)
    request.access.grant(channels)
    for each in configs:
        inventory.add_host(each.name, Path(each.channel), fabric.shell_pid(each.name))
        started.append(each.name)

    def respawn(name: str) -> None:
        endpoints.respawn(name, watch)
        request.access.grant(channels)

    hosts = tuple(StartedHost(each.name, each.channel, endpoints.pids[each.name]) for each in configs)
    names = [each.name for each in configs] + [switch.name for switch in request.topology.switches]
    pids = {name: fabric.shell_pid(name) for name in names}
    nics = [(host.name, nic.interface) for host in request.topology.hosts for nic in host.nics]
    found = tuple(settings(*nic, pids[nic[0]]) for nic in nics)
    acts = endpoints.kill, fabric.set_links, fabric.spawn, fabric.terminate
    return StartedNetwork(hosts, links, found, pids, inventory, watch, endpoints.crashed, respawn, *acts)


def _calibrated(fabric: Fabric, request: NetworkRequest) -> tuple[LinkCalibration, ...]:
    """What the links that were asked for something are like. Raises FabricError if it is something else."""
    if all(link.is_plain for link in request.topology.links):
        return ()
    links = fabric.calibrate()
    off = obstacle(links)
    if off is not None and not request.config.allow_uncalibrated:
        raise FabricError(off)
    return links


def _ceilings(host: TopologyHost) -> dict[str, float]:
    """The host's own, which are instead of those of all hosts."""
    own = {name: getattr(host, name) for name in ("host_mem_bw_bytes_per_s", "pcie_bw_bytes_per_s")}
    return {name: ceiling for name, ceiling in own.items() if ceiling}


def host_config(request: NetworkRequest, host: TopologyHost, channels: Path) -> HostConfig:
    """What the endpoint of `host` is told. A topology has each address once, so the endpoint
    does not ask whether one is in use."""
    config, run_dir = request.config, request.run_dir.resolve()
    shared = {name: getattr(config, name) for name in HostOptions.__struct_fields__}
    return HostConfig(
        **{**shared, **_ceilings(host)},
        nics=tuple(
            NicConfig(
                interface=nic.interface,
                address=nic.endpoint_address,
                address6=nic.endpoint_address6,
                mac=nic.endpoint_mac,
                gateway=nic.gateway,
                gateway6=nic.gateway6,
            )
            for nic in host.nics
        ),
        routes=tuple(
            f"{route.prefix},via={route.gateway},dev={nic.interface}"
            for nic in host.nics
            for route in nic.routes
        ),
        channel=str(channels / f"{host.name}.sock"),
        name=host.name,
        kernel_address=host.nics[0].kernel_address.partition("/")[0],
        dad=False,
        pcap=str(run_dir / f"{host.name}.pcapng") if config.pcap else "",
        trace=str(run_dir / f"{host.name}.trace.jsonl") if config.trace else "",
    )

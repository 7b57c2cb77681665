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
from topologies.mininet.host_settings import HostSettings, host_settings
from topologies.mininet.inventory import Inventory
from topologies.mininet.offload import InterfaceSettings, settings
from topologies.part import Part, whole
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
    `settings`: how the hosts' kernels are set.
    `node_pids`: a process in the namespaces of each host and switch. `watch` raises FabricError when a host,
    an endpoint or the network has died, and whatever the caller's own check raises. In a standing run an
    endpoint that has died is in `crashed` instead, by the host's name and with the reason, until `respawn`
    has started it again: HostError when it does not start, FabricError, what `watch` raises. `kill`: see
    Endpoints; `set_links`, `spawn` and `terminate`: see Fabric."""

    hosts: tuple[StartedHost, ...]
    links: tuple[LinkCalibration, ...]
    interfaces: tuple[InterfaceSettings, ...]
    settings: tuple[HostSettings, ...]
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
    to the channels. `only`: the part of the topology that this machine carries; None: all of it. `shown_dir`:
    where a reader will find the logs, if not there."""

    topology: Topology
    run_dir: Path
    config: NetworkConfig
    standing: bool = False
    access: ChannelAccess = OWNER_ALONE
    only: Part | None = None
    shown_dir: Path | None = None

    @property
    def part(self) -> Part:
        return whole(self.topology) if self.only is None else self.only


def start_network(request: NetworkRequest, check: Callable[[], None], stack: ExitStack) -> StartedNetwork:
    """Build it, start the endpoints and wait until they take connections. Raises FabricError, HostError,
    InventoryError, and what `check` raises."""
    rising = RisingNetwork(request, check, stack)
    links = rising.calibrated()
    check_calibrated(links, request.config)
    return rising.started(links)


class RisingNetwork:
    """A network, or a machine's part of one, on its way up, one phase after the other: built with its relays
    by the constructor, calibrated, started. Methods raise as `start_network` does."""

    def __init__(self, request: NetworkRequest, check: Callable[[], None], stack: ExitStack) -> None:
        self._request, self._check = request, check
        place = str(request.run_dir.resolve())
        self._inventory = stack.enter_context(
            Inventory.create(request.run_dir.name, request.standing, place)
        )
        channels = self._channels = self._inventory.make_directory()
        self.fabric = stack.enter_context(Fabric(request.part, request.run_dir))
        described = msgspec.json.format(msgspec.json.encode(request.topology))
        (request.run_dir / TOPOLOGY_NAME).write_bytes(described + b"\n")
        for pid in self.fabric.pids:
            self._inventory.add_process(pid)
        self._configs = [host_config(request, host, channels) for host in request.part.hosts]
        self._endpoints = Endpoints(self.fabric, self._inventory, self._configs)
        self._stands = False  # when all endpoints run
        start_relays(self.fabric, channels, self._inventory.add_process, self.watch)

    def watch(self) -> None:
        self._check()
        self.fabric.check()
        request = self._request
        for child in self.fabric.dead_children():
            reason = end_of(child, request.topology, request.run_dir)
            if not (request.standing and self._stands and is_endpoint(child)):
                raise FabricError(f"{reason}; see the logs in {request.shown_dir or request.run_dir}")
            self._endpoints.crashed[child.host] = reason

    @property
    def inventory(self) -> Inventory:
        return self._inventory

    def calibrated(self) -> tuple[LinkCalibration, ...]:
        """What the links with both ends here that were asked for something are like."""
        if all(link.is_plain for link in self._request.part.whole_links):
            return ()
        return self.fabric.calibrate()

    def started(self, links: tuple[LinkCalibration, ...]) -> StartedNetwork:
        """With its endpoints. `links`: those that were calibrated."""
        request, fabric, endpoints = self._request, self.fabric, self._endpoints
        endpoints.start(self.watch)
        request.access.grant(self._channels)
        for each in self._configs:
            self._inventory.add_host(each.name, Path(each.channel), fabric.shell_pid(each.name))
        self._stands = True
        hosts = tuple(
            StartedHost(each.name, each.channel, endpoints.pids[each.name]) for each in self._configs
        )
        pids = {name: fabric.shell_pid(name) for name in request.part.nodes}
        nics = [(host.name, nic.interface) for host in request.part.hosts for nic in host.nics]
        found = tuple(settings(*nic, pids[nic[0]]) for nic in nics)
        kernels = host_settings({host.name: pids[host.name] for host in request.part.hosts})
        life = endpoints.crashed, self._respawn, endpoints.kill
        acts = fabric.set_links, fabric.spawn, fabric.terminate
        return StartedNetwork(
            hosts, links, found, kernels, pids, self._inventory, self.watch, *life, *acts
        )

    def _respawn(self, name: str) -> None:
        self._endpoints.respawn(name, self.watch)
        self._request.access.grant(self._channels)


def check_calibrated(links: Sequence[LinkCalibration], config: NetworkConfig) -> None:
    """Links are what was asked. Raises FabricError."""
    off = obstacle(links)
    if off is not None and not config.allow_uncalibrated:
        raise FabricError(off)


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

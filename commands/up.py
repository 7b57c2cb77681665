"""The command up: a network with an endpoint in every host, which measures nothing.

In: words of a command line. Out: the hosts' addresses and channels on stdout. Owns the network until a
signal ends it.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from analysis.traffic import TrafficRecord, traffic_line
from commands.channel_access import ChannelAccess
from commands.faults import FaultError, FaultInjector, asked_faults, check_clock
from commands.network import NetworkRequest, StartedNetwork, start_network
from commands.offer import Given, offers
from commands.place import Place, check_place
from commands.running import respawn_wish
from commands.stop import Stop
from commands.topology import fewest_hosts, topology_of
from commands.traffic import BackgroundTraffic, asked_traffic
from nodes.client.host import HostError
from nodes.host_config import check_nic_model
from nodes.option import Option
from topologies.fault import Event, Scope, steps
from topologies.mininet.fabric import FabricError
from topologies.mininet.inventory import InventoryError
from topologies.topology import Topology
from workloads.experiment.records import SEED_MAX, NetworkConfig

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (FabricError, FaultError, HostError, InventoryError)
_WATCH_S = 0.1


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which network."""

    topology: Annotated[
        str, Option("A shape (see `list`), FILE.yaml or FILE.py,NAME.", alias="custom")
    ] = "star"
    hosts: Annotated[int | None, Option("How many hosts.", default="the shape's fewest, of star 2")] = None
    seed: Annotated[int, Option("Of the times of faults and of the traffic.", min=0, max=SEED_MAX)] = 1


class CrashOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a host whose endpoint has died."""

    respawn: Annotated[bool, Option("Start an endpoint that has died again, as a host that boots.")] = False


@offers(Asked, NetworkConfig, Place, ChannelAccess, CrashOptions, grouped=True)
def command(_context: typer.Context, given: Given) -> None:
    """A network with an endpoint in every host, for exec, netdev and ethtool, until Ctrl-C or `down`."""
    stop = Stop()
    asked, config = given.record(Asked), given.record(NetworkConfig)
    hosts = fewest_hosts(asked.topology) if asked.hosts is None else asked.hosts
    network = topology_of(asked.topology, hosts, config)
    plan = steps(asked_faults(config, Scope(network, standing=True)), asked.seed)
    check_clock(plan, simulated=False)
    asked_for = asked_traffic(config, network, asked.seed)
    place = given.record(Place)
    run_dir = place.run_directory(f"up-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    check_nic_model(config)
    check_place(run_dir, place)
    access = given.record(ChannelAccess)
    access.check()
    with stop:
        request = NetworkRequest(network, run_dir, config, standing=True, access=access)
        respawn = given.record(CrashOptions).respawn
        traffic = BackgroundTraffic(asked_for, asked.seed, run_dir)
        _keep_up(request, stop.check, respawn, FaultInjector(plan, run_dir, _tell_of_fault), traffic)


def _keep_up(
    request: NetworkRequest,
    check: Callable[[], None],
    respawn: bool,
    faults: FaultInjector,
    traffic: BackgroundTraffic,
) -> NoReturn:
    """Build the network, say where its hosts are, and keep it until `check` raises."""
    name = request.run_dir.name
    with ExitStack() as stack:
        started = start_network(request, check, stack)
        print(f"run {name} is up; Ctrl-C or `run.py down --run {name}` ends it")
        channels = {host.name: host.channel for host in started.hosts}
        _print_addresses(request.topology, channels)
        crashes = Crashed(started, name, respawn)
        stack.callback(_tell_of_traffic, traffic)
        stack.enter_context(traffic).start(started, request.topology)
        stack.enter_context(faults)
        traffic.begin()
        faults.begin(started)
        while True:
            started.watch()
            faults.check()
            crashes.attend()
            time.sleep(_WATCH_S)


def _tell_of_fault(event: Event) -> None:
    print(f"fault {event.fault}: {event.action} at {event.actual_s:.3f} s", flush=True)


def _tell_of_traffic(traffic: BackgroundTraffic) -> None:
    for record in traffic.records:
        known = msgspec.convert(record, TrafficRecord, from_attributes=True)
        print(f"traffic {traffic_line(known)}", flush=True)


class Crashed:
    """The hosts whose endpoints have died, and what is done about each: it is told once, and started again at
    once with --respawn, else when `run.py respawn` wishes it."""

    def __init__(self, started: StartedNetwork, run: str, at_once: bool) -> None:
        self._started = started
        self._run = run
        self._at_once = at_once
        self._told: set[str] = set()

    def attend(self) -> None:
        for host in self._started.hosts:
            if host.name not in self._started.crashed:
                continue
            wish = respawn_wish(host.channel)
            is_new = host.name not in self._told
            if is_new:
                self._tell(host.name)
            if (is_new and self._at_once) or wish.exists():
                self._start_again(host.name)
                wish.unlink(missing_ok=True)

    def _tell(self, name: str) -> None:
        self._told.add(name)
        again = f"`run.py respawn {name} --run {self._run}` starts it again"
        reason = self._started.crashed[name]
        print(f"host {name} is down: {reason}; {'starting it again' if self._at_once else again}", flush=True)

    def _start_again(self, name: str) -> None:
        try:
            self._started.respawn(name)
        except HostError as reason:
            print(f"host {name} stays down: {reason}", flush=True)
        else:
            self._told.discard(name)
            print(f"host {name} is up again", flush=True)


def _print_addresses(topology: Topology, channels: dict[str, str]) -> None:
    """A line a NIC: the endpoint's addresses, those of Linux's own stack, and the host's channel."""
    for host in topology.hosts:
        for nic in host.nics:
            label = host.name if len(host.nics) == 1 else nic.interface
            endpoint = f"{nic.endpoint_address:<14} {nic.endpoint_address6:<15}"
            kernel = f"{nic.kernel_address:<14} {nic.kernel_address6}"
            where = f"channel {channels[host.name]}"
            print(f"{label:<6} {endpoint} kernel {kernel:<23} {where}", flush=True)

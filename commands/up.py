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

from commands.channel_access import ChannelAccess
from commands.network import NetworkRequest, start_network
from commands.offer import Given, offers
from commands.place import Place, check_place
from commands.stop import Stop
from commands.topology import check_buildable, fewest_hosts, topology_of
from nodes.client.host import HostError
from nodes.host_config import check_nic_model
from nodes.option import Option
from topologies.mininet.fabric import FabricError
from topologies.mininet.inventory import InventoryError
from topologies.topology import Topology
from workloads.experiment.records import NetworkConfig

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (FabricError, HostError, InventoryError)
_WATCH_S = 0.1


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which network."""

    topology: Annotated[
        str, Option("A shape (see `list`), FILE.yaml or FILE.py,NAME.", alias="custom")
    ] = "star"
    hosts: Annotated[int | None, Option("How many hosts.", default="the shape's fewest, of star 2")] = None


@offers(Asked, NetworkConfig, Place, ChannelAccess)
def command(_context: typer.Context, given: Given) -> None:
    """A network with an endpoint in every host, for exec, netdev and ethtool, until Ctrl-C or `down`."""
    stop = Stop()
    asked, config = given.record(Asked), given.record(NetworkConfig)
    hosts = fewest_hosts(asked.topology) if asked.hosts is None else asked.hosts
    network = topology_of(asked.topology, hosts, config)
    check_buildable(network)
    run_dir = given.record(Place).run_directory(f"up-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    check_nic_model(config)
    check_place(run_dir)
    with stop:
        access = given.record(ChannelAccess)
        _keep_up(NetworkRequest(network, run_dir, config, standing=True, access=access), stop.check)


def _keep_up(request: NetworkRequest, check: Callable[[], None]) -> NoReturn:
    """Build the network, say where its hosts are, and keep it until `check` raises."""
    name = request.run_dir.name
    with ExitStack() as stack:
        started = start_network(request, check, stack)
        print(f"run {name} is up; Ctrl-C or `run.py down --run {name}` ends it")
        _print_addresses(request.topology, {host.name: host.channel for host in started.hosts})
        while True:
            started.watch()
            time.sleep(_WATCH_S)


def _print_addresses(topology: Topology, channels: dict[str, str]) -> None:
    """A line a NIC: the endpoint's addresses, those of Linux's own stack, and the host's channel."""
    for host in topology.hosts:
        for nic in host.nics:
            label = host.name if len(host.nics) == 1 else nic.interface
            endpoint = f"{nic.endpoint_address:<14} {nic.endpoint_address6:<15}"
            kernel = f"{nic.kernel_address:<14} {nic.kernel_address6}"
            where = f"channel {channels[host.name]}"
            print(f"{label:<6} {endpoint} kernel {kernel:<23} {where}", flush=True)

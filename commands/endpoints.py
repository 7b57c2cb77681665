"""The endpoints of a network: started, watched, and started again after a crash.

In: the hosts' configurations. Out: running endpoints whose channels take connections; crashes. Owns nothing:
the processes are the fabric's, which ends them. An endpoint is its host's kernel and NIC, so its death is a
crash of the host; started again, it has the same addresses, channel and options, and knows no connection.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from nodes.client.host import Host, HostError
from nodes.host_config import HostConfig, encode
from topologies.mininet.fabric import Fabric
from topologies.mininet.inventory import Inventory
from topologies.mininet.protocol import ChildExited
from topologies.relay import relays
from topologies.topology import Topology

_READY_S = 20.0
_HELLO_S = 1.0  # for one attempt to connect; between two, `watch` is called
_MODULE = "nodes.endpoint"
_TRAFFIC = "workloads.traffic"


class Endpoints:
    """One for each of `configs`. `crashed`: why each endpoint that does not run has ended, by host. `pids`:
    their processes, likewise."""

    def __init__(self, fabric: Fabric, inventory: Inventory, configs: Sequence[HostConfig]) -> None:
        self._fabric = fabric
        self._inventory = inventory
        self._configs = {config.name: config for config in configs}
        self.crashed: dict[str, str] = {}
        self.pids: dict[str, int] = {}

    def start(self, watch: Callable[[], None]) -> None:
        """All of them; returns when they take connections. Raises FabricError, HostError, what `watch`
        raises."""
        for config in self._configs.values():
            self._spawn(config)
        for config in self._configs.values():
            _wait_ready(config, watch)

    def respawn(self, name: str, watch: Callable[[], None]) -> None:
        """Start the endpoint of a crashed host again; raises as `start` does. What it captures and traces
        goes to files of its own."""
        config = _with_new_files(self._configs[name])
        self.crashed.pop(name)

        def runs() -> None:
            watch()
            if name in self.crashed:
                raise HostError(f"host {name} did not start: {self.crashed[name]}")

        try:
            self._spawn(config)
            _wait_ready(config, runs)
        except HostError as reason:
            self.crashed.setdefault(name, str(reason))
            raise

    def kill(self, name: str) -> None:
        """End the endpoint of a host as nothing does that is prepared for it. Raises HostError."""
        if name in self.crashed:
            raise HostError(f"host {name} is down already")
        try:
            os.kill(self.pids[name], signal.SIGKILL)
        except ProcessLookupError:
            raise HostError(f"the endpoint of host {name} has ended already") from None

    def _spawn(self, config: HostConfig) -> None:
        argv = [sys.executable, "-m", _MODULE, "--config", encode(config)]
        self.pids[config.name] = self._fabric.spawn(config.name, argv, f"{config.name}.log")
        self._inventory.add_process(self.pids[config.name])


def _with_new_files(config: HostConfig) -> HostConfig:
    return msgspec.structs.replace(config, pcap=_unused(config.pcap), trace=_unused(config.trace))


def _unused(name: str) -> str:
    """h1.pcapng, h1.2.pcapng, h1.3.pcapng, ...; "" stays."""
    path = Path(name)
    stem, _, suffix = path.name.partition(".")
    number = 2
    while name and path.exists():
        path = path.with_name(f"{stem}.{number}.{suffix}")
        number += 1
    return str(path) if name else ""


def _wait_ready(config: HostConfig, watch: Callable[[], None]) -> None:
    """Wait until the endpoint's channel takes connections. Raises HostError, what `watch` raises."""
    give_up_at = time.monotonic() + _READY_S
    while True:
        watch()
        try:
            with closing(Host(config.channel, _HELLO_S)):
                return
        except HostError as reason:
            if time.monotonic() > give_up_at:
                raise HostError(f"host {config.name} was not ready in {_READY_S:g} s: {reason}") from None
            time.sleep(0.05)


def is_endpoint(child: ChildExited) -> bool:
    """Whether the process that has ended was an endpoint."""
    return _MODULE in child.argv


def end_of(child: ChildExited, topology: Topology, run_dir: Path) -> str:
    """How a process of a node has ended, and its last words."""
    how = f"signal {-child.status}" if child.status < 0 else f"status {child.status}"
    links = {relay.name: relay.link for relay in relays(topology)}
    log = f"{child.host}.log"
    if child.host in links:
        whose = f"relay of link {links[child.host]}"
    elif _TRAFFIC in child.argv:
        whose, log = f"traffic of host {child.host}", f"{child.host}.traffic.log"
    else:
        whose = f"{'endpoint' if is_endpoint(child) else 'network'} of host {child.host}"
    return f"the {whose} ended with {how}{_last_line(run_dir / log)}"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f" saying {lines[-1]!r}" if lines else ""

"""A network with an endpoint in every host: what a measuring run and `up` have in common.

In: a topology, and what its hosts are like. Out: the hosts' channels, and a function
that raises when a part of it has died. Owns the fabric and the record of the run, through the caller's stack.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from nodes.client.host import Host, HostError
from topologies.mininet.fabric import Fabric, FabricError
from topologies.mininet.inventory import Inventory
from topologies.topology import Topology
from workloads.experiment.records import NetworkConfig

_READY_S = 20.0
_HELLO_S = 1.0  # between two looks at whether to go on


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
    """`run_dir` is for logs, captures and traces. `rx_buf_len`: bytes of a host receive buffer. `standing`:
    see inventory.Record."""

    topology: Topology
    run_dir: Path
    config: NetworkConfig
    rx_buf_len: int = 4096
    standing: bool = False


def start_network(request: NetworkRequest, check: Callable[[], None], stack: ExitStack) -> StartedNetwork:
    """Build it, start the endpoints and wait until they take connections. Raises FabricError, HostError,
    InventoryError, and what `check` raises."""
    inventory = stack.enter_context(Inventory.create(request.run_dir.name, request.standing))
    channels = inventory.make_directory()
    fabric = stack.enter_context(Fabric(request.topology, request.run_dir))
    for pid in fabric.pids:
        inventory.add_process(pid)

    def watch() -> None:
        check()
        fabric.check()
        for child in fabric.dead_children():
            how = f"signal {-child.status}" if child.status < 0 else f"status {child.status}"
            what = "endpoint" if "nodes.endpoint" in child.argv else "network"
            said = _last_words(request.run_dir / f"{child.host}.log")
            raise FabricError(
                f"the {what} of host {child.host} ended with {how}{said}; see the logs in {request.run_dir}"
            )

    hosts = tuple(StartedHost(h.name, str(channels / f"{h.name}.sock")) for h in request.topology.hosts)
    for host in hosts:
        inventory.add_process(fabric.spawn(host.name, _endpoint(request, host), f"{host.name}.log"))
    _wait_ready(hosts, watch)
    for host in hosts:
        inventory.add_host(host.name, Path(host.channel), fabric.shell_pid(host.name))
    return StartedNetwork(hosts, inventory, watch)


def _endpoint(request: NetworkRequest, started: StartedHost) -> list[str]:
    """The command line of one host's endpoint."""
    host, config, run_dir = request.topology.host(started.name), request.config, request.run_dir.resolve()
    options = {
        "name": host.name,
        "interface": host.interface,
        "address": host.endpoint_address,
        "address6": host.endpoint_address6 or None,
        "mac": host.endpoint_mac,
        "kernel-address": host.kernel_address.partition("/")[0],
        "channel": started.channel,
        "rx-queues": config.rx_queues,
        "rx-buf-len": request.rx_buf_len,
        "gso-max": config.gso_max_bytes,
        "host-mem-bw": config.host_mem_bw_bytes_per_s,
        "impair": config.impair,
        "kernel": config.kernel,
        "nic": config.nic,
        "header-buffer": config.header_buffer_bytes,
        "pcap": run_dir / f"{host.name}.pcapng" if config.pcap else None,
        "trace": run_dir / f"{host.name}.trace.jsonl" if config.trace else None,
    }
    given = [word for name, v in options.items() if v is not None for word in (f"--{name}", str(v))]
    return [sys.executable, "-m", "nodes.endpoint", "--nodad", *given]  # a topology has each address once


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f" saying {lines[-1]!r}" if lines else ""


def _wait_ready(hosts: tuple[StartedHost, ...], watch: Callable[[], None]) -> None:
    """Until every endpoint's channel takes connections. Raises HostError."""
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

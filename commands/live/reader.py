"""Reads what a running network has counted, from another process.

In: the record of a run. Out: a RunCount a call. Owns a control channel to each endpoint. An endpoint is asked
two questions a reading, which restart nothing that a measuring rank has begun.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from commands.live.counters import (
    EndpointCount,
    HostCount,
    NicCount,
    PoolCount,
    RunCount,
    State,
    interface_counts,
    payload_bytes,
    retransmitted,
)
from nodes.client.host import Host, HostError
from nodes.machine.routes import totals
from topologies.mininet.inventory import Record, RunningHost, is_alive, listens
from topologies.mininet.queue_drops import queue_drops
from workloads.experiment.proc import core_times

PATIENCE_S = 2.0  # an endpoint that is busy answers between two batches of packets


class RunReader:
    """`patience_s`: how long an endpoint may take for an answer."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._clients: dict[str, Host] = {}

    def read(self, run: Record) -> RunCount:
        """What the hosts of `run`, its record of now, have counted so far."""
        hosts = tuple(self._host(each) for each in run.hosts)
        drops = None
        with suppress(OSError):  # a process has just ended, and with it a network
            drops = queue_drops(_inside(run))
        return RunCount(time.monotonic(), hosts, drops, core_times(Path("/proc/stat").read_text()))

    def close(self) -> None:
        """An endpoint that has not answered is not waited for."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _host(self, host: RunningHost) -> HostCount:
        state, endpoint = self._endpoint(host)
        at_s = time.monotonic()
        try:
            if not is_alive(host.shell):
                return HostCount(host.name, at_s, state, endpoint)
            within = Path(f"/proc/{host.shell.pid}/net")
            interfaces = interface_counts((within / "dev").read_text())
            again = retransmitted((within / "snmp").read_text())
        except OSError:  # it has ended meanwhile
            return HostCount(host.name, at_s, state, endpoint)
        return HostCount(host.name, at_s, state, endpoint, interfaces, again)

    def _endpoint(self, host: RunningHost) -> tuple[State, EndpointCount | None]:
        try:
            client = self._clients.get(host.name) or self._connect(host)
            return "up", _endpoint_count(client)
        except (HostError, OSError) as refused:
            self._clients.pop(host.name, None)  # collected, and so closed: an endpoint that is stopped
            late = isinstance(refused, TimeoutError)  # does not keep this process
            return ("silent" if late or listens(host.channel) else "down"), None

    def _connect(self, host: RunningHost) -> Host:
        client = Host(host.channel, self._patience_s)
        client.settimeout(self._patience_s)
        self._clients[host.name] = client
        return client


def _inside(run: Record) -> Iterator[int]:
    """Processes of the run that are in a network of its own, not in that of its owner."""
    outside = os.stat(f"/proc/{run.owner.pid}/ns/net").st_ino
    for process in (*(host.shell for host in run.hosts), *run.processes):
        if is_alive(process) and os.stat(f"/proc/{process.pid}/ns/net").st_ino != outside:
            yield process.pid


def _endpoint_count(client: Host) -> EndpointCount:
    stats = client.stats()
    names = {nic.ifindex: nic.ifname for nic in stats.nics}
    moved = totals(stats.ledger)
    return EndpointCount(
        nics=tuple(
            NicCount(
                nic.ifname,
                *payload_bytes(nic.moved),
                nic.rx_wire_packets,
                nic.tx_wire_packets,
                nic.rx_alloc_fail,
            )
            for nic in stats.nics
        ),
        pools=tuple(
            PoolCount(
                names[pool["ifindex"]],
                pool["id"],
                "dmabuf" if pool.get("dmabuf") else "host",
                pool.get("inflight-mem", 0),
            )
            for pool in client.netdev.dump("page-pool-get")
        ),
        retransmits=stats.tcp_retrans_segs,
        rx_drops=stats.rx_hw_drops,
        dram_read_bytes=moved.host_dram_read_bytes,
        dram_write_bytes=moved.host_dram_write_bytes,
        cpu_s=stats.cpu_s,
        pool_share=stats.rx_pool_share,
        pool_peak_share=stats.rx_pool_peak_share,
    )

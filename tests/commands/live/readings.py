"""Readings of a run that is not there.

In: what differs from a host that has done nothing. Out: records of commands.live.counters. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.live.counters import EndpointCount, HostCount, InterfaceCount, NicCount, PoolCount, RunCount
from workloads.experiment.proc import CoreTime


def endpoint(rx_payload: int = 0, tx_payload: int = 0, nic: str = "h1-eth0", **other: Any) -> EndpointCount:
    counts: dict[str, Any] = {
        "nics": (NicCount(nic, rx_payload, tx_payload, 0, 0, 0),), "pools": (), "retransmits": 0,
        "rx_drops": 0, "dram_read_bytes": 0, "dram_write_bytes": 0, "cpu_s": 0.0, "pool_share": 0.0,
        "pool_peak_share": 0.0,
    }  # fmt: skip
    return EndpointCount(**(counts | other))


def host(
    at_s: float, count: EndpointCount | None, link: tuple[int, int] | None = None, name: str = "h1",
    linux_retransmits: int | None = None,
) -> HostCount:  # fmt: skip
    interfaces = {f"{name}-eth0": InterfaceCount(*link)} if link else {}
    return HostCount(name, at_s, "up" if count else "silent", count, interfaces, linux_retransmits)


def run(
    at_s: float,
    *hosts: HostCount,
    drops: Mapping[str, int] | None = None,
    cores: tuple[float, float] = (0, 0),
) -> RunCount:
    return RunCount(at_s, hosts, drops, {"cpu0": CoreTime(*cores)})


def busy_run() -> RunCount:
    """Every counter of it is another number."""
    pools = (PoolCount("h1-eth0", 1, "host", 4096), PoolCount("h1-eth0", 2, "dmabuf", 8192))
    count = endpoint(
        11, 12, pools=pools, retransmits=13, rx_drops=14, dram_read_bytes=15, dram_write_bytes=16, cpu_s=1.5,
        pool_share=0.25, pool_peak_share=0.5,
    )  # fmt: skip
    up = host(1.0, count, (17, 18), linux_retransmits=19)
    return run(1.0, up, host(1.0, None, name="h2"), drops={"h1-eth0": 20, "s1-eth1": 21, "eth9": 22})

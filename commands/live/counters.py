"""What a running network has counted at one moment: records, and how the kernel's text is read into them.

In: texts of files below /proc, ledgers. Out: frozen records of counters that only grow, and of a few values
that do not. Pure; owns nothing. man 5 proc; net/core/net-procfs.c, net/ipv4/proc.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from nodes.machine.routes import Initiator, Moved, Place, What
from workloads.experiment.proc import CoreTime

State = Literal["up", "down", "silent"]


@dataclass(frozen=True, slots=True)
class InterfaceCount:
    """Bytes that an interface has carried, whoever sent them: headers included."""

    rx_bytes: int
    tx_bytes: int


@dataclass(frozen=True, slots=True)
class NicCount:
    """An emulated NIC. Payload is what it moved between wire and memory without the headers, bytes that TCP
    sent again included. Packets are those of the wire."""

    name: str
    rx_payload_bytes: int
    tx_payload_bytes: int
    rx_packets: int
    tx_packets: int
    rx_alloc_fail: int


@dataclass(frozen=True, slots=True)
class PoolCount:
    """A page pool as netdev's page-pool-get has it; `memory` is "dmabuf" or "host". What rests in the pool,
    and what is posted to the NIC, is inflight, too."""

    nic: str
    id: int
    memory: str
    inflight_bytes: int


@dataclass(frozen=True, slots=True)
class EndpointCount:
    """An endpoint. `pool_share` and `pool_peak_share` (0 to 1) are of the rx queue whose memory is used most;
    the peak is since a measuring rank restarted it last. DRAM is what NIC and endpoint accessed: an
    application's own copies are in no ledger of the endpoint."""

    nics: tuple[NicCount, ...]
    pools: tuple[PoolCount, ...]
    retransmits: int
    rx_drops: int
    dram_read_bytes: int
    dram_write_bytes: int
    cpu_s: float
    pool_share: float
    pool_peak_share: float


@dataclass(frozen=True, slots=True)
class HostCount:
    """A host at `at_s` of the reader's clock. `endpoint`: None while it does not answer; "silent" then means
    that it runs. `interfaces` and `linux_retransmits` are those of the Linux around it: None without."""

    name: str
    at_s: float
    state: State
    endpoint: EndpointCount | None
    interfaces: Mapping[str, InterfaceCount] = field(default_factory=dict)
    linux_retransmits: int | None = None


@dataclass(frozen=True, slots=True)
class RunCount:
    """A run at `at_s`. `drops`: packets that the queue in front of a link has dropped, by interface; None:
    they could not be read."""

    at_s: float
    hosts: tuple[HostCount, ...]
    drops: Mapping[str, int] | None
    cores: Mapping[str, CoreTime]


def payload_bytes(moved: Iterable[Moved]) -> tuple[int, int]:
    """Of a NIC's ledger: payload that came from the wire, and that went to it."""
    rx = tx = 0
    for each in moved:
        route = each.route
        if route.initiator is Initiator.NIC and route.what is What.PAYLOAD:
            rx += each.bytes * (route.source is Place.WIRE)
            tx += each.bytes * (route.destination is Place.WIRE)
    return rx, tx


def interface_counts(net_dev: str) -> dict[str, InterfaceCount]:
    """Of /proc/PID/net/dev, without the loopback."""
    found = {}
    for line in net_dev.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        columns = numbers.split()
        if name.strip() != "lo":
            found[name.strip()] = InterfaceCount(int(columns[0]), int(columns[8]))
    return found


def retransmitted(net_snmp: str) -> int:
    """TcpRetransSegs of /proc/PID/net/snmp: a line of names, then one of values."""
    lines = [line.split() for line in net_snmp.splitlines() if line.startswith("Tcp:")]
    return int(dict(zip(*lines, strict=True))["RetransSegs"])

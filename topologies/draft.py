"""A topology before it has addresses: what a shape, a file or a Mininet Topo says, and no more.

In: names and wishes. Out: `Draft`, of which `topologies.plan` makes a Topology. Owns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from topologies.host import Accelerator, Role
from topologies.link import Link, LinkEnd
from topologies.switch import Kind


@dataclass(slots=True)
class NicDraft:
    """An interface of a host, and the addresses and MACs that were given it; "" leaves one to the plan."""

    interface: str
    kernel_address: str = ""
    endpoint_address: str = ""
    kernel_address6: str = ""
    endpoint_address6: str = ""
    kernel_mac: str = ""
    endpoint_mac: str = ""


@dataclass(slots=True)
class HostDraft:
    """`spread_accelerators`: so many more are placed evenly beside the NICs, once these are known."""

    name: str
    role: Role = "compute"
    spread_accelerators: int = 0
    nics: list[NicDraft] = field(default_factory=list)
    accelerators: tuple[Accelerator, ...] = ()
    host_mem_bw_bytes_per_s: float = 0.0
    pcie_bw_bytes_per_s: float = 0.0


@dataclass(slots=True)
class SwitchDraft:
    """`address`, `address6`: the gateway's, of a router with hosts; "" leaves them to the plan."""

    name: str
    kind: Kind = "bridge"
    address: str = ""
    address6: str = ""


@dataclass(slots=True)
class Draft:
    shape: str
    hosts: list[HostDraft] = field(default_factory=list)
    switches: list[SwitchDraft] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def nic_ends(self) -> list[LinkEnd]:
        return [LinkEnd(host.name, nic.interface) for host in self.hosts for nic in host.nics]

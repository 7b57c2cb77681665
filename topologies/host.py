"""A host: its NICs, its accelerators, and how fast its memory and its PCIe are.

In: names, addresses, sizes. Out: frozen records, checked. Owns nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from topologies.names import (
    check_address,
    check_address6,
    check_gateway,
    check_interface,
    check_mac,
    check_name,
    check_prefix,
    check_unique,
    listed,
)
from topologies.topology_error import TopologyError

Role = Literal["compute", "storage"]
CEILING_MIN, CEILING_MAX = 1e6, 1e15  # bytes a second: with less, headers alone would take for ever


class StaticRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Packets to `prefix` ("10.1.0.0/16") go to the neighbour `gateway`."""

    prefix: str
    gateway: str


class Nic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One interface of a host, which two stacks share, each under an address and a MAC of its own.

    `kernel_*` belong to the Linux stack of the host's namespace, `endpoint_*` to the endpoint process;
    addresses are IPv4 with a prefix length ("10.0.0.1/16"), those called 6 IPv6 ("fd00::1/64") or "" for
    none, MACs lower-case hexadecimal. `gateway` and `gateway6`: the router that packets to other prefixes
    take, "" for none. Of several NICs with one, the first has the default route, and a packet from an address
    of another NIC leaves by that NIC and its gateway (policy routing). `routes` are those that the default
    route would send another way. Both stacks have the same gateways and routes.
    `rx_queues` and `tx_queues` of the interface are as many as the endpoint's NIC has, so that /sys/class/net
    shows the same.
    """

    interface: str
    kernel_address: str
    kernel_mac: str
    endpoint_address: str
    endpoint_mac: str
    kernel_address6: str = ""
    endpoint_address6: str = ""
    gateway: str = ""
    gateway6: str = ""
    routes: tuple[StaticRoute, ...] = ()
    rx_queues: int = 1
    tx_queues: int = 1

    def __post_init__(self) -> None:
        check_interface(self.interface)
        for address in (self.kernel_address, self.endpoint_address):
            check_address(self.interface, address)
        for address in filter(None, (self.kernel_address6, self.endpoint_address6)):
            check_address6(self.interface, address)
        for mac in (self.kernel_mac, self.endpoint_mac):
            check_mac(self.interface, mac)
        if self.gateway:
            check_gateway(self.interface, self.gateway, self.kernel_address)
        if self.gateway6:
            check_gateway(self.interface, self.gateway6, self.kernel_address6)
        for route in self.routes:
            check_prefix(self.interface, route.prefix)
            own = self.kernel_address6 if ":" in route.gateway else self.kernel_address
            check_gateway(self.interface, route.gateway, own)

    @property
    def addresses(self) -> tuple[str, ...]:
        """All it has, of both stacks."""
        four = (self.kernel_address, self.endpoint_address, self.kernel_address6, self.endpoint_address6)
        return tuple(filter(None, four))


class Accelerator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Memory that payload goes to, and its place: on the PCIe switch of NIC `nic` (an interface's name).
    `memory_bytes` 0: no limit."""

    name: str
    nic: str
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        check_name("accelerator", self.name)
        if self.memory_bytes < 0:
            raise TopologyError(
                f"accelerator {self.name} has {self.memory_bytes} bytes of memory; "
                "give 0 for no limit, or more"
            )


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One machine. `index` counts from 1; `nics`: at least one. Where one address stands for the host, it is
    the first one's. The ceilings are of all that moves through host memory, and through one PCIe switch in
    each direction; 0: none."""

    name: str
    index: int
    nics: tuple[Nic, ...]
    accelerators: tuple[Accelerator, ...] = ()
    role: Role = "compute"
    host_mem_bw_bytes_per_s: float = 0.0
    pcie_bw_bytes_per_s: float = 0.0

    def __post_init__(self) -> None:
        check_name("host", self.name)
        if not self.nics:
            raise TopologyError(f"host {self.name} has no NIC; give it one or more")
        interfaces = [nic.interface for nic in self.nics]
        for each in self.accelerators:
            if each.nic not in interfaces:
                raise TopologyError(
                    f"accelerator {each.name} of host {self.name} sits beside {each.nic!r}, which is none of "
                    f"its NICs; choose from {listed(interfaces)}"
                )
        check_unique(f"accelerator of host {self.name}", [each.name for each in self.accelerators])
        for what, ceiling in (
            ("host_mem_bw_bytes_per_s", self.host_mem_bw_bytes_per_s),
            ("pcie_bw_bytes_per_s", self.pcie_bw_bytes_per_s),
        ):
            if ceiling and not CEILING_MIN <= ceiling <= CEILING_MAX:
                raise TopologyError(
                    f"{what} of host {self.name} is {ceiling:g}; give 0 for none, or {CEILING_MIN:g} to "
                    f"{CEILING_MAX:g}"
                )

"""IPv6 on the interfaces of a network: one address each, and no traffic of its own.

In: a Mininet node, an interface, an address. Out: the interface has that address and no other. Owns nothing.
Documentation/networking/ip-sysctl.rst.
"""

from __future__ import annotations

from typing import Any

from topologies.topology_error import TopologyError

# IPv6 sends nothing of its own beside the traffic that is measured: an interface has the topology's address
# and no link-local one, and the kernel looks for neither routers nor duplicates. A machine may lack IPv6.
NO_IPV6 = "for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done 2>/dev/null"
IPV6 = (
    "conf=/proc/sys/net/ipv6/conf; if [ -d $conf ]; then "
    "for f in accept_ra autoconf router_solicitations dad_transmits; do echo 0 > $conf/{interface}/$f; done; "
    "for f in addr_gen_mode keep_addr_on_down; do echo 1 > $conf/{interface}/$f; done; "
    "for f in lo {interface}; do echo 0 > $conf/$f/disable_ipv6; done; "
    "ip -6 addr add {address} dev {interface} nodad; fi"
)


def give_ipv6(node: Any, interface: str, address: str) -> None:
    """Set the interface's only IPv6 address. Raises TopologyError with what `ip` printed. On a machine
    without IPv6 nothing is set."""
    if complaint := node.cmd(IPV6.format(interface=interface, address=address)).strip():
        raise TopologyError(f"host {node.name} cannot have the address {address}: {complaint}")

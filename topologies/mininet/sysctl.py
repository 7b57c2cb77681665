"""Settings of the kernel in one network namespace.

In: a process whose namespace it is, names below /proc/sys/net, values. Out: the kernel has them. Owns
nothing. Documentation/networking/ip-sysctl.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from topologies.mininet.isolation import network_namespace_of

_NET = Path("/proc/sys/net")

# IPv6 sends nothing of its own beside the traffic that is measured: an interface has the topology's address
# and no link-local one, and the kernel looks for neither routers nor duplicates. It is off until then.
NO_IPV6 = {f"ipv6/conf/{each}/disable_ipv6": "1" for each in ("all", "default")}
# No packet goes through the packet filter on its way through a bridge: it would take a detour.
NO_BRIDGE_FILTER = {f"bridge/bridge-nf-call-{each}": "0" for each in ("iptables", "ip6tables", "arptables")}
# A flow keeps its path: ports are hashed, too. A next hop without a carrier is left out. Packets may come in
# by another link than answers leave by.
ROUTER = NO_BRIDGE_FILTER | {
    "ipv4/ip_forward": "1",
    "ipv4/fib_multipath_hash_policy": "1",
    "ipv4/conf/all/ignore_routes_with_linkdown": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/fib_multipath_hash_policy": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv6/conf/all/ignore_routes_with_linkdown": "1",
}
# A host with NICs in one segment answers for each address where it lies (arp_ignore), in its own name.
SEVERAL_NICS = {"ipv4/conf/all/arp_ignore": "1", "ipv4/conf/all/arp_announce": "2"}


def multipath_seed(number: int) -> dict[str, str]:
    """Routers hash alike but for a seed: with one seed, all packets that one router sent the first way would
    take the first way at the next, too. Linux 6.11 and later."""
    return {"ipv4/fib_multipath_hash_seed": str(number)}


def ipv6_of(interfaces: Iterable[str], link_local: bool = False) -> dict[str, str]:
    """IPv6 on `interfaces`, which keep their addresses when a link goes down. `link_local`: with an address
    of that kind: the kernel asks from it for the neighbours of packets that it forwards (ndisc_send_ns)."""
    settings = {}
    for each in interfaces:
        for name in ("accept_ra", "autoconf", "router_solicitations", "dad_transmits"):
            settings[f"ipv6/conf/{each}/{name}"] = "0"
        settings[f"ipv6/conf/{each}/addr_gen_mode"] = "0" if link_local else "1"
        settings[f"ipv6/conf/{each}/keep_addr_on_down"] = "1"
        settings[f"ipv6/conf/{each}/disable_ipv6"] = "0"
    return settings


def apply(pid: int, settings: Mapping[str, str]) -> None:
    """In the network namespace of process `pid`. A setting that this kernel does not have is passed over.
    Raises OSError when the kernel refuses a value."""
    with network_namespace_of(pid):
        for name, value in settings.items():
            path = _NET / name
            if path.exists():
                path.write_text(value)


def has_ipv6() -> bool:
    """Whether this machine's kernel has IPv6."""
    return (_NET / "ipv6").exists()

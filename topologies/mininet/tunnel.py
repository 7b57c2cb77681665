"""Halves of links between machines: VXLAN devices that are interfaces of nodes.

In: tunnels of a part of a topology; the network namespace of the machine, whose packets they are outside.
Out: devices in the builder's namespace, which end with it. Owns nothing. A VXLAN device sends and receives in
the namespace that it was made from, wherever it is. No multicast: a tunnel has one remote, and learns no
addresses. drivers/net/vxlan/vxlan_core.c; ip-link(8).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from topologies.host import Nic
from topologies.mininet import batch
from topologies.mininet.isolation import CLONE_NEWNET, join
from topologies.part import Tunnel
from topologies.topology_error import TopologyError

_MAKE_S = 20.0


def make(tunnels: Iterable[Tunnel], nics: Mapping[str, Nic], underlay: int) -> None:
    """Make the devices, down, in this process's namespace. `nics`: by interface; `underlay`: a descriptor of
    the machine's network namespace. Raises TopologyError with what the kernel said."""
    for each in tunnels:
        ended = subprocess.run(
            ["ip", *line(each, nics.get(each.end.interface)).split()],
            preexec_fn=partial(join, underlay, CLONE_NEWNET),
            capture_output=True,
            text=True,
            timeout=_MAKE_S,
            check=False,
        )
        if ended.returncode:
            said = " ".join(ended.stderr.split()) or f"status {ended.returncode}"
            raise TopologyError(
                f"the half of link {each.link} at {each.end.interface} cannot be made ({said}); tunnels "
                "between machines need the kernel's vxlan (CONFIG_VXLAN)"
            )


def bring_up(net: Any, tunnels: Iterable[Tunnel]) -> None:
    """Once the nodes have the devices: from now on they have the UDP port. Raises TopologyError."""
    for each in tunnels:
        try:
            batch.ip(net[each.end.node], 4, [f"link set {each.end.interface} up"])
        except TopologyError as reason:
            raise TopologyError(
                f"the half of link {each.link} at {each.end.interface} cannot use UDP port {each.port} "
                f"({reason}); choose another --tunnel-port"
            ) from None


def line(tunnel: Tunnel, nic: Nic | None = None) -> str:
    """For `ip`, from the underlay: the device is in the namespace of process 1, which is the builder."""
    shape = ""
    if nic is not None:
        shape = f"address {nic.kernel_mac} numrxqueues {nic.rx_queues} numtxqueues {nic.tx_queues} "
    ways = f"id {tunnel.vni} local {tunnel.local} remote {tunnel.remote} dstport {tunnel.port}"
    return f"link add {tunnel.end.interface} {shape}netns /proc/1/ns/net type vxlan {ways} nolearning"

"""Whether a machine's own network carries tunnels to the others: asked before anything is built.

In: a machine's part of a topology. Out: nothing, or one sentence (FabricError). Owns nothing.
"""

from __future__ import annotations

import os
import subprocess

import msgspec

from topologies.mininet.fabric import FabricError
from topologies.part import Part, Tunnel

_IP_S = 10.0


class _Metrics(msgspec.Struct, frozen=True):
    mtu: int = 0


class _Hop(msgspec.Struct, frozen=True):
    """Of `ip -json route get` and of `ip -json link show`."""

    dev: str = ""
    mtu: int = 0
    metrics: tuple[_Metrics, ...] = ()


def check_underlay(part: Part) -> None:
    """This process may build networks, and the way to every remote takes packets of the tunnels' MTU, whole.
    Raises FabricError."""
    if os.geteuid() != 0:
        raise FabricError(
            f"Ray runs on it as user id {os.geteuid()}, and building a network needs root; start Ray as root"
        )
    links = {link.name: link for link in part.topology.links}
    for tunnel in part.tunnels:
        needed = links[tunnel.link].mtu + tunnel.header_bytes
        device, mtu = _way(tunnel)
        if mtu < needed:
            fits = mtu - tunnel.header_bytes
            raise FabricError(
                f"its interface {device}, which leads to {tunnel.remote}, has MTU {mtu}, and packets of link "
                f"{tunnel.link} need {needed} with their tunnel's headers; raise that, or give --mtu {fits}"
            )


def _way(tunnel: Tunnel) -> tuple[str, int]:
    """The interface that leads to the remote, and the MTU of the way as this machine knows it."""
    route = _asked("route", "get", tunnel.remote, "from", tunnel.local)
    interface = _asked("link", "show", "dev", route.dev)
    of_route = [each.mtu for each in route.metrics if each.mtu]
    return route.dev, min([interface.mtu, *of_route])


def _asked(*words: str) -> _Hop:
    version = "-6" if any(":" in word for word in words) else "-4"
    try:
        said = subprocess.run(
            ["ip", "-json", version, *words], capture_output=True, text=True, timeout=_IP_S, check=True
        ).stdout
        return msgspec.json.decode(said, type=list[_Hop])[0]
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError, IndexError) as failure:
        said = getattr(failure, "stderr", None) or str(failure)
        raise FabricError(
            f"there is no way from it to another machine: `ip {' '.join(words)}` failed ({said.strip()}); "
            "correct its routes"
        ) from None

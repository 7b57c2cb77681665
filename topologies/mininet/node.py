"""Mininet's hosts, switches and links as a fabric wants them, and the processes that run in them.

In: calls of Mininet. Out: nodes in namespaces of their own, without IPv6 traffic; veth pairs; processes that
know their pid outside. Owns nothing: the nodes are the Mininet network's.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any, ClassVar

from mininet.link import Link
from mininet.node import Host, Switch
from mininet.nodelib import LinuxBridge

from topologies.mininet import sysctl
from topologies.mininet.isolation import leave_network, pid_outside

SHELL_IN_NAMESPACE = "-cdn"  # mnexec's options for the shell of a host, mininet.node.Node.startShell


class HostProcess(subprocess.Popen[bytes]):
    """A process that Mininet starts. `pid` is its number in the builder's pid namespace, `outside_pid` that
    in the client's."""

    outside_proc: ClassVar[int]

    def __init__(self, argv: list[str], own_network: bool = False, **options: Any) -> None:
        reader, writer = os.pipe()

        def prepare() -> None:
            os.write(writer, str(pid_outside(self.outside_proc)).encode())
            if own_network:
                leave_network()

        with os.fdopen(reader) as announced:
            try:
                super().__init__(argv, preexec_fn=prepare, **options)
            finally:
                os.close(writer)
            self.outside_pid = int(announced.read())


class _IsolatedNode:
    """What hosts and switches have in common: their processes are HostProcesses, and IPv6 is off before they
    have an interface."""

    def _popen(self, cmd: list[str], **params: Any) -> HostProcess:
        mnexec, options, *command = cmd
        if (mnexec, options) != ("mnexec", SHELL_IN_NAMESPACE):
            return HostProcess(cmd, **params)
        # mnexec -n would make all mounts private, so that later ones of the outside were not seen
        return HostProcess([mnexec, options.removesuffix("n"), *command], own_network=True, **params)

    def startShell(self, mnopts: str | None = None) -> None:
        super().startShell(mnopts)  # type: ignore[misc]
        sysctl.apply(self.pid, sysctl.NO_IPV6)  # type: ignore[attr-defined]


class FabricHost(_IsolatedNode, Host):  # type: ignore[misc]
    """A Mininet host."""


class FabricSwitch(_IsolatedNode, LinuxBridge):  # type: ignore[misc]
    """A Linux bridge that forwards from the first frame on (no spanning tree, no multicast snooping)."""

    def start(self, controllers: list[Any]) -> None:
        super().start(controllers)
        self.cmd("ip link set", self, "type bridge stp_state 0 forward_delay 0 mcast_snooping 0")


class FabricLink(Link):  # type: ignore[misc]
    """A veth pair. `queues1`, `queues2`: rx and tx queues of each end; a veth has one of each by default."""

    def __init__(
        self, *nodes: Any, queues1: tuple[int, int] = (1, 1), queues2: tuple[int, int] = (1, 1), **params: Any
    ) -> None:
        self._queues = queues1, queues2
        super().__init__(*nodes, **params)

    def makeIntfPair(self, name1: str, name2: str, *of_both: Any, **options: Any) -> str:
        """Mininet writes both names into `ip link add name NAME1 ... peer name NAME2 ...`: what stands behind
        a name there is of that end."""
        ends = zip((name1, name2), self._queues, strict=True)
        worded = [f"{name} numrxqueues {rx} numtxqueues {tx}" for name, (rx, tx) in ends]
        made: str = super().makeIntfPair(*worded, *of_both, **options)
        return made


class _NamespaceSwitch(_IsolatedNode, Switch):  # type: ignore[misc]
    """A Mininet switch in a network namespace of its own."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options | {"inNamespace": True})

    def start(self, controllers: list[Any]) -> None:
        """There is no controller."""


class FabricRouter(_NamespaceSwitch):
    """A Linux router; `assembly` gives it bridge, addresses and routes."""


class FabricRelay(_NamespaceSwitch):
    """The middle of a link: its kernel takes no part, and a process started there moves the frames."""

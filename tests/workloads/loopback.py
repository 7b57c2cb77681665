"""A host whose both stacks are this machine's loopback: the wire is fake, ranks and transports are real.

The endpoint's sockets have the methods of socket.socket, so Linux's stand in for them; there is no NIC, so no
devmem path.
"""

from __future__ import annotations

import socket

from nodes.client.host import Host
from nodes.client.runtime import MACHINE, Runtime
from nodes.machine.buses import Buses
from nodes.machine.memory import Region
from nodes.machine.routes import Place
from nodes.uapi.nic_records import NicInfo
from nodes.uapi.syscalls import Stats


class LoopbackHost:
    """What workloads use of nodes.client.host.Host."""

    address = kernel_address = "127.0.0.1"
    buses = Buses({})
    nics = (NicInfo("lo", 1, 65536, "127.0.0.1", 8),)

    def __init__(self, path: str, runtime: Runtime = MACHINE) -> None:
        self.path = path
        self.runtime = runtime

    def socket(self) -> socket.socket:
        return socket.socket()

    kernel_socket = socket

    def memory(self, size: int) -> Region:
        return Region.shareable("user", size, Place.HOST)

    def stats(self, restart_peak: bool = False, restart_recent: bool = False) -> Stats:  # noqa: ARG002
        return Stats((), 0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    turn = Host.turn

    def close(self) -> None:
        """Nothing is owned."""

"""What one endpoint is made of, as its loop and its system calls use it. A record; owns nothing."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.machine.ceilings import MemoryBus
from nodes.machine.ledger import Ledger
from nodes.nic.capture import Capture
from nodes.nic.impairment import Impairment
from nodes.nic.net_device import NetDevice
from nodes.sock.tcp_stack import TcpStack
from nodes.uapi.syscalls import Welcome


@dataclass(frozen=True, slots=True)
class HostParts:
    """`bus`, `impairment` and `capture` are None where the host has none."""

    welcome: Welcome
    stack: TcpStack
    device: NetDevice
    netdev: Netdev
    ethtool: Ethtool
    ledger: Ledger
    bus: MemoryBus | None
    impairment: Impairment | None = None
    capture: Capture | None = None

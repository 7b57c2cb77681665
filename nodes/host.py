"""One emulated host: its NICs, its TCP/IP stack, its control plane and its system calls, and their turns.

In: a HostConfig, the wires that stand for its NICs' links, `now`. Out: one turn at a time, packets first,
then timers, system calls, and what connections want to send; the time of the next turn. Owns all parts of the
host; the caller owns clock and wires. An endpoint process drives one host on a real machine; a simulation
drives many. Source: net_rx_action and net_tx_action (net/core/dev.c), run between system calls.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nodes import host_routes
from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.host_config import HostConfig, NicConfig, tcp_mem
from nodes.inet.inet import Interface
from nodes.inet.link import Link
from nodes.inet.route import KINDS, RTPROT_STATIC, FibEntry, Prefix, RouteTable
from nodes.kernel_version import VERSIONS
from nodes.machine.cpu import Cpu
from nodes.machine.ledger import Ledger
from nodes.netmem.page_pool import PoolTrace
from nodes.nic.capture import Capture
from nodes.nic.impairment import Impairment
from nodes.nic.impairment import parse as parse_impairment
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.nic.nic_model import nic_model
from nodes.nic.wire_port import Wire
from nodes.sock.tcp_stack import StackConfig, TcpStack
from nodes.sock.tcp_xmit import SEGMENTS_PER_TURN
from nodes.tcp.config import ECN_CHOICES
from nodes.tcp.netns import TcpMem
from nodes.timer_heap import earlier

BUDGET: Final = 64  # frames a NIC and turn (NAPI's weight)


@dataclass(frozen=True, slots=True)
class NicWire:
    """The wire of one NIC, the number that Linux or a simulation gave the NIC, and the MTU of its link."""

    wire: Wire
    ifindex: int
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a host takes from the machine that it runs on. `seed`: of ports and initial sequence numbers;
    `boottime`: seconds of CLOCK_BOOTTIME; `realtime`: seconds from the host's monotonic clock to
    CLOCK_REALTIME; `trace`: sees the page pools; `counted`: payload has a length and no content, and
    so has the memory that it lies in; `segments_per_turn`: that a connection sends before frames are
    received again."""

    seed: int
    boottime: Callable[[], float] = float
    realtime: float = 0.0
    trace: PoolTrace | None = None
    counted: bool = False
    segments_per_turn: int = SEGMENTS_PER_TURN


class SystemCalls:
    """The applications' side of a turn; see `syscall`. This one is that of a host without applications. A
    class and no Protocol: a compiled turn then calls it without a detour."""

    @property
    def observed(self) -> bool:
        """Whether a change of a socket may concern a process: one is blocked in a call, or polls."""
        return False

    def retry(self, now: float) -> None:
        """Sockets may have changed: go on with blocked calls."""

    def next_timeout(self) -> float | None:
        """When the first blocked call gives up."""
        return None


class _Nic:
    """What a turn needs of one."""

    __slots__ = ("device", "ifindex", "impairment", "link")

    def __init__(self, ifindex: int, device: NetDevice, link: Link, impairment: Impairment | None) -> None:
        self.ifindex = ifindex
        self.device = device
        self.link = link
        self.impairment = impairment


class Host:
    """`devices` by ifindex. `calls` are set by the caller that serves applications."""

    def __init__(
        self,
        config: HostConfig,
        devices: Devices,
        stack: TcpStack,
        ledger: Ledger,
        impairments: Mapping[int, Impairment],
    ) -> None:
        """Use `build`."""
        self.config = config
        self.devices = devices
        self.stack = stack
        self.ledger = ledger
        self.impairments = impairments
        self._nics = [
            _Nic(ifindex, device, stack.inet.links[ifindex], impairments.get(ifindex))
            for ifindex, device in devices.items()
        ]
        self._capture: Capture | None = None
        self.netdev = Netdev(devices)
        self.ethtool = Ethtool(devices)
        self.calls: SystemCalls = SystemCalls()

    @classmethod
    def build(cls, config: HostConfig, wires: Sequence[NicWire], around: Surroundings) -> Host:
        """A host whose NICs are `config.nics`, each with the wire at the same place in `wires`."""
        ledger, pool_ids = Ledger(), itertools.count(1)
        impairments: dict[int, Impairment] = {}
        interfaces = []
        for nic, at in zip(config.nics, wires, strict=True):
            wire = at.wire
            if config.impair is not None:
                impaired = parse_impairment(config.impair)
                wire = impairments[at.ifindex] = Impairment(wire, impaired, nic.address)
            device_config = _device_config(config, nic, at, around.counted)
            device = NetDevice(device_config, wire, ledger.part(), around.boottime, around.trace, pool_ids)
            interfaces.append(_interface(device, nic))
        stack_config = StackConfig(
            around.seed,
            ECN_CHOICES[config.tcp_ecn],
            kernel=VERSIONS[config.kernel],
            realtime=around.realtime,
            tcp_rmem=TcpMem(*tcp_mem(config.tcp_rmem)),
            tcp_wmem=TcpMem(*tcp_mem(config.tcp_wmem)),
            counted=around.counted,
            segments_per_turn=around.segments_per_turn,
        )
        stack = TcpStack(interfaces, Cpu(ledger), stack_config)
        _add_routes(stack.inet.routes, config)
        devices = Devices(*(interface.device for interface in interfaces))
        return cls(config, devices, stack, ledger, impairments)

    def set_link(self, ifindex: int, up: bool, carrier: bool = True) -> None:
        """IFF_UP or IFF_RUNNING of a NIC have changed."""
        self.netdev.set_link(ifindex, up)
        self.stack.inet.set_link(ifindex, up, carrier)

    def capture(self, capture: Capture, now: float) -> None:
        """Show `capture` every packet of every device from now on."""
        self._capture = capture
        capture.advance(now)
        for device in self.stack.devices.values():
            device.capture(capture.add_interface(device.name, device.dma))

    def turn(self, now: float, readable: Collection[int] | None = None) -> float | None:
        """One turn; returns when the next is due: `now` for at once, None for not before a frame or a call
        arrives. `readable`: the ifindexes of wires that have frames, None for all."""
        self.receive(now, readable)
        return self.transmit(now)

    def receive(self, now: float, readable: Collection[int] | None = None) -> None:
        """The first half of a turn: frames, then timers. Calls that arrived with the frames are made between
        the halves, so that they meet what the frames brought."""
        if self._capture is not None:
            self._capture.advance(now)
        self._receive(now, readable)
        self.stack.handle_timeouts(now)

    def transmit(self, now: float) -> float | None:
        """The second half: blocked calls go on, and connections send; returns as `turn` does."""
        self.calls.retry(now)
        more = self.stack.transmit(now)
        if self.stack.changed and self.calls.observed:
            self.calls.retry(now)
            more = self.stack.has_more
        return now if more else self._next_timeout()

    def _receive(self, now: float, readable: Collection[int] | None) -> None:
        stack = self.stack
        for nic in self._nics:
            device = nic.device
            has_frames = readable is None or nic.ifindex in readable
            if nic.impairment is not None:
                has_frames |= nic.impairment.advance(now)
            if device.tx.waiting:
                device.tx.kick()
            if has_frames:
                for skb in device.poll(BUDGET):  # frames beyond the budget make the next turn begin at once
                    stack.receive(skb, nic.link, now)
                if device.placement.csum_bad:
                    stack.count_csum_errors(device.placement.take_csum_bad())
        stack.end_batch(now)

    def _next_timeout(self) -> float | None:
        first = earlier(self.stack.next_timeout(), self.calls.next_timeout())
        for nic in self._nics:
            if nic.impairment is not None:
                first = earlier(first, nic.impairment.next_timeout())
        return first

    @property
    def needs_microseconds(self) -> bool:
        """Whether a millisecond is too coarse for the next timer: an impairment's, or one of TCP's."""
        return bool(self.impairments) or self.stack.fine_next

    def close(self) -> None:
        """Every queue stops; pools drain as their netmems come back."""
        for device in self.devices.values():
            device.close()
        self.stack.send_pages.close()


def _device_config(config: HostConfig, nic: NicConfig, at: NicWire, counted: bool) -> DeviceConfig:
    return DeviceConfig(
        name=nic.interface,
        ifindex=at.ifindex,
        mac=nic.mac_bytes,
        mtu=at.mtu,
        rx_queues=config.rx_queues,
        gso_max_bytes=config.gso_max_bytes,
        rx_buf_len=config.rx_buf_len,
        kernel=VERSIONS[config.kernel],
        nic=nic_model(config.nic, config.header_buffer_bytes),
        counted=counted,
    )


def _add_routes(table: RouteTable, config: HostConfig) -> None:
    """The routes of a checked HostConfig, behind those that lie on the links."""
    nics = [nic.addresses for nic in config.nics]
    links = {link.name: link for link in table.links}
    routes = [(host_routes.parse(text), "") for text in config.routes]
    for nic in config.nics:
        gateways = [gateway for gateway in (nic.gateway, nic.gateway6) if gateway]
        routes += [(host_routes.parse(f"default,via={gateway}"), nic.interface) for gateway in gateways]
    for route, ifname in routes:
        v6 = route.prefix.version == 6
        table.insert(
            FibEntry(
                Prefix(int(route.prefix.network_address), route.prefix.prefixlen, v6),
                links.get(ifname or host_routes.nic_of(route, nics)),
                gateway=int(route.via or 0),
                source=int(route.source or 0),
                metric=route.metric or (host_routes.USER_METRIC_V6 if v6 else 0),
                protocol=RTPROT_STATIC,
                kind=KINDS[route.refusal or "unicast"],
            ),
            ("create", "append"),
        )


def _interface(device: NetDevice, nic: NicConfig) -> Interface:
    v4, v6 = nic.ipv4, nic.ipv6
    if v6 is None:
        return Interface(device, int(v4.ip), v4.network.prefixlen)
    return Interface(device, int(v4.ip), v4.network.prefixlen, int(v6.ip), v6.network.prefixlen)

"""System calls of a process's control channel: the host's name, memory, counters, a Linux socket.

In: a request and the channel it came by. Out: replies. Owns nothing: memory that a process registers is
dropped when its channel closes.
"""

from __future__ import annotations

import errno
from dataclasses import astuple

from nodes.host import Host
from nodes.nic.net_device import NetDevice
from nodes.sock import inet_diag
from nodes.syscall.system_call import Caller
from nodes.uapi import nic_records, syscalls
from nodes.uapi.syscalls import Done


class HelloCall:
    """The reply brings the descriptors of the buses that have a ceiling."""

    __slots__ = ("_caller",)

    def __init__(self, _request: syscalls.Hello, caller: Caller) -> None:
        self._caller = caller

    def attempt(self, _now: float, _wait: bool) -> None:
        kernel = self._caller.kernel
        buses = kernel.platform.buses
        self._caller.send_with(_welcome(kernel.host, buses.names), buses.fds)


class RegisterMemoryCall:
    """Takes the memfd's descriptor over."""

    __slots__ = ("_caller", "_fd")

    def __init__(self, _request: syscalls.RegisterMemory, caller: Caller, fd: int) -> None:
        self._caller = caller
        self._fd = fd

    def attempt(self, _now: float, _wait: bool) -> Done:
        if self._fd < 0:
            raise OSError(errno.EBADF, "RegisterMemory brought no descriptor")
        registered = self._caller.kernel.memory
        memory = registered.register(self._fd)
        self._caller.owned.callback(registered.drop, memory)
        return Done(memory)


class UnregisterMemoryCall:
    __slots__ = ("_caller", "_memory")

    def __init__(self, request: syscalls.UnregisterMemory, caller: Caller) -> None:
        self._caller = caller
        self._memory = request.memory

    def attempt(self, _now: float, _wait: bool) -> Done:
        if not self._caller.kernel.memory.drop(self._memory):
            raise OSError(errno.EINVAL, "no such registered memory")
        return Done()


class OpenKernelSocketCall:
    """A socket keeps the network namespace it was made in, whichever process it is handed to."""

    __slots__ = ("_caller",)

    def __init__(self, _request: syscalls.OpenKernelSocket, caller: Caller) -> None:
        self._caller = caller

    def attempt(self, _now: float, _wait: bool) -> None:
        with self._caller.kernel.platform.open_kernel_socket() as sock:
            self._caller.send_with(Done(), (sock.fileno(),))


class WithholdMemoryCall:
    __slots__ = ("_caller", "_share")

    def __init__(self, request: syscalls.WithholdMemory, caller: Caller) -> None:
        self._caller = caller
        self._share = request.share

    def attempt(self, _now: float, _wait: bool) -> Done:
        if not self._caller.privileged:
            raise OSError(errno.EPERM, "to withhold memory needs CAP_NET_ADMIN")
        if not 0 <= self._share <= 1:
            raise OSError(errno.EINVAL, f"share {self._share:g} of memory: choose 0 to 1")
        for device in self._caller.kernel.host.devices.values():
            device.withhold(self._share)
        return Done()


class GetStatsCall:
    __slots__ = ("_caller", "_request")

    def __init__(self, request: syscalls.GetStats, caller: Caller) -> None:
        self._caller = caller
        self._request = request

    def attempt(self, _now: float, _wait: bool) -> syscalls.Stats:
        of_peak, of_recent = self._request.restart_peak, self._request.restart_recent
        if (of_peak or of_recent) and not self._caller.privileged:
            raise OSError(errno.EPERM, "to restart the page pools' highest use needs CAP_NET_ADMIN")
        stats = self._stats()
        for device in self._caller.kernel.host.devices.values() if of_peak or of_recent else ():
            for rxq in device.all_rx_queues:
                if of_peak:
                    rxq.restart_peak()
                if of_recent:
                    rxq.restart_recent()
        return stats

    def _stats(self) -> syscalls.Stats:
        host = self._caller.kernel.host
        devices = host.devices.values()
        rxqs = [rxq for device in devices for rxq in device.all_rx_queues]
        rx = [rxq.counters for rxq in rxqs]
        overruns = sum(device.overruns() for device in devices)
        voluntary, involuntary = self._caller.kernel.platform.switches()
        nics = tuple(_nic_stats(device) for device in devices)
        return syscalls.Stats(
            ledger=host.ledger.snapshot(),
            cpu_s=self._caller.kernel.platform.cpu_s(),
            rx_packets=sum(nic.rx_packets for nic in nics),
            rx_bytes=sum(nic.rx_bytes for nic in nics),
            rx_wire_packets=sum(nic.rx_wire_packets for nic in nics),
            rx_alloc_fail=sum(nic.rx_alloc_fail for nic in nics),
            # As netdev's qstats-get has it of a device: overruns are drops, too.
            rx_hw_drops=sum(q.rx_hw_drops for q in rx)
            + sum(device.rx_steering_drops for device in devices)
            + overruns,
            rx_hw_drop_overruns=sum(q.rx_hw_drop_overruns for q in rx) + overruns,
            tx_packets=sum(nic.tx_packets for nic in nics),
            tx_bytes=sum(nic.tx_bytes for nic in nics),
            tx_wire_packets=sum(nic.tx_wire_packets for nic in nics),
            tcp_retrans_segs=host.stack.tcp.mib.TcpRetransSegs,
            impaired=_impaired(host),
            nics=nics,
            rx_pool_peak_share=max(rxq.peak_share for rxq in rxqs),
            voluntary_switches=voluntary,
            involuntary_switches=involuntary,
            rx_pool_share=max(rxq.share for rxq in rxqs),
            rx_pool_recent_share=max(rxq.recent_share for rxq in rxqs),
        )


class GetSnmpCall:
    __slots__ = ("_kernel",)

    def __init__(self, _request: syscalls.GetSnmp, caller: Caller) -> None:
        self._kernel = caller.kernel

    def attempt(self, _now: float, _wait: bool) -> syscalls.Snmp:
        return syscalls.Snmp(inet_diag.snmp(self._kernel.host.stack))


class GetSocketsCall:
    __slots__ = ("_first", "_kernel")

    def __init__(self, request: syscalls.GetSockets, caller: Caller) -> None:
        self._first = max(0, request.first)
        self._kernel = caller.kernel

    def attempt(self, _now: float, _wait: bool) -> syscalls.Sockets:
        return inet_diag.sockets(self._kernel.host.stack, self._first)


def _welcome(host: Host, buses: tuple[str, ...]) -> syscalls.Welcome:
    nics = []
    for nic, device in zip(host.config.nics, host.stack.devices.values(), strict=True):
        v4, v6 = nic.ipv4, nic.ipv6
        at = nic.interface, device.ifindex, device.config.mtu, str(v4.ip), v4.network.prefixlen
        nics.append(nic_records.NicInfo(*at, *((str(v6.ip), v6.network.prefixlen) if v6 else ("", 0))))
    name = host.config.name or nics[0].ifname
    return syscalls.Welcome(name, host.config.kernel_address, tuple(nics), buses)


def _nic_stats(device: NetDevice) -> nic_records.NicStats:
    rx, tx = [rxq.counters for rxq in device.all_rx_queues], device.tx.counters
    return nic_records.NicStats(
        ifname=device.name,
        ifindex=device.ifindex,
        rx_packets=sum(q.rx_packets for q in rx),
        rx_bytes=sum(q.rx_bytes for q in rx),
        tx_packets=tx.tx_packets,
        tx_bytes=tx.tx_bytes,
        rx_wire_packets=sum(q.rx_wire_packets for q in rx),
        tx_wire_packets=tx.tx_wire_packets,
        rx_alloc_fail=sum(q.rx_alloc_fail for q in rx),
        moved=device.dma.ledger.snapshot(),
    )


def _impaired(host: Host) -> tuple[nic_records.Impaired, ...]:
    """What the impairments of all NICs did, by NIC and direction."""
    return tuple(
        nic_records.Impaired(host.devices[ifindex].name, name, *astuple(direction.counters))
        for ifindex, impairment in host.impairments.items()
        for name, direction in (("rx", impairment.rx), ("tx", impairment.tx))
    )

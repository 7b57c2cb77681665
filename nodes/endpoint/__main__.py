"""One host's kernel and NIC as a process: `python -m nodes.endpoint --help`.

Wires the parts together and runs the loop. Works alone on any Ethernet interface: one of a Mininet host,
a veth, a TAP, a real NIC.
"""

from __future__ import annotations

import argparse
import errno
import ipaddress
import os
import resource
import secrets
import socket
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.endpoint.host_parts import HostParts
from nodes.endpoint.interface import InterfaceError, claim, mtu
from nodes.endpoint.loop import AddressInUse, Loop
from nodes.endpoint.options import parse
from nodes.endpoint.trace import TraceFile
from nodes.kernel_version import VERSIONS
from nodes.machine.ceilings import MemoryBus
from nodes.machine.cpu import Cpu
from nodes.machine.ledger import Ledger
from nodes.nic.af_packet import AfPacket, WireError
from nodes.nic.capture import Capture
from nodes.nic.impairment import Impairment
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.sock.inet import Inet, InetConfig
from nodes.tcp.config import ECN_CHOICES
from nodes.uapi.syscalls import Welcome
from nodes.wire import ethernet, ipv6

_CAPTURE_BUFFER_BYTES = 1 << 20


class EndpointError(RuntimeError):
    """The endpoint cannot start; one sentence."""


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    try:
        run(options)
    except (EndpointError, InterfaceError, WireError, AddressInUse) as e:
        print(f"endpoint: {e}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    """Build the host and serve until told to stop."""
    # A socket is a descriptor, as in a kernel; only the hard limit is meant to be one.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        address, address6, mac, chances = options.address, options.address6, options.mac, options.impair
        listener = stack.enter_context(_listen(options.channel))
        stack.callback(_unlink, options.channel)
        wire = AfPacket(options.interface, mac, _groups(address6))
        stack.callback(wire.close)
        claim(stack, options.interface, "--address", address)
        if address6 is not None:
            claim(stack, options.interface, "--address6", address6)
        ledger = Ledger()
        config = DeviceConfig(
            name=options.interface,
            ifindex=socket.if_nametoindex(options.interface),
            mac=mac,
            mtu=mtu(options.interface),
            rx_queues=options.rx_queues,
            gso_max_bytes=options.gso_max,
            rx_buf_len=options.rx_buf_len,
            kernel=VERSIONS[options.kernel],
            nic=options.nic,
        )
        impairment = Impairment(wire, chances, str(address)) if chances else None
        trace = None
        if options.trace:
            trace = TraceFile(stack.enter_context(_writable("--trace", options.trace)), time.monotonic)
        device = NetDevice(config, impairment or wire, ledger, _boottime, trace)
        capture = None
        if options.pcap:
            file = stack.enter_context(_writable("--pcap", options.pcap))
            capture = Capture(file, time.time() - time.monotonic())
            device.capture(capture.add_interface(device.name, device.dma))
        seed = secrets.randbits(64) if options.seed is None else options.seed
        inet = Inet(device, Cpu(ledger), _inet_config(address, address6, seed, options.tcp_ecn))
        bus = MemoryBus.create(options.host_mem_bw) if options.host_mem_bw else None
        welcome = Welcome(
            options.name or options.interface, str(address.ip), address.network.prefixlen,
            options.kernel_address or "", config.name, config.ifindex, config.mtu,
            str(address6.ip) if address6 else "", address6.network.prefixlen if address6 else 0,
        )
        control = Netdev(device), Ethtool(device)
        host = HostParts(welcome, inet, device, *control, ledger, bus, impairment, capture)
        Loop(host, wire.fileno(), listener).run(probe=not options.nodad)


def _groups(address6: ipaddress.IPv6Interface | None) -> tuple[bytes, ...]:
    """The multicast MACs on which neighbours ask for us, and answer while we have no address yet."""
    if address6 is None:
        return ()
    return tuple(ethernet.multicast_of(g) for g in (ipv6.solicited_node(int(address6.ip)), ipv6.ALL_NODES))


def _inet_config(
    address: ipaddress.IPv4Interface, address6: ipaddress.IPv6Interface | None, seed: int, tcp_ecn: int
) -> InetConfig:
    v4 = InetConfig(int(address.ip), address.network.prefixlen, seed, ecn=ECN_CHOICES[tcp_ecn])
    if address6 is None:
        return v4
    return replace(v4, address6=int(address6.ip), prefix6=address6.network.prefixlen)


def _writable(option: str, path: str) -> BinaryIO:
    try:
        return open(path, "wb", buffering=_CAPTURE_BUFFER_BYTES)
    except OSError as e:
        raise EndpointError(f"{option} {path!r} cannot be written: {e.strerror}") from None


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _listen(path: str) -> socket.socket:
    """Listen for applications at `path`; a socket nobody listens on any more is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        try:
            sock.bind(path)
        except OSError as e:
            if e.errno != errno.EADDRINUSE or _answers(path):
                raise
            os.unlink(path)
            sock.bind(path)
        sock.listen(512)
        sock.setblocking(False)
    except OSError as e:
        sock.close()
        raise EndpointError(f"--channel {path!r} cannot be listened on: {e.strerror or e}") from None
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return not Path(path).is_socket()
        return True


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


if __name__ == "__main__":
    sys.exit(main())

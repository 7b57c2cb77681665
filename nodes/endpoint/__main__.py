"""One host's kernel and NIC as a process: `python -m nodes.endpoint --help`.

Wires the parts together and runs the loop. Works alone on any Ethernet interface: one of a Mininet host,
a veth, a TAP, a real NIC.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import ipaddress
import os
import resource
import secrets
import socket
import struct
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from nodes.channel import Welcome
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.endpoint.host_parts import HostParts
from nodes.endpoint.loop import AddressInUse, Loop
from nodes.endpoint.trace import TraceFile
from nodes.kernel_version import DEFAULT, VERSIONS
from nodes.machine.ceilings import MemoryBus
from nodes.machine.cpu import Cpu
from nodes.machine.ledger import Ledger
from nodes.nic.af_packet import AfPacket, WireError
from nodes.nic.capture import Capture
from nodes.nic.impairment import Chances, Impairment, ImpairmentError, parse
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.nic.nic_model import GENERIC, MODELS, NicModelError, nic_model
from nodes.sock.inet import Inet, InetConfig
from nodes.tcp.config import ECN_CHOICES
from nodes.wire import ethernet, ipv6

_SIOCGIFMTU = 0x8921
_CAPTURE_BUFFER_BYTES = 1 << 20
_IMPAIR = """a bad wire, both ways, any of: loss=0.01,reorder=0.02,duplicate=0.001,corrupt=0.001 (chances of a
wire packet), delay=1ms,jitter=100us,seed=1"""


class EndpointError(RuntimeError):
    """The endpoint cannot start; one sentence."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m nodes.endpoint",
        description="A host's network stack with a packet-splitting NIC, on one interface and an address "
        "of its own. Applications reach it through --channel with nodes.client. SIGTERM or SIGINT stop it.",
        epilog="example: ip netns exec h1 python -m nodes.endpoint --interface veth1 --address 10.0.1.1/16 "
        "--mac 02:00:00:00:01:01 --channel /tmp/h1.sock",
    )
    add = p.add_argument
    add("--interface", required=True, metavar="NAME", help="the wire: an Ethernet interface that is up")
    add("--address", required=True, metavar="A.B.C.D/N", help="the endpoint's; the kernel must not have it")
    add("--address6", metavar="ADDR/N", help="the endpoint's IPv6 address; default: none")
    add("--mac", metavar="XX:..", help="the endpoint's own; default: a local one made from the address")
    add("--channel", required=True, metavar="PATH", help="AF_UNIX path for applications (made, and removed)")
    add("--name", default="", help="what the host is called; default: the interface")
    add("--kernel-address", default="", metavar="A.B.C.D", help="of Linux's own stack on the interface")
    add("--rx-queues", type=int, default=8, metavar="N")
    add("--rx-buf-len", type=int, default=4096, metavar="BYTES", help="size of a host receive buffer")
    add("--gso-max", type=int, default=65536, metavar="BYTES", help="longest frame; > 65536 needs BIG TCP")
    add("--tcp-ecn", type=int, choices=(0, 1, 2), default=2, help="sysctl tcp_ecn: off, ask, grant if asked")
    add("--host-mem-bw", type=float, metavar="B/S", help="ceiling of host memory traffic, bytes a second")
    add("--impair", metavar="LIST", help=_IMPAIR)
    add("--pcap", metavar="FILE", help="write a pcapng; of device memory it holds headers only")
    add("--kernel", choices=(*VERSIONS,), default=DEFAULT.name, help="whose devmem rules hold")
    add("--nic", choices=(*MODELS,), default=GENERIC.name, help="how it splits headers; its driver's gaps")
    add("--header-buffer", type=int, metavar="BYTES", help="longest header that is split; default: the NIC's")
    add("--trace", metavar="FILE", help="write page_pool_state_hold and _release events, JSON by line")
    add("--seed", type=int, help="for ports and initial sequence numbers; default: from the system")
    return p


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        run(options)
    except (EndpointError, NicModelError, WireError, AddressInUse) as e:
        print(f"endpoint: {e}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    """Build the host and serve until told to stop."""
    # A socket is a descriptor, as in a kernel; only the hard limit is meant to be one.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        address = _address(options.address)
        address6 = _address6(options.address6)
        mac = _mac(options.mac, address)
        listener = stack.enter_context(_listen(options.channel))
        stack.callback(_unlink, options.channel)
        chances = _chances(options.impair)
        wire = AfPacket(options.interface, mac, _groups(address6))
        stack.callback(wire.close)
        ledger = Ledger()
        config = DeviceConfig(
            name=options.interface,
            ifindex=socket.if_nametoindex(options.interface),
            mac=mac,
            mtu=_mtu(options.interface),
            rx_queues=options.rx_queues,
            gso_max_bytes=options.gso_max,
            rx_buf_len=options.rx_buf_len,
            kernel=VERSIONS[options.kernel],
            nic=nic_model(options.nic, options.header_buffer),
        )
        impairment = Impairment(wire, chances, options.address) if chances else None
        trace = TraceFile(stack.enter_context(_writable("--trace", options.trace))) if options.trace else None
        device = NetDevice(config, impairment or wire, ledger, _boottime, trace)
        capture = None
        if options.pcap:
            file = stack.enter_context(_writable("--pcap", options.pcap))
            capture = Capture(file, device.name, time.time() - time.monotonic(), device.dma)
            device.capture(capture)
        seed = secrets.randbits(64) if options.seed is None else options.seed
        inet = Inet(device, Cpu(ledger), _inet_config(address, address6, seed, options.tcp_ecn))
        bus = MemoryBus.create(options.host_mem_bw) if options.host_mem_bw else None
        welcome = Welcome(
            options.name or options.interface, str(address.ip), address.network.prefixlen,
            options.kernel_address, config.name, config.ifindex, config.mtu,
            str(address6.ip) if address6 else "", address6.network.prefixlen if address6 else 0,
        )
        control = Netdev(device), Ethtool(device)
        host = HostParts(welcome, inet, device, *control, ledger, bus, impairment, capture)
        Loop(host, wire.fileno(), listener).run()


def _address(text: str) -> ipaddress.IPv4Interface:
    try:
        return ipaddress.IPv4Interface(text)
    except ValueError as e:
        raise EndpointError(f"--address {text!r} is not an IPv4 address with prefix: {e}") from None


def _address6(text: str | None) -> ipaddress.IPv6Interface | None:
    if text is None:
        return None
    try:
        address = ipaddress.IPv6Interface(text)
    except ValueError as e:
        raise EndpointError(f"--address6 {text!r} is not an IPv6 address with prefix: {e}") from None
    ip = address.ip
    if ip.is_multicast or ip.is_link_local or ip.is_unspecified or ip.ipv4_mapped or int(ip) < 1 << 32:
        raise EndpointError(f"--address6 {text!r} is no global unicast address: use one like 2001:db8::1/64")
    return address


def _groups(address6: ipaddress.IPv6Interface | None) -> tuple[bytes, ...]:
    """The multicast MACs on which neighbours ask for us."""
    return () if address6 is None else (ethernet.multicast_of(ipv6.solicited_node(int(address6.ip))),)


def _inet_config(
    address: ipaddress.IPv4Interface, address6: ipaddress.IPv6Interface | None, seed: int, tcp_ecn: int
) -> InetConfig:
    v4 = InetConfig(int(address.ip), address.network.prefixlen, seed, ecn=ECN_CHOICES[tcp_ecn])
    if address6 is None:
        return v4
    return replace(v4, address6=int(address6.ip), prefix6=address6.network.prefixlen)


def _mac(text: str | None, address: ipaddress.IPv4Interface) -> bytes:
    try:
        return ethernet.mac_bytes(text) if text else b"\x02\x00" + address.ip.packed
    except ValueError as e:
        raise EndpointError(f"--mac: {e}; write six bytes in hexadecimal, 02:00:00:00:00:01") from None


def _chances(text: str | None) -> Chances | None:
    try:
        return None if text is None else parse(text)
    except ImpairmentError as e:
        raise EndpointError(str(e)) from None


def _writable(option: str, path: str) -> BinaryIO:
    try:
        return open(path, "wb", buffering=_CAPTURE_BUFFER_BYTES)
    except OSError as e:
        raise EndpointError(f"{option} {path!r} cannot be written: {e.strerror}") from None


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _mtu(ifname: str) -> int:
    request = struct.pack("16si", ifname.encode(), 0).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFMTU, request)
    return int(struct.unpack_from("16si", answer)[1])


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

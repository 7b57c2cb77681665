"""One emulated host as a process: `python -m nodes.endpoint --help`.

In: the command line. Out: a Host on real interfaces, served until a signal. Owns the AF_PACKET sockets, the
channel's listening socket and the files of captures and traces. Works alone on any Ethernet interface: one of
a Mininet host, a veth, a TAP, a real NIC.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import resource
import secrets
import socket
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from nodes.endpoint.busy_wire import BusyWire
from nodes.endpoint.charges import Charges
from nodes.endpoint.interface import InterfaceError, claim, mtu
from nodes.endpoint.link_monitor import LinkMonitor
from nodes.endpoint.loop import AddressInUse, Loop
from nodes.endpoint.options import parse
from nodes.endpoint.platform import LinuxPlatform
from nodes.endpoint.record_file import RecordFile, Recordings
from nodes.endpoint.trace import TraceFile
from nodes.host import Host, NicWire, Surroundings
from nodes.host_config import HostConfig, NicConfig
from nodes.machine.buses import Buses
from nodes.nic.af_packet import AfPacket, WireError
from nodes.nic.capture import Capture
from nodes.standard_error import standard_error
from nodes.syscall.sessions import Sessions
from nodes.wire import ethernet, ipv6


class EndpointError(RuntimeError):
    """The endpoint cannot start; one sentence."""


def main(argv: list[str] | None = None) -> int:
    sys.stderr = standard_error()
    config = parse(argv)
    try:
        run(config)
    except (EndpointError, InterfaceError, WireError, AddressInUse) as e:
        print(f"endpoint: {e}", file=sys.stderr)
        return 1
    return 0


def run(config: HostConfig) -> None:
    """Build the host and serve until a signal."""
    # A socket is a descriptor, as in a kernel; only the hard limit is meant to be one.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(config.channel))
        stack.callback(_unlink, config.channel)
        sockets = [_open_wire(nic, stack) for nic in config.nics]
        trace, files = None, []
        if config.trace:
            files.append(_writable("--trace", config.trace, stack))
            trace = TraceFile(files[-1], time.monotonic)
        seed = secrets.randbits(64) if config.seed is None else config.seed
        wires = [
            NicWire(wire, socket.if_nametoindex(nic.interface), mtu(nic.interface))
            for nic, wire in zip(config.nics, sockets, strict=True)
        ]
        host = Host.build(config, wires, Surroundings(seed, _boottime, time.time() - time.monotonic(), trace))
        if config.pcap:
            files.append(_writable("--pcap", config.pcap, stack))
            host.capture(Capture(files[-1], time.time() - time.monotonic()), time.monotonic())
        limits = config.host_mem_bw_bytes_per_s, config.pcie_bw_bytes_per_s
        buses = Buses.create(*limits, [nic.interface for nic in config.nics])
        host.calls = sessions = Sessions(host, LinuxPlatform(buses))
        fds = {wire.fileno(): at.ifindex for wire, at in zip(sockets, wires, strict=True)}
        recordings = Recordings(files) if files else None
        links = LinkMonitor({nic.interface: at.ifindex for nic, at in zip(config.nics, wires, strict=True)})
        stack.callback(links.close)
        busy = [BusyWire(host.devices[at.ifindex].tx, wire) for wire, at in zip(sockets, wires, strict=True)]
        loop = Loop(host, sessions, fds, listener, Charges.of(host, buses), recordings, links, busy)
        loop.run(probe=config.dad)


def _open_wire(nic: NicConfig, stack: ExitStack) -> AfPacket:
    """The AF_PACKET socket of one NIC, and the claims on its addresses."""
    wire = AfPacket(nic.interface, nic.mac_bytes, _groups(nic.ipv6))
    stack.callback(wire.close)
    claim(stack, nic.interface, "--address", nic.address)
    if nic.address6:
        claim(stack, nic.interface, "--address6", nic.address6)
    return wire


def _groups(address6: ipaddress.IPv6Interface | None) -> tuple[bytes, ...]:
    """The multicast MACs on which neighbours ask for us, and answer while our address is tentative."""
    if address6 is None:
        return ()
    groups = ipv6.solicited_node(int(address6.ip)), ipv6.ALL_NODES
    return tuple(ethernet.multicast_of(group) for group in groups)


def _writable(option: str, path: str, stack: ExitStack) -> RecordFile:
    try:
        file = RecordFile(option, path)
    except OSError as e:
        raise EndpointError(f"{option} {path!r} cannot be written: {e.strerror}") from None
    stack.callback(file.close)
    return file


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _listen(path: str) -> socket.socket:
    """Listen for applications at `path`; a socket that no process listens on any more is replaced."""
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

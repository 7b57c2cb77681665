"""Finds out by trying what this kernel can do, in namespaces that end with this process.

    python -m topologies.mininet.probe

In: nothing. Out: on stdout one JSON list of `Finding`. Owns the interfaces it makes, in a namespace of its
own. `topologies.mininet.doctor` runs it as a process of its own, because a process that has left its pid
namespace cannot return: after the probe of `process namespace` it can start no other.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from topologies.link import GSO_MAX_BYTES
from topologies.mininet.isolation import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, unshare
from topologies.mininet.rtnetlink import LinkSocket
from topologies.mininet.user_namespace import enter

SOL_PACKET, PACKET_VNET_HDR = 263, 15
SO_DEVMEM_DONTNEED = 80
DMABUF_TOKEN_BYTES = 8  # struct dmabuf_token: two u32
COMMAND_S = 5.0


class Finding(msgspec.Struct, frozen=True):
    """The answer to one question."""

    name: str
    ok: bool
    found: str


class Absent(Exception):
    """This kernel lacks what was asked for; the text says what was found instead."""


def findings() -> list[Finding]:
    """Leave this process's namespaces for new ones and ask everything there."""
    found = [_asked("memfd", _memfd), _asked("namespaces", _namespaces)]
    if not found[-1].ok:
        return found
    questions: dict[str, Callable[[], str]] = {
        "veth": lambda: _command("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"),
        "bridge": lambda: _command("ip", "link", "add", "b0", "type", "bridge"),
        "vxlan": lambda: _command("ip", "link", "add", "t0", "type", "vxlan", "id", "1", "dstport", "4789"),
        "AF_PACKET with virtio headers": _packet_socket,
        "BIG TCP": _big_tcp,
        "tc netem": lambda: _queue("netem", "delay", "1ms"),
        "tc tbf": lambda: _queue("tbf", "rate", "1gbit", "burst", "256k", "latency", "10ms"),
        "tc htb": lambda: _queue("htb"),
        "congestion control": _congestion_control,
        "kernel devmem sockets": _devmem_sockets,
        "kernel netdev family": lambda: _command("genl", "ctrl", "get", "name", "netdev"),
    }
    found += [_asked(name, question) for name, question in questions.items()]
    return [*found, _asked("process namespace", _process_namespace)]  # last: nothing starts any more after it


def _asked(name: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, question())
    except (OSError, Absent, subprocess.TimeoutExpired) as error:
        return Finding(name, False, str(error))


def _command(*argv: str) -> str:
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if ended.returncode != 0:
        lines = (ended.stderr + ended.stdout).strip().splitlines()
        raise Absent(lines[0] if lines else f"{argv[0]} ended with status {ended.returncode}")
    return "works"


def _memfd() -> str:
    os.close(os.memfd_create("probe", os.MFD_ALLOW_SEALING))
    return "works"


def _namespaces() -> str:
    if os.geteuid() != 0:
        enter()
    unshare(CLONE_NEWNET | CLONE_NEWNS)
    return "network and mount namespaces"


def _process_namespace() -> str:
    unshare(CLONE_NEWPID)
    return "works"


def _packet_socket() -> str:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packet:
        packet.bind(("v0", 0))
        packet.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    return "works"


def _big_tcp() -> str:
    with LinkSocket() as links:
        for name in ("v0", "v1"):
            limits = links.set(name, 1500, GSO_MAX_BYTES)
    return f"super-packets to {limits.gso_ipv4_max_bytes} bytes, IPv4 too"


def _queue(*discipline: str) -> str:
    try:
        return _command("tc", "qdisc", "add", "dev", "v0", "root", *discipline)
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", "v0", "root"], capture_output=True, check=False)


def _congestion_control() -> str:
    settings = Path("/proc/sys/net/ipv4")
    available = (settings / "tcp_available_congestion_control").read_text().strip()
    default = (settings / "tcp_congestion_control").read_text().strip()
    if "cubic" not in available.split():
        raise Absent(f"{available} (default {default}), no cubic")
    return f"{available} (default {default})"


def _devmem_sockets() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
        tcp.setsockopt(socket.SOL_SOCKET, SO_DEVMEM_DONTNEED, bytes(DMABUF_TOKEN_BYTES))
    return "SO_DEVMEM_DONTNEED is known"


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(findings()))

"""How the kernel processes an interface's packets: RPS, threaded NAPI and offloads, as it says itself.

In: an interface's name, and a process in its namespaces. Out: a frozen record. Owns nothing; nothing is
changed. Documentation/networking/scaling.rst, napi.rst, segmentation-offloads.rst; ethtool(8) -k.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from contextlib import suppress
from pathlib import Path

import msgspec

from topologies.mininet.isolation import network_namespace_of

_SIOCETHTOOL = 0x8946
_IFREQ = struct.Struct("=16sQ16x")  # struct ifreq: name, ifr_data
_VALUE = struct.Struct("=II")  # struct ethtool_value
# ETHTOOL_G...: each answers with 0 or 1; the names are those of `ethtool -k`.
_GET = {
    "rx-checksumming": 0x14,
    "tx-checksumming": 0x16,
    "scatter-gather": 0x18,
    "tcp-segmentation-offload": 0x1E,
    "generic-segmentation-offload": 0x23,
    "generic-receive-offload": 0x2B,
}


class InterfaceSettings(msgspec.Struct, frozen=True):
    """`rps_cpus`: masks of the CPUs that packets are spread over, a receive queue each, of zeros where RPS is
    off. `threaded`: NAPI polls in a kernel thread; None where this kernel does not say. `offloads`: those
    that are on."""

    node: str
    interface: str
    rps_cpus: tuple[str, ...]
    threaded: bool | None
    offloads: tuple[str, ...]


def settings(node: str, interface: str, pid: int) -> InterfaceSettings:
    """Of an interface in the namespaces of process `pid`. Raises OSError."""
    place = Path(f"/proc/{pid}/root/sys/class/net/{interface}")
    queues = sorted(place.glob("queues/rx-*"), key=lambda queue: int(queue.name.removeprefix("rx-")))
    masks = tuple((queue / "rps_cpus").read_text().strip() for queue in queues)
    threaded = None
    with suppress(OSError):
        threaded = (place / "threaded").read_text().strip() not in ("", "0")
    with network_namespace_of(pid), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        on = tuple(name for name, command in _GET.items() if _asked(sock, interface, command))
    return InterfaceSettings(node, interface, masks, threaded, on)


def _asked(sock: socket.socket, interface: str, command: int) -> bool:
    value = ctypes.create_string_buffer(_VALUE.pack(command, 0), _VALUE.size)
    fcntl.ioctl(sock, _SIOCETHTOOL, _IFREQ.pack(interface.encode(), ctypes.addressof(value)))
    return bool(_VALUE.unpack(value.raw)[1])

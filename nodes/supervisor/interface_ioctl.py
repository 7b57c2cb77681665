"""SIOCGIFCONF, SIOCGIFADDR and the like: a program that asks for interfaces sees the host's addresses.

In: trapped ioctls of any socket of the program. Out: structures in the program's memory. Owns nothing. Linux
is asked, and where an interface is one of the host's NICs, the address that Linux has there is exchanged for
the host's. Source: dev_ifconf and dev_ifsioc (net/core/dev_ioctl.c), devinet_ioctl (net/ipv4/devinet.c).
"""

from __future__ import annotations

import array
import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable

from nodes.supervisor import tracee
from nodes.supervisor.call import Call, Result
from nodes.uapi.nic_records import NicInfo

_CONF, _ADDRESS, _BROADCAST, _NETMASK = 0x8912, 0x8915, 0x8919, 0x891B
_REQUESTS = (_CONF, _ADDRESS, _BROADCAST, _NETMASK)
_IFCONF = struct.Struct("=i4xQ")  # ifc_len, ifc_buf
_IFREQ = struct.Struct("=16sHH4s16x")  # ifr_name, and a sockaddr_in: family, port, address
_CONF_MAX = 256 * _IFREQ.size


class InterfaceIoctl:
    """Of the NICs of a host."""

    def __init__(self, nics: Iterable[NicInfo]) -> None:
        self._nics = {
            nic.ifname: ipaddress.IPv4Interface(f"{nic.address}/{nic.prefix}") for nic in nics if nic.address
        }

    def is_asked(self, call: Call) -> bool:
        """Whether this ioctl is one for us."""
        return call.args[1] & 0xFFFFFFFF in _REQUESTS and tracee.identity(call.pid, call.fd) != ""

    def ioctl(self, call: Call) -> Result:
        request = call.args[1] & 0xFFFFFFFF
        if request == _CONF:
            return self._list(call)
        ifreq = bytearray(call.read(2, _IFREQ.size))
        nic = self._nics.get(_name(ifreq))
        if nic is not None:
            of = {_ADDRESS: nic.ip, _BROADCAST: nic.network.broadcast_address, _NETMASK: nic.netmask}
            _IFREQ.pack_into(ifreq, 0, bytes(ifreq[:16]), socket.AF_INET, 0, of[request].packed)
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                fcntl.ioctl(own, request, ifreq)
        call.write(2, bytes(ifreq))
        return 0

    def _list(self, call: Call) -> Result:
        """As many struct ifreq as there is room for; without a buffer, the length of all."""
        room, buffer = _IFCONF.unpack(call.read(2, _IFCONF.size))
        if room < 0:
            raise OSError(errno.EINVAL, f"room for interfaces of {room} bytes")
        found = b"".join(self._interfaces())
        if buffer:
            found = found[: room - room % _IFREQ.size]
            tracee.write(call.pid, buffer, found)
        call.write(2, _IFCONF.pack(len(found), buffer))
        return 0

    def _interfaces(self) -> Iterable[bytes]:
        """Those that have an address: one struct ifreq each."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            memory = array.array("B", bytes(_CONF_MAX))
            wanted = _IFCONF.pack(_CONF_MAX, memory.buffer_info()[0])
            length, _ = _IFCONF.unpack(fcntl.ioctl(own, _CONF, wanted))
        for at in range(0, length, _IFREQ.size):
            ifreq = memory[at : at + _IFREQ.size].tobytes()
            if _name(ifreq) not in self._nics:
                yield ifreq
        for name, nic in self._nics.items():
            yield _IFREQ.pack(name.encode(), socket.AF_INET, 0, nic.ip.packed)


def _name(ifreq: bytes | bytearray) -> str:
    """Without the number of an alias."""
    return bytes(ifreq[:16]).partition(b"\0")[0].decode(errors="replace").partition(":")[0]

"""A datagram between a netlink socket and the program's memory, by each of the calls that move one.

In: trapped calls. Out: the bytes that a program sends; its memory written over with what it receives. Owns
nothing. Source: netlink_recvmsg (net/netlink/af_netlink.c).
"""

from __future__ import annotations

import errno
import socket as linux
import struct
from collections.abc import Callable, Generator

from nodes.supervisor import layouts
from nodes.supervisor.call import Call, Handler, Wait
from nodes.supervisor.layouts import Iovec
from nodes.uapi import socket as uapi

RECEIVING = ("read", "readv", "recvfrom", "recvmsg")
SENDING = ("write", "writev", "sendto", "sendmsg")
SOCKADDR = struct.Struct("=HHII")  # nl_family, nl_pad, nl_pid, nl_groups
_FLAGS_AT = {"recvfrom": 3, "recvmsg": 2}


def buffers(call: Call) -> tuple[Iovec, ...]:
    """Of the program: from or into which the call moves a datagram."""
    if call.name in ("readv", "writev"):
        return layouts.read_iovecs(call.pid, call.args[1], call.args[2])
    if call.name in ("recvmsg", "sendmsg"):
        return layouts.read_msghdr(call.pid, call.args[1]).iov
    return (Iovec(call.args[1], call.args[2]),)


def address(port: int = 0, groups: int = 0) -> bytes:
    """struct sockaddr_nl; by default the kernel's."""
    return SOCKADDR.pack(linux.AF_NETLINK, 0, port, groups)


def receive(call: Call, take: Callable[[int], Generator[Wait, int, bytes]]) -> Handler:
    """One of RECEIVING: the datagram that `take` returns for the call's flags, as far as there is room; the
    rest of it is lost. It is the kernel's."""
    flags = call.int_arg(_FLAGS_AT[call.name]) if call.name in _FLAGS_AT else 0
    if flags & linux.MSG_OOB:
        raise OSError(errno.EOPNOTSUPP, "out-of-band data of a netlink socket")
    iov = buffers(call)
    datagram = yield from take(flags)
    room = sum(each.length for each in iov)
    layouts.scatter(call.pid, iov, memoryview(datagram))
    if call.name == "recvfrom" and call.args[4]:
        layouts.write_address(call.pid, call.args[4], call.args[5], address())
    if call.name == "recvmsg":
        message = layouts.read_msghdr(call.pid, call.args[1])
        cut = uapi.MSG_TRUNC if room < len(datagram) else 0
        layouts.write_message(call.pid, message, (), cut, address() if message.name else b"")
    return len(datagram) if flags & uapi.MSG_TRUNC else min(room, len(datagram))

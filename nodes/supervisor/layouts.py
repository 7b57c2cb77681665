"""The structures that system calls of sockets pass by address: sockaddr, msghdr, iovec, cmsghdr, mmsghdr.

In: a thread and addresses in its memory. Out: Python values, and bytes written back. Owns nothing. Layouts
are those of a 64-bit machine.
Source: include/linux/socket.h, include/uapi/linux/{in,in6,uio}.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nodes.supervisor import tracee
from nodes.uapi import socket as uapi

INT = struct.Struct("=i")
_FAMILY = struct.Struct("=H")
_IN = struct.Struct("=2xH4s8x")
_IN6 = struct.Struct("=2xHI16sI")
_PORT = struct.Struct("!H")
_MSGHDR = struct.Struct("=QI4xQQQQi4x")  # name, namelen, iov, iovlen, control, controllen, flags
_CMSGHDR = struct.Struct("=Qii")
_NAMELEN_AT, _CONTROLLEN_AT, _FLAGS_AT = 8, 40, 48
MMSGHDR_BYTES = _MSGHDR.size + 8  # and msg_len, padded
MSG_LEN_AT = _MSGHDR.size
_IOVEC = struct.Struct("=QQ")
_IN6_RFC2133_BYTES = 24  # of a sockaddr_in6 without a scope
_ADDRESS_MAX = 128  # struct sockaddr_storage
IO_MAX = 0x7FFFF000  # MAX_RW_COUNT: no call moves more

Address = tuple[str, int]
Cmsg = tuple[int, int, bytes]


class Iovec(NamedTuple):
    """`base`: an address of the program's memory, or an offset into a dma-buf."""

    base: int
    length: int


class MsgHdr(NamedTuple):
    """struct msghdr at `at` of the thread's memory."""

    at: int
    name: int
    name_bytes: int
    iov: tuple[Iovec, ...]
    control: int
    control_bytes: int


# --- addresses


def read_address(pid: int, address: int, length: int, family: int) -> Address | None:
    """(host, port); None for AF_UNSPEC. EINVAL, EAFNOSUPPORT."""
    if not _FAMILY.size <= length <= _ADDRESS_MAX:
        raise OSError(errno.EINVAL, f"an address of {length} bytes")
    data = tracee.read(pid, address, length)
    (given,) = _FAMILY.unpack_from(data)
    if given == socket.AF_UNSPEC:
        return None
    wanted, what = (_IN6, "sockaddr_in6") if family == socket.AF_INET6 else (_IN, "sockaddr_in")
    if given != family:
        raise OSError(errno.EAFNOSUPPORT, f"an address of family {given}")
    if length < min(wanted.size, _IN6_RFC2133_BYTES):
        raise OSError(errno.EINVAL, f"a {what} of {length} bytes")
    fields = wanted.unpack(data[: wanted.size].ljust(wanted.size, b"\0"))
    packed = fields[2] if family == socket.AF_INET6 else fields[1]
    return socket.inet_ntop(family, packed), socket.ntohs(fields[0])


def read_bind_address(pid: int, address: int, length: int, family: int) -> Address:
    """For bind, where AF_UNSPEC with INADDR_ANY is AF_INET's any-address (__inet_bind). EINVAL,
    EAFNOSUPPORT."""
    found = read_address(pid, address, length, family)
    if found is None:
        if family != socket.AF_INET or length < _IN.size:
            raise OSError(errno.EAFNOSUPPORT, "bind to AF_UNSPEC")
        port, packed = _IN.unpack(tracee.read(pid, address, _IN.size))
        if any(packed):
            raise OSError(errno.EAFNOSUPPORT, "bind to an address of AF_UNSPEC")
        found = "0.0.0.0", socket.ntohs(port)
    return found


def pack_address(address: Address, family: int) -> bytes:
    """struct sockaddr_in or sockaddr_in6."""
    packed, port = socket.inet_pton(family, address[0]), socket.htons(address[1])
    if family == socket.AF_INET6:
        return _FAMILY.pack(family) + _IN6.pack(port, 0, packed, 0)[2:]
    return _FAMILY.pack(family) + _IN.pack(port, packed)[2:]


def write_address(pid: int, address: int, length_at: int, packed: bytes) -> None:
    """move_addr_to_user: as much as the caller has room for, and the whole length. EINVAL."""
    if not address:
        return
    (room,) = INT.unpack(tracee.read(pid, length_at, INT.size))
    if room < 0:
        raise OSError(errno.EINVAL, f"room for an address of {room} bytes")
    tracee.write(pid, address, packed[:room])
    tracee.write(pid, length_at, INT.pack(len(packed)))


# --- messages


def read_iovecs(pid: int, address: int, count: int) -> tuple[Iovec, ...]:
    """import_iovec: EMSGSIZE for too many, which readv and writev call EINVAL."""
    if count > uapi.UIO_MAXIOV:
        raise OSError(errno.EMSGSIZE, f"{count} buffers, {uapi.UIO_MAXIOV} at most")
    return tuple(Iovec(*each) for each in _IOVEC.iter_unpack(tracee.read(pid, address, count * _IOVEC.size)))


def read_msghdr(pid: int, address: int) -> MsgHdr:
    name, name_bytes, iov, iov_count, control, control_bytes, _ = _MSGHDR.unpack(
        tracee.read(pid, address, _MSGHDR.size)
    )
    vectors = read_iovecs(pid, iov, iov_count)
    return MsgHdr(address, name, name_bytes if name else 0, vectors, control, control_bytes)


def gather(pid: int, iov: Iterable[Iovec]) -> bytes:
    """The bytes of all buffers, IO_MAX of them at most."""
    left, parts = IO_MAX, []
    for each in iov:
        parts.append(tracee.read(pid, each.base, min(each.length, left)))
        left -= len(parts[-1])
    return b"".join(parts)


def scatter(pid: int, iov: Iterable[Iovec], data: memoryview) -> None:
    """Write `data` over the buffers, one after the other."""
    for each in iov:
        if not data:
            return
        part = data[: each.length]
        tracee.write(pid, each.base, part)
        data = data[len(part) :]


def read_cmsgs(pid: int, message: MsgHdr) -> list[Cmsg]:
    """EINVAL for a message that is longer than what is left."""
    data, found, at = tracee.read(pid, message.control, message.control_bytes), [], 0
    while at + _CMSGHDR.size <= len(data):
        length, level, kind = _CMSGHDR.unpack_from(data, at)
        if length < _CMSGHDR.size or at + length > len(data):
            raise OSError(errno.EINVAL, f"a control message of {length} bytes at byte {at} of {len(data)}")
        found.append((level, kind, data[at + _CMSGHDR.size : at + length]))
        at += length + 7 & ~7
    return found


def write_message(pid: int, message: MsgHdr, cmsgs: Sequence[Cmsg], flags: int, name: bytes = b"") -> None:
    """What recvmsg leaves in the caller's msghdr: control messages as far as there is room, which its caller
    has seen to, the lengths, the flags."""
    packed = b""
    for level, kind, body in cmsgs:
        whole = _CMSGHDR.pack(uapi.cmsg_len(len(body)), level, kind) + body
        packed += whole.ljust(uapi.cmsg_space(len(body)), b"\0")
    packed = packed[: message.control_bytes]
    tracee.write(pid, message.control, packed)
    if message.name:
        tracee.write(pid, message.name, name[: message.name_bytes])
    tracee.write(pid, message.at + _NAMELEN_AT, INT.pack(len(name)))
    tracee.write(pid, message.at + _CONTROLLEN_AT, struct.pack("=Q", len(packed)))
    tracee.write(pid, message.at + _FLAGS_AT, INT.pack(flags))

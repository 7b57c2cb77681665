"""Control messages: from and to Python's (level, type, body).

In: the arguments of sendmsg, the replies to recvmsg. Out: a dma-buf's id and ranges for the request, control
messages for the application. Owns nothing.
Source: __sock_cmsg_send (net/core/sock.c), put_cmsg (net/core/scm.c), ip_recv_error and ipv6_recv_error
(net/ipv4/ip_sockglue.c, net/ipv6/datagram.c).
"""

from __future__ import annotations

import errno
import operator
import socket
import struct
from collections.abc import Iterable
from socket import AF_INET6
from typing import Any

from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import Completion

Ancillary = tuple[int, int, bytes]
_CMSG_BYTES = uapi.DMABUF_CMSG.size
_DMABUF, _LINEAR = uapi.SCM_DEVMEM_DMABUF, uapi.SCM_DEVMEM_LINEAR
_NO_ID = bytes(4)  # dmabuf_cmsg.dmabuf_id, bytes 16 to 19: it marks SCM_DEVMEM_LINEAR
_SOCKADDR, _SOCKADDR6 = struct.Struct("=HH4s8x"), struct.Struct("=HHI16sI")  # sockaddr_in, sockaddr_in6


def of_sendmsg(ancdata: Iterable[tuple[int, int, Any]]) -> tuple[int, int]:
    """The id in the last SCM_DEVMEM_DMABUF, 0 without one; the flags of the last SO_TIMESTAMPING, -1 without
    one. Messages of other levels are ignored, and those that mean something on AF_UNIX alone."""
    found, tsflags = 0, -1
    for level, kind, body in ancdata:
        if level != uapi.SOL_SOCKET or kind in (socket.SCM_RIGHTS, socket.SCM_CREDENTIALS):
            continue
        if kind == uapi.SO_TIMESTAMPING:
            if len(body) != uapi.TX_DMABUF_ID.size:
                raise OSError(errno.EINVAL, f"SO_TIMESTAMPING of {len(body)} bytes: give a u32")
            (tsflags,) = uapi.TX_DMABUF_ID.unpack(body)
            continue
        if kind != uapi.SCM_DEVMEM_DMABUF:
            raise OSError(errno.EINVAL, f"control message {kind} of SOL_SOCKET is not known")
        if len(body) != uapi.TX_DMABUF_ID.size:
            raise OSError(errno.EINVAL, f"SCM_DEVMEM_DMABUF of {len(body)} bytes: give a u32")
        (found,) = uapi.TX_DMABUF_ID.unpack(body)
    return found, tsflags


def dmabuf_range(pair: Any) -> tuple[int, int]:
    """An (offset, length) as struct iovec has them. Raises OSError EFAULT for an ordinary buffer, whose
    address would be an offset; TypeError for another pair; OverflowError for what a u64 cannot hold."""
    if not isinstance(pair, tuple | list):
        raise OSError(errno.EFAULT, "a dma-buf is sent from by (offset, length) pairs")
    try:
        offset, length = map(operator.index, pair)
    except (TypeError, ValueError):
        raise TypeError(f"{pair}: a range of a dma-buf is (offset, length), two integers") from None
    if not (0 <= offset < 1 << 64 and -(1 << 63) <= length < 1 << 64):
        raise OverflowError(f"{pair}: a range of a dma-buf has 64 bits each")
    return offset, length


def received(cmsgs: bytes, control: Iterable[Ancillary], ancbufsize: int) -> tuple[list[Ancillary], int]:
    """The control messages of a recvmsg, one for each struct dmabuf_cmsg, then `control` as far as there is
    room; and recvmsg's flags."""
    bodies = [cmsgs[at : at + _CMSG_BYTES] for at in range(0, len(cmsgs), _CMSG_BYTES)]
    messages = [(uapi.SOL_SOCKET, _LINEAR if body[16:20] == _NO_ID else _DMABUF, body) for body in bodies]
    if not control:
        return messages, 0
    others, flags = _put(control, ancbufsize - len(messages) * uapi.cmsg_space(_CMSG_BYTES))
    return messages + others, flags


def completion(event: Completion, family: int, ancbufsize: int) -> tuple[list[Ancillary], int]:
    """The control messages of a read with MSG_ERRQUEUE, as far as `ancbufsize` has room, and recvmsg's
    flags."""
    level, kind = uapi.SOL_IP, uapi.IP_RECVERR
    if family == AF_INET6:
        level, kind = uapi.SOL_IPV6, uapi.IPV6_RECVERR
    report = level, kind, event.extended_err + _sockaddr(event.offender, family)
    messages, flags = _put([*event.control, report], ancbufsize)
    return messages, flags | uapi.MSG_ERRQUEUE


def _sockaddr(address: str, family: int) -> bytes:
    """struct sockaddr_in or sockaddr_in6 with port 0; all 0 without an address."""
    if not address:
        return bytes((_SOCKADDR6 if family == AF_INET6 else _SOCKADDR).size)
    packed = socket.inet_pton(family, address)
    if family == AF_INET6:
        return _SOCKADDR6.pack(family, 0, 0, packed, 0)
    return _SOCKADDR.pack(family, 0, packed)


def _put(messages: Iterable[Ancillary], room: int) -> tuple[list[Ancillary], int]:
    """put_cmsg: a message for which there is too little room is cut, or left out, and MSG_CTRUNC says so."""
    put: list[Ancillary] = []
    flags = 0
    for level, kind, body in messages:
        fits = room - uapi.cmsg_len(0)
        if fits < len(body):
            flags = uapi.MSG_CTRUNC
        if fits >= 0:
            put.append((level, kind, body[:fits]))
            room -= uapi.cmsg_space(len(body))
    return put, flags

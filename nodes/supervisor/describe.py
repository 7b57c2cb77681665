"""Arguments of socket calls as strace(1) writes them.

In: numbers and Python values. Out: text. Owns nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable

from nodes.supervisor.layouts import Address, Cmsg, Iovec
from nodes.uapi import socket as uapi


def _names(prefix: str) -> dict[int, str]:
    """Constants of Python's socket module and of nodes.uapi.socket, by value."""
    found = {value: name for name, value in vars(uapi).items() if re.match(prefix, name)}
    return {int(value): name for name, value in vars(socket).items() if re.match(prefix, name)} | found


_FAMILIES, _TYPES, _PROTOCOLS = _names("AF_"), _names("SOCK_(STREAM|DGRAM|RAW)"), _names("IPPROTO_")
_LEVELS = {uapi.SOL_SOCKET: "SOL_SOCKET", uapi.IPPROTO_TCP: "SOL_TCP", 0: "SOL_IP", uapi.SOL_IPV6: "SOL_IPV6"}
_OPTIONS = {
    uapi.SOL_SOCKET: _names("SO_(?!EE_)"),
    uapi.IPPROTO_TCP: _names("TCP_(?!CM_)"),
    uapi.SOL_IP: _names("IP_(?!PMTU)"),
    uapi.SOL_IPV6: _names("IPV6_"),
}
_FLAGS = _names("MSG_(?!CMSG|ERRQUEUE$)") | {uapi.MSG_ERRQUEUE: "MSG_ERRQUEUE"}
_SHOWN_BYTES = 32


def kind(family: int, kind_and_flags: int, protocol: int) -> list[str]:
    """The arguments of socket()."""
    kinds = [_TYPES.get(kind_and_flags & 0xF, str(kind_and_flags & 0xF))]
    kinds += ["SOCK_CLOEXEC"] * bool(kind_and_flags & socket.SOCK_CLOEXEC)
    kinds += ["SOCK_NONBLOCK"] * bool(kind_and_flags & socket.SOCK_NONBLOCK)
    return [_FAMILIES.get(family, str(family)), "|".join(kinds), _PROTOCOLS.get(protocol, str(protocol))]


def address(end: Address, family: int) -> str:
    host, port = end[:2]
    if family == socket.AF_INET6:
        return f'{{sa_family=AF_INET6, sin6_port=htons({port}), inet_pton(AF_INET6, "{host}")}}'
    return f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{host}")}}'


def option(level: int, number: int) -> list[str]:
    """Level and name of an option."""
    names = _OPTIONS.get(level, {})
    return [_LEVELS.get(level, str(level)), names.get(number, str(number))]


def value(level: int, number: int, data: bytes) -> str:
    """Of an option: tokens, a number, or bytes."""
    if (level, number) == (uapi.SOL_SOCKET, uapi.SO_DEVMEM_DONTNEED):
        whole = len(data) - len(data) % uapi.DMABUF_TOKEN.size
        tokens = uapi.DMABUF_TOKEN.iter_unpack(data[:whole])
        return _list(f"{{token_start={start}, token_count={count}}}" for start, count in tokens)
    return f"[{int.from_bytes(data, 'little', signed=True)}]" if len(data) == 4 else text(data)


def text(data: bytes) -> str:
    """The first bytes of a buffer."""
    shown = "".join(_character(byte) for byte in data[:_SHOWN_BYTES])
    return f'"{shown}"' + ("..." if len(data) > _SHOWN_BYTES else "")


def _character(byte: int) -> str:
    escapes = {10: "\\n", 13: "\\r", 9: "\\t", 34: '\\"', 92: "\\\\"}
    return escapes.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:o}")


def flags(number: int) -> str:
    known = [name for bit, name in sorted(_FLAGS.items()) if number & bit]
    rest = number & ~sum(bit for bit in _FLAGS if number & bit)
    return "|".join([*known, *([f"{rest:#x}"] if rest else [])]) or "0"


def message(iov: Iterable[Iovec], cmsgs: Iterable[Cmsg], msg_flags: int | None = None) -> str:
    """struct msghdr. An iov_base of a dma-buf is an offset."""
    vectors = _list(f"{{iov_base={each.base:#x}, iov_len={each.length}}}" for each in iov)
    parts = [f"msg_iov={vectors}"]
    if control := [_cmsg(*each) for each in cmsgs]:
        parts.append(f"msg_control={_list(control)}")
    if msg_flags is not None:
        parts.append(f"msg_flags={flags(msg_flags)}")
    return "{" + ", ".join(parts) + "}"


def _cmsg(level: int, number: int, body: bytes) -> str:
    names = option(level, number)
    if level == uapi.SOL_SOCKET and number in (uapi.SCM_DEVMEM_DMABUF, uapi.SCM_DEVMEM_LINEAR):
        names[1] = names[1].replace("SO_", "SCM_")
        if len(body) == uapi.DMABUF_CMSG.size:
            frag = uapi.DmabufCmsg(*uapi.DMABUF_CMSG.unpack(body))
            shown = ", ".join(f"{name}={number}" for name, number in frag._asdict().items())
        else:
            shown = f"dmabuf_id={int.from_bytes(body[:4], 'little')}"
    elif names[1].endswith("RECVERR") and len(body) >= uapi.EXTENDED_ERR.size:
        error = uapi.ExtendedErr(*uapi.EXTENDED_ERR.unpack_from(body))
        shown = ", ".join(f"{name}={number}" for name, number in error._asdict().items() if name != "ee_pad")
    else:
        shown = f"cmsg_data={text(body)}"
    return f"{{cmsg_level={names[0]}, cmsg_type={names[1]}, {shown}}}"


def _list(items: Iterable[str]) -> str:
    return "[" + ", ".join(items) + "]"

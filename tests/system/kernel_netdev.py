"""This machine's kernel asked over generic netlink: the netdev family's do and dump, and what it answers.

In: operations and attributes by the names of netdev.yaml. Out: an errno, 0 for success. Owns the socket of
each question. Source: netlink(7), include/uapi/linux/netdev.h, include/uapi/linux/genetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

NETLINK_GENERIC = 16
_GENL_ID_CTRL, _CTRL_GETFAMILY, _CTRL_NAME, _CTRL_ID = 16, 3, 2, 1
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_COMMANDS = {
    "dev-get": 1, "page-pool-get": 5, "page-pool-stats-get": 9, "queue-get": 10, "napi-get": 11,
    "qstats-get": 12, "bind-rx": 13, "bind-tx": 15,
}  # fmt: skip
_POOL = {"id": 1, "ifindex": 2}
_DMABUF = {"ifindex": 1, "queues": 2, "fd": 3, "colour": 77}
_ATTRIBUTES: dict[str, dict[str, int]] = {
    "dev-get": {"ifindex": 1},
    "page-pool-get": _POOL,
    "page-pool-stats-get": {"info": 1},
    "queue-get": {"id": 1, "ifindex": 2, "type": 3},
    "napi-get": {"ifindex": 1, "id": 2},
    "qstats-get": {"ifindex": 1, "scope": 4},
    "bind-rx": _DMABUF,
    "bind-tx": _DMABUF,
}
_NESTS = {"info": _POOL, "queues": {"id": 1, "ifindex": 2, "type": 3, "colour": 77}}


class NoFamily(RuntimeError):
    """This kernel does not know the netdev family."""


def ask(operation: str, mode: str, attributes: dict[str, Any]) -> int:
    """The errno of one request. A string stands for an attribute of another length than its type's."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as sock:
        sock.settimeout(5)
        sock.bind((0, 0))
        family = _family(sock)
        flags = _REQUEST | (_DUMP if mode == "dump" else _ACK)
        payload = _encode(attributes, _ATTRIBUTES[operation])
        return _exchange(sock, family, flags, struct.pack("=BBH", _COMMANDS[operation], 1, 0) + payload)[0]


def _family(sock: socket.socket) -> int:
    request = struct.pack("=BBH", _CTRL_GETFAMILY, 1, 0) + _attribute(_CTRL_NAME, b"netdev\0")
    number, replies = _exchange(sock, _GENL_ID_CTRL, _REQUEST | _ACK, request)
    if number:
        raise NoFamily(f"the kernel has no netdev family: {errno.errorcode[number]}")
    body = replies[0][4:]
    while body:
        length, kind = struct.unpack_from("=HH", body)
        if kind == _CTRL_ID:
            return int(struct.unpack_from("=H", body, 4)[0])
        body = body[length + 3 & ~3 :]
    raise NoFamily("the kernel names no id of the netdev family")


def _exchange(sock: socket.socket, kind: int, flags: int, payload: bytes) -> tuple[int, list[bytes]]:
    """The errno and the replies before it."""
    sock.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags, 1, 0) + payload)
    replies: list[bytes] = []
    while True:
        data = sock.recv(1 << 16)
        while data:
            length, got, _, _, _ = _HEADER.unpack_from(data)
            body, data = data[_HEADER.size : length], data[length + 3 & ~3 :]
            if got in (_ERROR, _DONE):
                return -struct.unpack_from("=i", body)[0], replies
            replies.append(body)


def _encode(attributes: dict[str, Any], numbers: dict[str, int]) -> bytes:
    encoded = b""
    for name, value in attributes.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                encoded += _attribute(numbers[name] | _NESTED, _encode(each, _NESTS[name]))
            else:
                data = each.encode()[:2] if isinstance(each, str) else struct.pack("=I", each)
                encoded += _attribute(numbers[name], data)
    return encoded


def _attribute(number: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, number) + data.ljust(length - 4 + 3 & ~3, b"\0")

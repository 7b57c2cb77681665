"""policies.py: the types of the attributes that requests to netdev and ethtool may have, as JSON.

In: what nlctrl answers to this program. Out: "family command policy.attribute": type. Source:
NL_POLICY_TYPE_ATTR_TYPE (include/uapi/linux/netlink.h).
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator

COMMANDS = {"netdev": (1, 5, 10, 11, 13, 15), "ethtool": (1, 11, 12, 15, 16, 17, 18, 38)}
GETPOLICY, POLICY, TYPE = 10, 8, 1


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, number = struct.unpack_from("=HH", data)
        yield number & 0x3FFF, data[4:length]
        data = data[length + 3 & ~3 :]


def attribute(number: int, payload: bytes) -> bytes:
    whole = struct.pack("=HH", 4 + len(payload), number) + payload
    return whole.ljust(len(whole) + 3 & ~3, b"\0")


def replies(sock: socket.socket, family: str, command: int) -> Iterator[tuple[int, bytes]]:
    body = attribute(2, family.encode() + b"\0") + attribute(10, struct.pack("=I", command))
    sock.send(struct.pack("=IHHIIBBH", 20 + len(body), 16, 0x301, 1, 0, GETPOLICY, 1, 0) + body)
    while True:
        data = sock.recv(65536)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind in (2, 3):
                return
            yield from attributes(data[20:length])
            data = data[length + 3 & ~3 :]


def main() -> None:
    types: dict[str, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as sock:
        for family, commands in COMMANDS.items():
            for command in commands:
                told = [payload for number, payload in replies(sock, family, command) if number == POLICY]
                for policy, rules in (each for payload in told for each in attributes(payload)):
                    for number, rule in attributes(rules):
                        name = f"{family} {command} {policy}.{number}"
                        types[name] = struct.unpack("=I", dict(attributes(rule))[TYPE])[0]
    print(json.dumps(types))


main()

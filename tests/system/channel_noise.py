"""A process that talks nonsense to an endpoint: `python -m tests.system.channel_noise CHANNEL SEED COUNT`.

In: the channel's path. Out: COUNT frames in it, from random bytes to requests of the right shape with random
values, descriptors with some; how many were answered. Owns its connections, made anew every few frames.
"""

from __future__ import annotations

import array
import os
import random
import socket
import sys
import typing

import msgspec

from nodes.uapi import netlink
from nodes.uapi.syscalls import AnyRequest

FRAMES_A_CONNECTION = 25
_NUMBERS = [0, 1, 7, 64, -1, 4096, 7000, 1 << 20, 1 << 31, 1 << 63, (1 << 64) - 1]
_TEXTS = ["", "rx", "10.0.1.2", "255.255.255.255", "::1", "x" * 300, "netdev", "ethtool", "\0"]
REQUESTS = typing.get_args(AnyRequest)


def frame(chance: random.Random) -> bytes:
    """One packet for the channel."""
    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.randrange(1, 300))
    request = chance.choice(REQUESTS)
    fields = [_value(field.type, chance) for field in msgspec.structs.fields(request)]
    if request.__name__ == "Netlink":
        family, operation, mode = chance.choice(sorted(netlink.OPERATIONS))
        fields = [family, operation, _attributes(chance), mode == "dump"]
    if kind < 0.2 and fields:
        fields[chance.randrange(len(fields))] = chance.choice([None, [], "x", -1, 1.5, True])
    encoded = msgspec.msgpack.encode([request.__name__, *fields])
    return encoded[: chance.randrange(len(encoded)) or 1] if kind > 0.95 else encoded


def _attributes(chance: random.Random) -> dict[str, object]:
    names = ["ifindex", "fd", "id", "type", "queues", "queue", "rx", "context", "indir", "info", "dst-port"]
    values = [*_NUMBERS, *_TEXTS, [{"id": 1, "type": "rx"}], {"id": 1}, [], None]
    return {chance.choice(names): chance.choice(values) for _ in range(chance.randrange(4))}


def _value(kind: object, chance: random.Random) -> object:
    """Of the type of a field; a wait is short."""
    text = str(kind)
    if "bool" in text:
        return chance.random() < 0.5
    if "float" in text:
        return chance.choice([0.0, 0.01])
    if "tuple" in text:
        return [[chance.choice(_NUMBERS), chance.choice(_NUMBERS)] for _ in range(chance.randrange(3))]
    if "Span" in text:
        return chance.choice([None, [1, 0, 100]])
    if "bytes" in text:
        return chance.randbytes(chance.choice([0, 4, 8, 24, 2000]))
    return chance.choice(_TEXTS if "str" in text else _NUMBERS)


def main(path: str, seed: int, count: int) -> None:
    chance = random.Random(seed)
    descriptors = [0, os.memfd_create("dmabuf"), os.memfd_create("user-memory")]
    answered = 0
    for first in range(0, count, FRAMES_A_CONNECTION):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(path)
            sock.settimeout(0.2)
            for _ in range(min(FRAMES_A_CONNECTION, count - first)):
                answered += _say(sock, chance, descriptors)
    print(answered)


def _say(sock: socket.socket, chance: random.Random, descriptors: list[int]) -> bool:
    """Whether there was an answer; many are not waited for, some block."""
    fds = array.array("i", chance.choices(descriptors, k=chance.randrange(1, 6)))
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if chance.random() < 0.2 else []
    try:
        sock.sendmsg([frame(chance)], control, socket.MSG_DONTWAIT)
        return chance.random() < 0.3 and len(sock.recv(1 << 18)) > 0
    except (BlockingIOError, TimeoutError, ConnectionError):
        return False


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""Requests as a program sends them, and what it gets.

In: a family, a command, attributes. Out: the replies taken apart. Owns nothing.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from nodes.supervisor.netlink.attributes import STRING, U32, Attribute, Values, aligned, decode, encode
from nodes.supervisor.netlink.families import FAMILIES, Operation
from nodes.supervisor.netlink.genetlink import Answers, answer
from nodes.supervisor.netlink.nlmsg import Address

REQUEST, MULTI, ACK, DUMP = 1, 2, 4, 0x300
EXTACK = {
    "msg": Attribute(1, STRING),
    "offs": Attribute(2, U32),
    "miss-type": Attribute(5, U32),
    "miss-nest": Attribute(6, U32),
}
TALKATIVE = Address(4711, ext_ack=True)


class Message(NamedTuple):
    """`body`: behind the netlink header."""

    type: int
    flags: int
    seq: int
    port: int
    body: bytes


class Said(NamedTuple):
    """`error`: of the acknowledgement or the end of the dump; None without any."""

    replies: list[Values]
    error: int | None
    extack: Values


def operation_of(family: str, name: str) -> tuple[int, Operation]:
    for each in FAMILIES:
        for operation in each.operations.values():
            if (each.name, operation.name) == (family, name):
                return each.id, operation
    raise AssertionError(f"{family} has no {name}")


def request(number: int, command: int, attributes: bytes = b"", flags: int = ACK, seq: int = 9) -> bytes:
    head = struct.pack("=IHHIIBBH", 20 + len(attributes), number, flags | REQUEST, seq, 0, command, 1, 0)
    return head + attributes


def messages(datagrams: list[bytes]) -> list[Message]:
    found = []
    for data in datagrams:
        while data:
            length, kind, flags, seq, port = struct.unpack_from("=IHHII", data)
            found.append(Message(kind, flags, seq, port, data[16:length]))
            data = data[aligned(length) :]
    return found


def ask(
    answers: Answers,
    family: str,
    name: str,
    values: Values | bytes,
    flags: int = ACK,
    to: Address = TALKATIVE,
) -> Said:
    """A request, answered by `answers`."""
    number, operation = operation_of(family, name)
    attributes = values if isinstance(values, bytes) else encode(values, operation.attributes)
    replies, error, extack = [], None, {}
    for each in messages(answer(request(number, operation.command, attributes, flags), to, answers)):
        assert (each.seq, each.port) == (9, to.port)
        if each.type in (2, 3):
            error = -struct.unpack_from("=i", each.body)[0]
            if each.flags & 0x200:  # NLM_F_ACK_TLVS
                echo = 0 if each.type == 3 else 16 if each.flags & 0x100 else 20 + len(attributes)
                extack = decode(each.body[4 + echo :], EXTACK)[0]
        else:
            assert (each.type, each.body[0]) == (number, operation.reply)
            replies.append(decode(each.body[4:], operation.attributes)[0])
    return Said(replies, error, extack)


def nobody(*asked: Any) -> list[Values]:
    raise AssertionError(f"nobody is to be asked {asked}")

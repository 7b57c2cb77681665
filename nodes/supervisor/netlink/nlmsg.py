"""Netlink messages: headers, acknowledgements and what they say of a refusal (extack).

In: datagrams of a program, answers. Out: messages, datagrams. Owns nothing.
Source: include/uapi/linux/{netlink,genetlink}.h, netlink_ack and netlink_rcv_skb (net/netlink/af_netlink.c).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nodes.supervisor.netlink.attributes import STRING, U32, Attribute, aligned, encode

NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK = 0x01, 0x02, 0x04
NLM_F_DUMP = 0x300
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
ERROR, DONE = 2, 3
FIRST_FAMILY = 0x10  # NLMSG_MIN_TYPE: below are messages of netlink itself
_NLMSGHDR = struct.Struct("=IHHII")  # nlmsg_len, type, flags, seq, pid
_GENLMSGHDR = struct.Struct("=BBH")  # cmd, version, reserved
HEADERS_BYTES = _NLMSGHDR.size + _GENLMSGHDR.size
_ERRNO = struct.Struct("=i")
_DUMP_BYTES = 3776  # NLMSG_GOODSIZE: a dump's datagrams fit into a page, whatever the receiver's buffer
_EXTACK = {
    "msg": Attribute(1, STRING),
    "offs": Attribute(2, U32),
    "miss-type": Attribute(5, U32),
    "miss-nest": Attribute(6, U32),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A message from the program, or to it. `whole`: with its header."""

    whole: bytes
    type: int
    flags: int
    seq: int

    @property
    def command(self) -> int | None:
        """None when it is too short to have one."""
        return self.whole[_NLMSGHDR.size] if len(self.whole) >= HEADERS_BYTES else None

    @property
    def attributes(self) -> bytes:
        return self.whole[HEADERS_BYTES:]

    @property
    def body(self) -> bytes:
        """Behind the netlink header."""
        return self.whole[_NLMSGHDR.size :]

    @property
    def port(self) -> int:
        return int(_NLMSGHDR.unpack_from(self.whole)[4])

    @property
    def dump(self) -> bool:
        return self.flags & NLM_F_DUMP == NLM_F_DUMP


class Refused(NamedTuple):
    """errno, 0 for none, and what extack says: a sentence, the offset of the attribute that is wrong, or the
    number of the one that is missing and the offset of the nest it is missing in."""

    errno: int = 0
    message: str = ""
    offset: int | None = None
    miss_type: int | None = None
    miss_nest: int | None = None

    def _packed(self) -> bytes:
        said = {
            "msg": self.message or None,
            "offs": self.offset,
            "miss-type": self.miss_type,
            "miss-nest": self.miss_nest,
        }
        return encode({name: value for name, value in said.items() if value is not None}, _EXTACK)


class Address(NamedTuple):
    """Of a netlink socket: its port id, and what it wants acknowledgements to have (NETLINK_CAP_ACK,
    NETLINK_EXT_ACK)."""

    port: int
    cap_ack: bool = False
    ext_ack: bool = False


def requests(datagram: bytes) -> Iterator[Request]:
    """What does not look like a message ends the datagram, silently."""
    at = 0
    while at + _NLMSGHDR.size <= len(datagram):
        length, kind, flags, seq, _ = _NLMSGHDR.unpack_from(datagram, at)
        if not _NLMSGHDR.size <= length <= len(datagram) - at:
            return
        yield Request(datagram[at : at + length], kind, flags, seq)
        at += aligned(length)


def reply(request: Request, to: Address, command: int, version: int, attributes: bytes, flags: int) -> bytes:
    body = _GENLMSGHDR.pack(command, version, 0) + attributes
    return message(request.type, flags, request.seq, to.port, body)


def notification(family: int, command: int, version: int, attributes: bytes) -> bytes:
    """Of a multicast group: nobody has asked for it."""
    return message(family, 0, 0, 0, _GENLMSGHDR.pack(command, version, 0) + attributes)


def ack(request: Request, to: Address, refused: Refused) -> bytes:
    """NLMSG_ERROR, with errno 0 where there is none."""
    flags, body = 0, _ERRNO.pack(-refused.errno)
    if refused.errno and not to.cap_ack:
        body += request.whole.ljust(aligned(len(request.whole)), b"\0")
    else:
        flags |= _NLM_F_CAPPED
        body += request.whole[: _NLMSGHDR.size]
    if to.ext_ack and (said := refused._packed()):
        flags |= _NLM_F_ACK_TLVS
        body += said
    return message(ERROR, flags, request.seq, to.port, body)


def done(request: Request, to: Address, refused: Refused) -> bytes:
    """The end of a dump."""
    flags, body = NLM_F_MULTI, _ERRNO.pack(-refused.errno)
    if to.ext_ack and (said := refused._packed()):
        flags |= _NLM_F_ACK_TLVS
        body += said
    return message(DONE, flags, request.seq, to.port, body)


def datagrams(messages: list[bytes]) -> list[bytes]:
    """A dump's messages, several to a datagram."""
    packed: list[bytes] = []
    for each in messages:
        if packed and len(packed[-1]) + len(each) <= _DUMP_BYTES:
            packed[-1] += each
        else:
            packed.append(each)
    return packed


def message(kind: int, flags: int, seq: int, port: int, body: bytes) -> bytes:
    """Behind the netlink header: `body`."""
    length = _NLMSGHDR.size + len(body)
    return (_NLMSGHDR.pack(length, kind, flags, seq, port) + body).ljust(aligned(length), b"\0")

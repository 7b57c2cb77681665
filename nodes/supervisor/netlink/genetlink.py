"""Generic netlink: a program's requests find their family and operation, and are answered or refused.

In: datagrams of a program; who answers an operation (`Answers`). Out: datagrams. Owns nothing.
Source: genl_rcv_msg and ctrl_getfamily (net/netlink/genetlink.c), netlink_rcv_skb (net/netlink/af_netlink.c).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from nodes.supervisor.netlink import nlmsg, policy
from nodes.supervisor.netlink.attributes import Attributes, Nest, Places, Values, decode, encode
from nodes.supervisor.netlink.families import FAMILIES, NLCTRL_ID, Family, Operation
from nodes.supervisor.netlink.nlmsg import Address, Refused, Request

# What answers an operation of a family: the replies' attributes. Raises OSError, with the path of the
# attribute that is wrong as its `attribute`.
Answers = Callable[[str, str, Values, bool], list[Values]]

_CAN_DO, _CAN_DUMP, _HAS_POLICY = 0x02, 0x04, 0x08  # GENL_CMD_CAP_*
_BY_ID = {family.id: family for family in FAMILIES}


class Refusal(OSError):
    """`attribute`: the path of the one that is wrong, "" for none."""

    def __init__(self, number: int, message: str = "", attribute: str = "") -> None:
        super().__init__(number, message)
        self.attribute = attribute


def answer(datagram: bytes, to: Address, answers: Answers) -> list[bytes]:
    """What the program gets for a datagram, in order."""
    received = []
    for request in nlmsg.requests(datagram):
        if request.flags & nlmsg.NLM_F_REQUEST and request.type >= nlmsg.FIRST_FAMILY:
            received += _served(request, to, answers)
        elif request.flags & nlmsg.NLM_F_ACK:
            received.append(nlmsg.ack(request, to, Refused()))
    return received


def described(datagram: bytes) -> str:
    """The requests of a datagram by name, for strace."""
    return ", ".join(map(_named, nlmsg.requests(datagram)))


def _named(request: Request) -> str:
    mode = "dump" if request.dump else "do"
    try:
        family, operation = _find(request)
    except Refusal:
        return f"{mode} command {request.command} of family {request.type:#x}"
    return f"{mode} {family.name} {operation.name}"


def _served(request: Request, to: Address, answers: Answers) -> list[bytes]:
    try:
        family, operation = _find(request)
    except Refusal as e:
        return [nlmsg.ack(request, to, _refused(e, {}, {}))]
    places = Places()
    try:
        values, places = decode(request.attributes, operation.attributes, nlmsg.HEADERS_BYTES)
        if family.id == NLCTRL_ID:
            answers = _nlctrl
        replies = answers(family.name, operation.name, values, request.dump)
    except OSError as e:
        refused = _refused(e, operation.attributes, places)
        if request.dump and family.name == "netdev" and e.errno == errno.ENODEV:  # the dump has begun by then
            return [nlmsg.done(request, to, refused)]
        return [nlmsg.ack(request, to, refused)]
    flags = nlmsg.NLM_F_MULTI if request.dump else 0
    messages = [
        nlmsg.reply(request, to, operation.reply, family.version, encode(each, operation.attributes), flags)
        for each in replies
    ]
    if request.dump:
        return nlmsg.datagrams([*messages, nlmsg.done(request, to, Refused())])
    return messages + [nlmsg.ack(request, to, Refused())] * bool(request.flags & nlmsg.NLM_F_ACK)


def _find(request: Request) -> tuple[Family, Operation]:
    """ENOENT, EINVAL, EOPNOTSUPP."""
    family = _BY_ID.get(request.type)
    if family is None:
        raise Refusal(errno.ENOENT)
    if request.command is None:
        raise Refusal(errno.EINVAL)
    operation = family.operations.get(request.command)
    if operation is None or ("dump" if request.dump else "do") not in operation.modes:
        raise Refusal(errno.EOPNOTSUPP)
    return family, operation


# --- refusals


def _refused(e: OSError, attributes: Attributes, places: Places) -> Refused:
    number, path = e.errno or errno.EIO, getattr(e, "attribute", "")
    message = "" if e.strerror in (None, os.strerror(number)) else str(e.strerror)
    while path.endswith("]") and path not in places:  # an element of an array that is one attribute
        path = path.rpartition("[")[0]
    if path in places or not path:
        return Refused(number, message, places.get(path))
    missing = _number(attributes, path.split("."))
    return Refused(number, message, None, missing, places.get(path.rpartition(".")[0]))


def _number(attributes: Attributes, path: list[str]) -> int | None:
    """Of the attribute at `path`; None where there is none."""
    found = attributes.get(path[0].partition("[")[0])
    if found is None or not path[1:]:
        return found.number if found else None
    return _number(found.kind.attributes, path[1:]) if isinstance(found.kind, Nest) else None


# --- nlctrl


def _nlctrl(_: str, operation: str, values: Values, dump: bool) -> list[Values]:
    if dump and operation == "getfamily":
        return [_described(family) for family in FAMILIES]
    name, number = values.get("family-name"), values.get("family-id")
    if name is None and number is None:
        raise Refusal(errno.EINVAL)
    for family in FAMILIES:
        if number == family.id or (number is None and name == family.name):
            if operation == "getpolicy":
                return _policies(family, values.get("op"))
            return [_described(family)]
    raise Refusal(errno.ENOENT)


def _policies(family: Family, command: int | None) -> list[Values]:
    """Of one operation, or of all. ENOENT, and ENODATA for an operation without attributes."""
    if command is not None and command not in family.operations:
        raise Refusal(errno.ENOENT, attribute="op")
    wanted = [each for each in family.operations.values() if command in (None, each.command)]
    if not (found := policy.replies(family, wanted)):
        raise Refusal(errno.ENODATA)
    return found


def _described(family: Family) -> Values:
    """In the kernel's order. No family has a header of its own, nor one policy for all operations."""
    ops = [{"id": each.command, "flags": _op_flags(each)} for each in family.operations.values()]
    return {
        "family-name": family.name,
        "family-id": family.id,
        "version": family.version,
        "hdrsize": 0,
        "maxattr": 0,
        "ops": ops,
        "mcast-groups": [{"id": number, "name": name} for name, number in family.groups.items()],
    }


def _op_flags(operation: Operation) -> int:
    flags = operation.admin | _HAS_POLICY
    if "do" in operation.modes:
        flags |= _CAN_DO
    return flags | _CAN_DUMP if "dump" in operation.modes else flags

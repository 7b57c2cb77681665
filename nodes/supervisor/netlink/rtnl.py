"""rtnetlink: of a host's NICs a program hears the addresses and routes that the host's stack has.

In: requests of the program to Linux, and Linux's answers; the host's NICs, answers of its rt-route family.
Out: the same answers, in which Linux's addresses and routes of these NICs are exchanged for the host's. Owns
nothing.
Links, neighbours and rules, the loopback device and interfaces that are none of the host's stay Linux's.
Source: rtnetlink(7), inet_fill_ifaddr (net/ipv4/devinet.c), inet6_fill_ifaddr (net/ipv6/addrconf.c),
fib_dump_info (net/ipv4/fib_semantics.c).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from nodes.supervisor.netlink import nlmsg
from nodes.supervisor.netlink.attributes import HEX, STRING, U32, WORDS, Attribute, Values, decode, encode
from nodes.supervisor.netlink.nlmsg import Address, Refused, Request
from nodes.uapi.nic_records import NicInfo
from nodes.uapi.rtnetlink import AF_INET, AF_INET6, RT_TABLE_MAIN, RTN_NAMES

NEWADDR, GETADDR, NEWROUTE, GETROUTE = 20, 22, 24, 26
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefixlen, flags, scope, index
_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_CLONED = 0x200  # RTM_F_CLONED
_PERMANENT = 0x80  # IFA_F_PERMANENT
_FOR_EVER = [0xFFFFFFFF, 0xFFFFFFFF, 0, 0]  # struct ifa_cacheinfo
_MULTIPATH = "9"  # RTA_MULTIPATH, under its number
_ADDRESS = {
    "address": Attribute(1, HEX),
    "local": Attribute(2, HEX),
    "label": Attribute(3, STRING),
    "broadcast": Attribute(4, HEX),
    "cacheinfo": Attribute(6, WORDS),
    "flags": Attribute(8, U32),
}
_ROUTE = {
    "dst": Attribute(1, HEX),
    "oif": Attribute(4, U32),
    "gateway": Attribute(5, HEX),
    "priority": Attribute(6, U32),
    "prefsrc": Attribute(7, HEX),
    "table": Attribute(15, U32),
}
_RTM_FIELDS = ("family", "dst-len", "src-len", "tos", "table", "protocol", "scope", "type", "flags")


@dataclass(slots=True)
class Question:
    """A request whose answer is not Linux's alone. `family` 0: both. `ifindex` 0: of all NICs. `to`: of the
    one route that is asked for. `ours`: the bodies of what the host's stack answers, and has yet to be told,
    or `refused`: why there is no such route."""

    request: Request
    family: int
    ifindex: int = 0
    to: Values = field(default_factory=dict)
    ours: list[bytes] = field(default_factory=list)
    refused: OSError | None = None
    told: bool = False

    @property
    def dump(self) -> bool:
        """Linux needs one bit of NLM_F_DUMP here."""
        return bool(self.request.flags & nlmsg.NLM_F_DUMP)


def question(request: Request) -> Question | None:
    """None for what Linux answers alone."""
    if request.type not in (GETADDR, GETROUTE) or not request.body:
        return None
    asked = Question(request, request.body[0])
    if asked.family not in (0, AF_INET, AF_INET6):
        return None
    if asked.dump:
        if request.type == GETADDR and len(request.body) >= _IFADDRMSG.size:
            asked.ifindex = _IFADDRMSG.unpack_from(request.body)[4]
        return asked
    if request.type == GETADDR or len(request.body) < _RTMSG.size:
        return None
    values = _attributes(request)
    if (to := _text(values.get("dst"))) is None or ipaddress.ip_address(to).is_loopback:
        return None
    asked.to = {"rtm-family": asked.family, "dst": to}
    if isinstance(oif := values.get("oif"), int):
        asked.to["oif"] = oif
    return asked


def _attributes(message: Request) -> Values:
    """Of a message about routes; none where they cannot be read."""
    try:
        return decode(message.body[_RTMSG.size :], _ROUTE)[0]
    except OSError:
        return {}


def _text(packed: object) -> str | None:
    try:
        return str(ipaddress.ip_address(bytes.fromhex(packed))) if isinstance(packed, str) else None
    except ValueError:
        return None


# --- what the host's stack answers


def addresses(nics: Iterable[NicInfo], family: int, ifindex: int) -> list[bytes]:
    """struct ifaddrmsg and its attributes, of each address."""
    found = []
    for nic in nics:
        for version, address, prefix in (
            (AF_INET, nic.address, nic.prefix),
            (AF_INET6, nic.address6, nic.prefix6),
        ):
            if address and family in (0, version) and ifindex in (0, nic.ifindex):
                own = ipaddress.ip_interface(f"{address}/{prefix}")
                head = _IFADDRMSG.pack(version, prefix, _PERMANENT, 0, nic.ifindex)
                found.append(head + encode(_of_address(nic, own), _ADDRESS))
    return found


def _of_address(nic: NicInfo, own: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> Values:
    packed, common = own.packed.hex(), {"flags": _PERMANENT, "cacheinfo": _FOR_EVER}
    if isinstance(own, ipaddress.IPv6Interface):
        return {"address": packed, **common}
    broadcast = own.network.broadcast_address.packed.hex()
    return {"address": packed, "local": packed, "broadcast": broadcast, "label": nic.ifname, **common}


def route(reply: Values, one: bool = False) -> bytes:
    """struct rtmsg and its attributes, of a reply of rt-route's getroute. `one`: it is no dump's."""
    kind = reply.get("rtm-type", 0)
    numbers = reply | {"rtm-type": RTN_NAMES.index(kind) if isinstance(kind, str) else kind}
    numbers["rtm-flags"] = reply.get("rtm-flags", 0) | (_CLONED if one else 0)
    attributes: Values = {"table": RT_TABLE_MAIN}
    for name in _ROUTE:
        value = reply.get(name)
        if value is not None:
            attributes[name] = ipaddress.ip_address(value).packed.hex() if isinstance(value, str) else value
    head = _RTMSG.pack(*(numbers.get(f"rtm-{name}", 0) for name in _RTM_FIELDS))
    return head + encode(attributes, _ROUTE)


# --- Linux's answers, exchanged


class Answers:
    """What a socket's program gets for its questions. `ifindexes`: of the host's NICs. A datagram of Linux
    may be looked at more than once (MSG_PEEK) before it is `taken`."""

    def __init__(self, ifindexes: frozenset[int]) -> None:
        self._ifindexes = ifindexes
        self._open: dict[int, Question] = {}

    def __bool__(self) -> bool:
        """Whether an answer is due."""
        return bool(self._open)

    def expect(self, asked: Question) -> None:
        self._open[asked.request.seq] = asked

    def before(self, datagram: bytes) -> bytes | None:
        """What the program gets before this datagram, the last of a dump; None: the datagram itself."""
        for each in nlmsg.requests(datagram):
            asked = self._open.get(each.seq)
            if asked is not None and asked.dump and each.type == nlmsg.DONE and asked.ours:
                kind = NEWADDR if asked.request.type == GETADDR else NEWROUTE
                part = partial(nlmsg.message, kind, nlmsg.NLM_F_MULTI, each.seq, each.port)
                return nlmsg.datagrams([part(body) for body in asked.ours])[0]
        return None

    def told(self, datagram: bytes) -> None:
        """The program has got this of `before`."""
        for each in nlmsg.requests(datagram):
            self._open[each.seq].ours.pop(0)

    def exchanged(self, datagram: bytes) -> bytes:
        """A datagram of Linux as the program gets it; empty: not at all."""
        return b"".join(map(self._exchanged, nlmsg.requests(datagram)))

    def _exchanged(self, message: Request) -> bytes:
        asked = self._open.get(message.seq)
        whole = message.whole.ljust(len(message.whole) + 3 & ~3, b"\0")
        if asked is None:
            return whole
        if asked.dump:
            return b"" if self._is_of_a_nic(message) else whole
        if asked.told:
            return b"" if asked.refused else whole
        if asked.refused is not None:
            return nlmsg.ack(asked.request, Address(message.port), Refused(asked.refused.errno or 0))
        answer = nlmsg.message(NEWROUTE, 0, message.seq, message.port, b"".join(asked.ours))
        if message.type == nlmsg.ERROR and asked.request.flags & nlmsg.NLM_F_ACK:
            answer += nlmsg.ack(asked.request, Address(message.port), Refused())
        return answer

    def _is_of_a_nic(self, message: Request) -> bool:
        """A route without an interface is one of the table that the host's takes the place of."""
        if message.type == NEWADDR:
            return _IFADDRMSG.unpack_from(message.body)[4] in self._ifindexes
        if message.type == NEWROUTE:
            values = _attributes(message)
            return "oif" not in values or _MULTIPATH in values or values["oif"] in self._ifindexes
        return False

    def taken(self, datagram: bytes) -> None:
        """The program has got this datagram of Linux, exchanged."""
        for each in nlmsg.requests(datagram):
            asked = self._open.get(each.seq)
            if asked is not None:
                last = each.type in (nlmsg.DONE, nlmsg.ERROR)
                asked.told = True
                if last or not (asked.dump or asked.request.flags & nlmsg.NLM_F_ACK):
                    del self._open[each.seq]

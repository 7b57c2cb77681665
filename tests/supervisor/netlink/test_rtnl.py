"""Answers about addresses and routes: of the host's NICs they are the host's stack's, the rest is Linux's."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from nodes.supervisor.netlink import nlmsg, rtnl
from nodes.supervisor.netlink.nlmsg import Request
from nodes.supervisor.netlink.rtnl import GETADDR, GETROUTE, NEWADDR, NEWROUTE, Answers, Question
from nodes.uapi.nic_records import NicInfo

NIC = NicInfo("h1-eth0", 7, 1500, "10.0.1.1", 16, "fd00::1:1", 64)
PORT, SEQ, DUMP = 4711, 5, 0x301
V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


def parsed(datagram: bytes) -> list[Request]:
    return [*nlmsg.requests(datagram)]


def asks(kind: int, body: bytes, flags: int = DUMP) -> Question | None:
    (request,) = parsed(nlmsg.message(kind, flags, SEQ, 0, body))
    return rtnl.question(request)


def expecting(asked: Question | None, *ours: bytes) -> Answers:
    assert asked is not None
    asked.ours = [*ours]
    answers = Answers(frozenset({NIC.ifindex}))
    answers.expect(asked)
    return answers


def address(ifindex: int, seq: int = SEQ) -> bytes:
    body = struct.pack("=BBBBI", V4, 16, 0, 0, ifindex) + bytes.fromhex("08000100 0a000001")
    return nlmsg.message(NEWADDR, 2, seq, PORT, body)


def route(attributes: str, kind: int = NEWROUTE, flags: int = 2) -> bytes:
    return nlmsg.message(kind, flags, SEQ, PORT, bytes([V4, 16] + [0] * 10) + bytes.fromhex(attributes))


DONE = nlmsg.message(nlmsg.DONE, 2, SEQ, PORT, bytes(4))
VIA_NIC, VIA_LO = "08000400 07000000", "08000400 01000000"


def taken(answers: Answers, *datagrams: bytes) -> Iterator[bytes]:
    """What the program gets when Linux sends these; each is looked at twice."""
    for datagram in datagrams:
        while (first := answers.before(datagram)) is not None:
            assert answers.before(datagram) == first
            answers.told(first)
            yield first
        exchanged = answers.exchanged(datagram)
        assert answers.exchanged(datagram) == exchanged
        answers.taken(datagram)
        yield exchanged


# --- which requests


@pytest.mark.parametrize(
    ("kind", "body", "flags"),
    [
        (18, bytes(16), DUMP),  # RTM_GETLINK
        (GETADDR, b"\x11" + bytes(7), DUMP),  # AF_PACKET
        (GETADDR, b"", DUMP),
        (GETADDR, bytes([V6]) + bytes(7), 1),
        (GETROUTE, bytes([V4]) + bytes(11), 1),  # of no destination
        (GETROUTE, bytes([V4, 32]) + bytes(10) + bytes.fromhex("08000100 7f000001"), 1),
        (GETROUTE, bytes([V4, 32]) + bytes(10) + bytes.fromhex("0700"), 1),
    ],
)
def test_linux_alone_answers_every_other_question(kind: int, body: bytes, flags: int) -> None:
    assert asks(kind, body, flags) is None


def test_a_dump_may_be_of_one_family_and_one_device() -> None:
    short = asks(GETADDR, bytes([V6, 0, 0, 0]))
    whole = asks(GETADDR, struct.pack("=BBBBI", V4, 0, 0, 0, 7), 0x101)
    assert short is not None
    assert whole is not None
    assert (short.family, short.ifindex, short.dump) == (V6, 0, True)
    assert (whole.family, whole.ifindex, whole.dump) == (V4, 7, True)


def test_a_route_is_asked_for_by_destination_and_device() -> None:
    attributes = bytes.fromhex("08000100 0a090101") + bytes.fromhex(VIA_NIC)
    asked = asks(GETROUTE, bytes([V4, 32]) + bytes(10) + attributes, 1)
    assert asked is not None
    assert asked.to == {"rtm-family": V4, "dst": "10.9.1.1", "oif": 7}


# --- what the host answers


def test_addresses_are_as_linux_packs_them() -> None:
    v4, v6 = rtnl.addresses([NIC], 0, 0)
    assert v4.hex(" ", -4) == (
        "02108000 07000000 08000100 0a000101 08000200 0a000101 08000400 0a00ffff"
        " 0c000300 68312d65 74683000 08000800 80000000 14000600 ffffffff ffffffff 00000000 00000000"
    )
    assert v6[:8].hex() == "0a40800007000000"
    assert rtnl.addresses([NIC], V6, 0) == [v6]
    assert rtnl.addresses([NIC], V4, 7) == [v4]
    assert rtnl.addresses([NIC], 0, 8) == []
    assert len(rtnl.addresses([NicInfo("h1-eth0", 7, 1279, "10.0.1.1", 16)], 0, 0)) == 1


def test_a_route_is_as_linux_packs_it() -> None:
    given = {"rtm-family": V4, "rtm-dst-len": 16, "rtm-table": 254, "rtm-protocol": 3, "rtm-type": "unicast",
             "dst": "10.9.0.0", "oif": 7, "gateway": "10.0.1.2", "priority": 9}  # fmt: skip
    assert rtnl.route(given).hex(" ", -4) == (
        "02100000 fe030001 00000000 08000f00 fe000000 08000100 0a090000 08000400 07000000"
        " 08000500 0a000102 08000600 09000000"
    )
    assert rtnl.route(given, one=True).hex(" ", -4).startswith("02100000 fe030001 00020000 ")


# --- the answers


def test_addresses_of_nics_are_exchanged_and_the_hosts_come_before_the_end() -> None:
    answers = expecting(asks(GETADDR, bytes(8)), b"own1", b"own2")
    first, own, end = taken(answers, address(1) + address(7), DONE)
    assert first == address(1)
    assert [(each.type, each.body, each.port) for each in parsed(own)] == [
        (NEWADDR, b"own1", PORT), (NEWADDR, b"own2", PORT),
    ]  # fmt: skip
    assert end == DONE
    assert not answers


def test_what_no_datagram_holds_comes_in_several() -> None:
    bodies = [bytes([at]) * 100 for at in range(200)]
    answers = expecting(asks(GETADDR, bytes(8)), *bodies)
    *own, end = taken(answers, DONE)
    assert [each.body for datagram in own for each in parsed(datagram)] == bodies
    assert all(len(each) <= 4096 for each in own)
    assert end == DONE


def test_a_datagram_of_nics_alone_is_empty_and_other_requests_are_untouched() -> None:
    answers = expecting(asks(GETADDR, bytes(8)))
    assert [*taken(answers, address(7), address(7, seq=6))] == [b"", address(7, seq=6)]
    assert answers


def test_routes_of_nics_and_of_no_device_are_exchanged() -> None:
    answers = expecting(asks(GETROUTE, bytes(12)), b"body")
    many = route("1c000900 1c000000 07000000" + "00" * 16)  # RTA_MULTIPATH
    mixed = route(VIA_NIC) + route(VIA_LO) + route("") + many
    first, own, end = taken(answers, mixed, DONE)
    assert (first, end) == (route(VIA_LO), DONE)
    assert [(each.type, each.body) for each in parsed(own)] == [(NEWROUTE, b"body")]


GET = bytes([V4, 32]) + bytes(10) + bytes.fromhex("08000100 0a090101")
UNREACHABLE = nlmsg.message(nlmsg.ERROR, 0, SEQ, PORT, struct.pack("=i", -errno.ENETUNREACH) + bytes(16))
ACKNOWLEDGED = nlmsg.message(nlmsg.ERROR, 0, SEQ, PORT, bytes(20))


@pytest.mark.parametrize("linux", [route(VIA_NIC), UNREACHABLE])
def test_one_route_is_the_hosts_whatever_linux_says(linux: bytes) -> None:
    answers = expecting(asks(GETROUTE, GET, 1), b"body")
    (got,) = taken(answers, linux)
    assert [(each.type, each.seq, each.port, each.body) for each in parsed(got)] == [
        (NEWROUTE, SEQ, PORT, b"body")
    ]
    assert not answers


def test_a_route_that_the_host_does_not_have_is_refused() -> None:
    asked = asks(GETROUTE, GET, 5)
    assert asked is not None
    asked.refused = OSError(errno.EHOSTUNREACH, "")
    answers = expecting(asked)
    refused, after = taken(answers, route(VIA_NIC), ACKNOWLEDGED)
    (message,) = parsed(refused)
    assert (message.type, struct.unpack_from("=i", message.body)) == (nlmsg.ERROR, (-errno.EHOSTUNREACH,))
    assert after == b""
    assert not answers


def test_an_acknowledgement_follows_where_it_is_wanted() -> None:
    kinds = []
    for linux in ([route(VIA_NIC), ACKNOWLEDGED], [UNREACHABLE]):
        answers = expecting(asks(GETROUTE, GET, 5), b"body")
        kinds.append([each.type for each in parsed(b"".join(taken(answers, *linux)))])
        assert not answers
    assert kinds == [[NEWROUTE, nlmsg.ERROR]] * 2

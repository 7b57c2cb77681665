"""Requests find their family and operation; acknowledgements and refusals are Linux's, byte by byte."""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest

from nodes.supervisor.netlink.attributes import Values
from nodes.supervisor.netlink.families import FAMILIES
from nodes.supervisor.netlink.genetlink import Refusal, answer, described
from nodes.supervisor.netlink.nlmsg import Address
from tests.supervisor.netlink.wire import ACK, DUMP, MULTI, TALKATIVE, Said, ask, messages, nobody, request

PORT = 0x2656


def of(*replies: Values) -> Any:
    return lambda *_: [*replies]


def refusing(number: int, text: str = "", attribute: str = "") -> Any:
    def refuse(*_: object) -> list[Values]:
        raise Refusal(number, text, attribute)

    return refuse


# What Linux 6.18 answers to the same requests, but for the flags of ops, which it has for policies as well
NLCTRL = (
    "88000000 1000 0000 09000000 56260000 01 02 0000"  # CTRL_CMD_NEWFAMILY
    "0b000200 6e6c6374726c0000 06000100 10000000"  # "nlctrl", 0x10
    "08000300 02000000 08000400 00000000 08000500 00000000"  # version, hdrsize, maxattr
    "2c000600 14000100 08000100 03000000 08000200 0e000000 14000200 08000100 0a000000 08000200 0c000000"
    "1c000700 18000100 08000200 10000000 0b000100 6e6f746966790000"
)
ACKNOWLEDGED = "24000000 0200 0001 09000000 56260000 00000000 20000000 1000 0500 09000000 00000000"
UNKNOWN = (
    "30000000 0200 0000 09000000 56260000 feffffff"  # ENOENT, and the request
    "1c000000 1000 0100 09000000 00000000 03010000 08000200 626c6100"
)
NAME, BLA = bytes.fromhex("0b000200 6e6c6374726c0000"), bytes.fromhex("08000200 626c6100")


@pytest.mark.parametrize(
    ("attributes", "flags", "expected"),
    [(NAME, ACK, [NLCTRL, ACKNOWLEDGED]), (NAME, 0, [NLCTRL]), (BLA, 0, [UNKNOWN])],
)
def test_nlctrl_answers_as_linux_does(attributes: bytes, flags: int, expected: list[str]) -> None:
    got = answer(request(0x10, 3, attributes, flags), Address(PORT, ext_ack=True), nobody)
    assert got == [bytes.fromhex(each) for each in expected]


def getfamily(values: Values, flags: int = ACK) -> Said:
    return ask(nobody, "nlctrl", "getfamily", values, flags)


def test_a_family_is_found_by_name_and_by_id_and_all_by_a_dump() -> None:
    names = ["nlctrl", "ethtool", "netdev"]
    dumped = getfamily({}, DUMP)
    assert [each["family-name"] for each in dumped.replies] == names
    assert dumped.error == 0
    for each in dumped.replies:
        assert getfamily({"family-name": each["family-name"]}).replies == [each]
        assert getfamily({"family-id": each["family-id"]}).replies == [each]
    netdev = dumped.replies[2]
    assert {each["id"]: each["flags"] for each in netdev["ops"]} == {
        1: 0x0E, 5: 0x0E, 9: 0x0E, 10: 0x0E, 11: 0x0E, 12: 0x0C, 13: 0x0B, 15: 0x0A,
    }  # fmt: skip
    ethtool = {each["id"]: each["flags"] for each in dumped.replies[1]["ops"]}
    assert (ethtool[15], ethtool[16]) == (0x0E, 0x1A)  # rings-get; rings-set needs CAP_NET_ADMIN
    assert {each["name"] for each in netdev["mcast-groups"]} == {"mgmt", "page-pool"}


def test_ids_of_families_and_groups_are_their_own() -> None:
    groups = [group for family in FAMILIES for group in family.groups.values()]
    assert len({family.id for family in FAMILIES}) == len(FAMILIES)
    assert len({*groups}) == len(groups)


@pytest.mark.parametrize(
    ("number", "command", "flags", "error"),
    [
        (0x10, 3, ACK, errno.EINVAL),  # getfamily of none
        (0x77, 1, ACK, errno.ENOENT),
        (0x14, 99, ACK, errno.EOPNOTSUPP),
        (0x14, 12, ACK, errno.EOPNOTSUPP),  # qstats-get is a dump
        (0x14, 13, DUMP, errno.EOPNOTSUPP),  # bind-rx is none
        (0x10, 10, ACK, errno.EOPNOTSUPP),
    ],
)
def test_what_does_not_exist_is_refused_without_a_text(
    number: int, command: int, flags: int, error: int
) -> None:
    (said,) = messages(answer(request(number, command, b"", flags), TALKATIVE, nobody))
    assert (said.type, said.flags, struct.unpack_from("=i", said.body)) == (2, 0, (-error,))
    assert said.body[4:] == request(number, command, b"", flags)


def test_a_message_without_a_command_is_refused() -> None:
    (said,) = messages(answer(struct.pack("=IHHII", 16, 0x14, 1, 9, 0), TALKATIVE, nobody))
    assert struct.unpack_from("=i", said.body) == (-errno.EINVAL,)


def test_a_dump_is_several_datagrams_that_fit_into_a_page_and_has_an_end() -> None:
    queues = [{"id": at, "type": "rx", "ifindex": 2} for at in range(200)]
    datagrams = answer(request(0x14, 10, flags=DUMP), TALKATIVE, of(*queues))
    assert len(datagrams) > 1
    assert max(map(len, datagrams)) <= 3776
    found = messages(datagrams)
    assert len(found) == 201
    assert {each.flags for each in found} == {MULTI}
    assert (found[-1].type, found[-1].body) == (3, bytes(4))
    assert ask(of(*queues), "netdev", "queue-get", {}, DUMP).replies == queues


def test_an_acknowledgement_comes_when_it_is_asked_for() -> None:
    assert ask(of(), "ethtool", "rings-set", {}, 0).error is None
    assert ask(of(), "ethtool", "rings-set", {}, ACK).error == 0


def test_each_request_of_a_datagram_is_answered() -> None:
    netlinks_own = struct.pack("=IHHII", 16, 1, 1 | ACK, 9, 0)
    no_request = struct.pack("=IHHIIBBH", 20, 0x14, ACK, 9, 0, 1, 1, 0)
    datagram = request(0x14, 1, flags=0) + netlinks_own + no_request + request(0x14, 99) + b"\x20\0\0\0"
    found = messages(answer(datagram, TALKATIVE, of({"ifindex": 2})))
    assert [each.type for each in found] == [0x14, 2, 2, 2]
    errors = [struct.unpack_from("=i", each.body)[0] for each in found[1:]]
    assert errors == [0, 0, -errno.EOPNOTSUPP]


def test_strace_shows_the_requests_by_name() -> None:
    datagram = request(0x14, 10, flags=DUMP) + request(0x15, 16) + request(0x77, 5)
    names = "dump netdev queue-get, do ethtool rings-set, do command 5 of family 0x77"
    assert described(datagram) == names
    assert described(b"") == ""


# --- what extack says: the headers are 20 bytes, ifindex and fd 8 each, the first queue 20

BIND = {"ifindex": 2, "fd": 5, "queues": [{"id": 1, "type": "rx"}, {"type": "rx"}]}


@pytest.mark.parametrize(
    ("attribute", "extack"),
    [
        ("", {}),
        ("ifindex", {"offs": 20}),
        ("queues[0]", {"offs": 36}),
        ("queues[0].type", {"offs": 48}),
        ("queues[1].id", {"miss-type": 1, "miss-nest": 56}),
        ("rx-page-size", {"miss-type": 5}),
        ("of-another-kernel", {}),
        ("queues[0].dmabuf", {"miss-type": 5, "miss-nest": 36}),
    ],
)
def test_extack_says_where_the_attribute_is_or_what_is_missing(attribute: str, extack: Values) -> None:
    said = ask(refusing(errno.EINVAL, "why", attribute), "netdev", "bind-rx", BIND)
    assert said == Said([], errno.EINVAL, {"msg": "why"} | extack)


def test_the_offset_of_an_unknown_attribute_is_told_too() -> None:
    said = ask(refusing(errno.EINVAL, "", "77"), "netdev", "dev-get", bytes.fromhex("08004d00 00000000"))
    assert said.extack == {"offs": 20}
    flags = ask(refusing(errno.EINVAL, "", "scope[0]"), "netdev", "qstats-get", {"scope": ["queue"]}, DUMP)
    assert flags.extack == {"offs": 20}


def test_without_ext_ack_there_is_the_errno_and_with_cap_ack_no_request() -> None:
    refuse = refusing(errno.EINVAL, "why", "ifindex")
    whole = request(0x14, 13, bytes.fromhex("08000100 02000000"))
    (plain,) = messages(answer(whole, Address(1), refuse))
    assert (plain.flags, plain.body[4:]) == (0, whole)
    (capped,) = messages(answer(whole, Address(1, cap_ack=True), refuse))
    assert (capped.flags, capped.body[4:]) == (0x100, whole[:16])
    both = ask(refuse, "netdev", "bind-rx", {"ifindex": 2}, to=Address(1, cap_ack=True, ext_ack=True))
    assert both.extack == {"msg": "why", "offs": 20}


def test_an_errnos_own_text_is_not_said_twice() -> None:
    def refuse(*_: object) -> list[Values]:
        raise OSError(errno.EPERM, "Operation not permitted")

    assert ask(refuse, "netdev", "bind-rx", BIND) == Said([], errno.EPERM, {})


def test_a_dump_of_a_device_that_does_not_exist_ends_with_its_errno() -> None:
    refuse = refusing(errno.ENODEV, "no device", "ifindex")
    (said,) = messages(answer(request(0x14, 10, bytes.fromhex("0800020009000000"), DUMP), TALKATIVE, refuse))
    assert (said.type, struct.unpack_from("=i", said.body)) == (3, (-errno.ENODEV,))
    assert ask(refuse, "netdev", "queue-get", {"ifindex": 9}, DUMP).extack == {"msg": "no device", "offs": 20}
    (other,) = messages(answer(request(0x15, 38, flags=DUMP), TALKATIVE, refuse))
    assert other.type == 2

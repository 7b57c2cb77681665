"""nlctrl tells which attributes a request may have, as Linux does."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from nodes.supervisor.netlink.attributes import Values
from nodes.supervisor.netlink.families import FAMILIES
from nodes.supervisor.netlink.genetlink import answer
from tests.supervisor.netlink.wire import DUMP, MULTI, TALKATIVE, ask, messages, nobody, request

U32_MAX = 0xFFFFFFFF
HEADER = {
    1: {"min-value-u": 0, "max-value-u": U32_MAX, "type": 4},
    2: {"max-length": 127, "type": 12},
    3: {"mask": 3, "type": 4},
}
IFINDEX = {"min-value-u": 1, "max-value-u": 0x7FFFFFFF, "type": 4}
ANY_U32 = {"min-value-u": 0, "max-value-u": U32_MAX, "type": 4}


def getpolicy(values: Values) -> tuple[dict[int, Any], dict[int, dict[int, Values]]]:
    """Policies of operations, and the policies by number."""
    said = ask(nobody, "nlctrl", "getpolicy", values, DUMP)
    assert said.error == 0
    operations: dict[int, Any] = {}
    policies: dict[int, dict[int, Values]] = {}
    for reply in said.replies:
        operations |= reply.get("op-policy", {})
        for number, attributes in reply.get("policy", {}).items():
            policies.setdefault(number, {}).update(attributes)
    return operations, policies


# CTRL_ATTR_FAMILY_ID, CTRL_ATTR_OP_POLICY with one operation; CTRL_ATTR_POLICY with one attribute
WHOLE = [
    "0a020000 06000100 14000000 10000980 0c000180 08000100 00000000",
    "0a020000 06000100 14000000 2c000880 28000080 24000180"
    " 0c000400 01000000 00000000 0c000500 ffffff7f 00000000 08000100 04000000",
]


def test_a_policy_is_as_linux_packs_it() -> None:
    attributes = bytes.fromhex("06000100 14000000 08000a00 01000000")
    got = messages(answer(request(0x10, 10, attributes, DUMP), TALKATIVE, nobody))
    end = got.pop()
    assert [each.body.hex(" ", -4) for each in got] == WHOLE
    assert all((each.type, each.flags) == (0x10, MULTI) for each in got)
    assert end.type == 3


def test_a_request_names_its_device_in_a_nest_with_a_policy_of_its_own() -> None:
    operations, policies = getpolicy({"family-name": "ethtool", "op": 15})
    assert operations == {15: {"do": 0, "dump": 0}}
    assert policies == {0: {1: {"policy-idx": 1, "policy-maxtype": 3, "type": 13}}, 1: HEADER}


def test_do_and_dump_of_netdev_have_a_policy_each() -> None:
    operations, policies = getpolicy({"family-id": 0x14, "op": 10})
    assert operations == {10: {"do": 0, "dump": 1}}
    kind = {"min-value-u": 0, "max-value-u": 1, "type": 4}
    assert policies == {0: {1: ANY_U32, 2: IFINDEX, 3: kind}, 1: {2: IFINDEX}}


@pytest.mark.parametrize(
    ("family", "command", "number", "rule"),
    [
        ("ethtool", 16, 11, {"min-value-u": 0, "max-value-u": 2, "type": 2}),  # tcp-data-split
        ("ethtool", 16, 13, {"min-value-u": 0, "max-value-u": 1, "type": 2}),  # tx-push
        ("ethtool", 12, 3, {"type": 13}),  # wanted
        ("ethtool", 48, 4, {"type": 10}),  # indir
        ("ethtool", 1, 3, {"type": 1}),  # counts-only
        ("netdev", 13, 2, {"policy-idx": 1, "policy-maxtype": 3, "type": 13}),  # queues
        ("netdev", 12, 4, {"mask": 1, "type": 17}),  # scope
        ("netdev", 5, 1, {"min-value-u": 1, "max-value-u": U32_MAX, "type": 17}),  # id
        ("nlctrl", 3, 2, {"max-length": 15, "type": 12}),  # family-name
    ],
)
def test_types_and_ranges_are_linuxs(family: str, command: int, number: int, rule: Values) -> None:
    assert getpolicy({"family-name": family, "op": command})[1][0][number] == rule


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_whole_family_tells_of_each_operation_and_each_policy_once(family: Any) -> None:
    operations, policies = getpolicy({"family-id": family.id})
    assert {*operations} == {*family.operations}
    used = {at for modes in operations.values() for at in modes.values()}
    nests = {rule["policy-idx"] for of in policies.values() for rule in of.values() if "policy-idx" in rule}
    assert used | nests == {*range(len(policies))}
    assert len({str(policy) for policy in policies.values()}) == len(policies)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, errno.EINVAL),
        ({"family-name": "no"}, errno.ENOENT),
        ({"family-id": 0x30}, errno.ENOENT),
        ({"family-name": "netdev", "op": 99}, errno.ENOENT),
    ],
)
def test_what_there_is_no_policy_of_is_refused(values: Values, error: int) -> None:
    said = ask(nobody, "nlctrl", "getpolicy", values, DUMP)
    assert (said.error, said.replies) == (error, [])
    assert ("offs" in said.extack) == ("op" in values)

"""Attributes as bytes: worked out by hand from struct nlattr, and there and back for every operation."""

from __future__ import annotations

import errno
import string
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.supervisor.netlink import attributes
from nodes.supervisor.netlink.attributes import (
    FLAG,
    HEX,
    STRING,
    U8,
    U16,
    U32,
    U64,
    UINT,
    WORDS,
    Array,
    Attribute,
    Enum,
    Flags,
    Nest,
    Numbered,
    decode,
    encode,
)
from nodes.supervisor.netlink.families import FAMILIES, Operation
from nodes.uapi import netlink

QUEUE = {"id": Attribute(1, U32), "type": Attribute(3, Enum(U32, "rx", "tx"))}
TABLE = {
    "small": Attribute(1, U8),
    "half": Attribute(2, U16),
    "large": Attribute(3, U64),
    "any": Attribute(4, UINT),
    "name": Attribute(5, STRING),
    "flag": Attribute(6, FLAG),
    "key": Attribute(7, HEX),
    "table": Attribute(8, WORDS),
    "scope": Attribute(9, Flags(UINT, "queue", "device")),
    "queues": Attribute(10, Nest(QUEUE), multi=True),
    "ops": Attribute(11, Array(QUEUE)),
}
BYTES = [
    ({"small": 7}, "0500 0100 07 000000"),
    ({"half": 0x1234}, "0600 0200 3412 0000"),
    ({"large": 1}, "0c00 0300 0100000000000000"),
    ({"any": 0xFFFFFFFF}, "0800 0400 ffffffff"),
    ({"any": 1 << 32}, "0c00 0400 0000000001000000"),
    ({"name": "eth0"}, "0900 0500 65746830 00 000000"),
    ({"flag": True}, "0400 0600"),
    ({"key": "c0ffee"}, "0700 0700 c0ffee 00"),
    ({"table": [1, 2]}, "0c00 0800 01000000 02000000"),
    ({"scope": ["queue"]}, "0800 0900 01000000"),
    ({"scope": []}, "0800 0900 00000000"),
    ({"queues": [{"id": 1}, {"type": "tx"}]}, "0c00 0a80 0800 0100 01000000 0c00 0a80 0800 0300 01000000"),
    ({"ops": [{"id": 1}, {"id": 2}]}, "1c00 0b00 0c00 0100 0800 0100 01000000 0c00 0200 0800 0100 02000000"),
]


@pytest.mark.parametrize(("values", "packed"), BYTES, ids=lambda each: str(each)[:30])
def test_values_are_these_bytes_and_these_bytes_are_the_values(values: dict[str, Any], packed: str) -> None:
    assert encode(values, TABLE) == bytes.fromhex(packed)
    assert decode(bytes.fromhex(packed), TABLE)[0] == values


def test_a_place_is_the_offset_of_an_attribute_in_its_message() -> None:
    values = {"small": 1, "queues": [{"id": 1}, {"id": 2, "type": "rx"}], "half": 1}
    _, places = decode(encode(values, TABLE), TABLE, at=20)
    assert places == {
        "small": 20,
        "queues": 40,  # of those that are one list the last
        "queues[0]": 28,
        "queues[0].id": 32,
        "queues[1]": 40,
        "queues[1].id": 44,
        "queues[1].type": 52,
        "half": 60,
    }


@pytest.mark.parametrize(
    ("packed", "values"),
    [
        ("0600 0100 0102 0000", {"small": b"\1\2"}),  # another length
        ("0700 0500 657468 00", {"name": b"eth"}),  # no NUL
        ("0700 0500 ff00ff 00", {"name": b"\xff\0\xff"}),  # no UTF-8
        ("0800 0600 01000000", {"flag": b"\1\0\0\0"}),
        ("0700 0800 000000 00", {"table": b"\0\0\0"}),
        ("0c00 0a00 0800 0100 01000000", {"queues": [b"\x08\0\1\0\1\0\0\0"]}),  # a nest without NLA_F_NESTED
        ("0500 0180 07 000000", {"small": b"\7"}),  # and NLA_F_NESTED without a nest
        ("0500 6300 07 000000", {"99": b"\7"}),  # no such attribute
        ("0800 0900 05000000", {"scope": ["queue", 2]}),
    ],
)
def test_what_is_no_such_attribute_is_left_to_the_policy(packed: str, values: dict[str, Any]) -> None:
    assert decode(bytes.fromhex(packed), TABLE)[0] == values


def test_an_enumeration_keeps_a_number_that_has_no_name() -> None:
    assert decode(struct.pack("=HHI", 8, 3, 7), QUEUE)[0] == {"type": 7}
    assert encode({"type": 1}, QUEUE) == encode({"type": "tx"}, QUEUE)


def test_of_an_attribute_that_comes_twice_the_last_one_counts() -> None:
    assert decode(encode({"small": 1}, TABLE) + encode({"small": 2}, TABLE), TABLE)[0] == {"small": 2}


@pytest.mark.parametrize("packed", ["0300 0100", "0900 0100 07 000000", "0500 0100 07 000000 05"])
def test_bytes_that_are_no_attributes_are_refused(packed: str) -> None:
    with pytest.raises(OSError, match="leftover") as refused:
        decode(bytes.fromhex(packed), TABLE)
    assert refused.value.errno == errno.EINVAL


@settings(max_examples=200)
@given(st.binary(max_size=64))
def test_no_bytes_do_anything_else(data: bytes) -> None:
    number: int | None = errno.EINVAL
    try:
        decode(data, TABLE)
    except OSError as refused:
        number = refused.errno
    assert number == errno.EINVAL


# --- every attribute of every family

TEXT = st.text(string.ascii_letters, max_size=20)


def _of_kind(kind: object) -> st.SearchStrategy[Any]:
    if isinstance(kind, Nest):
        return _of_table(kind.attributes)
    if isinstance(kind, Numbered):
        return st.dictionaries(st.integers(0, 0x3FFF), _of_kind(kind.kind), max_size=3)
    if isinstance(kind, Array):
        return st.lists(_of_table(kind.attributes), max_size=3)
    if isinstance(kind, Enum):
        return st.sampled_from(kind.names)
    if isinstance(kind, Flags):
        return st.lists(st.sampled_from(kind.names), unique=True) if kind.names else st.just([])
    bits = {U8: 8, U16: 16, U32: 32, U64: 64, UINT: 64}
    if kind in bits:
        return st.integers(0, (1 << bits[kind]) - 1)
    simple = {STRING: TEXT, FLAG: st.just(True), HEX: st.binary(max_size=9).map(bytes.hex)}
    return simple[kind] if kind in simple else st.lists(st.integers(0, 0xFFFFFFFF), max_size=5)


def _of_table(table: attributes.Attributes) -> st.SearchStrategy[dict[str, Any]]:
    kinds = {
        name: st.lists(_of_kind(each.kind), min_size=1, max_size=3) if each.multi else _of_kind(each.kind)
        for name, each in table.items()
    }
    return st.fixed_dictionaries({}, optional=kinds)


OPERATIONS = [each for family in FAMILIES for each in family.operations.values()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
@settings(max_examples=30)
@given(data=st.data())
def test_the_attributes_of_every_operation_go_there_and_back(
    operation: Operation, data: st.DataObject
) -> None:
    values = data.draw(_of_table(operation.attributes))
    assert decode(encode(values, operation.attributes), operation.attributes)[0] == values


REPLIES: dict[tuple[str, str], type[netlink.Attributes]] = {
    ("netdev", "bind-rx"): netlink.Dmabuf,
    ("netdev", "bind-tx"): netlink.Dmabuf,
    ("netdev", "dev-get"): netlink.Device,
    ("netdev", "queue-get"): netlink.QueueInfo,
    ("netdev", "napi-get"): netlink.NapiInfo,
    ("netdev", "page-pool-get"): netlink.PagePoolInfo,
    ("netdev", "page-pool-stats-get"): netlink.PagePoolStats,
    ("netdev", "qstats-get"): netlink.Qstats,
    ("ethtool", "rings-get"): netlink.RingsInfo,
    ("ethtool", "channels-get"): netlink.ChannelsInfo,
    ("ethtool", "rss-get"): netlink.Rss,
    ("ethtool", "features-get"): netlink.Features,
}
# Operations that are ioctls on Linux, and have no message
IOCTLS = ("stats-get", "ntuple-insert", "ntuple-delete", "ntuple-get")


def test_every_operation_of_the_control_plane_has_a_message_with_its_attributes() -> None:
    known = {(family.name, each.name): each for family in FAMILIES for each in family.operations.values()}
    for (family, name, mode), record in netlink.OPERATIONS.items():
        if name in IOCTLS:
            continue
        operation = known[family, name]
        assert mode in operation.modes
        fields = {each.replace("_", "-") for each in record.__struct_fields__} - {"equal"}  # ethtool's own
        if reply := REPLIES.get((family, name)):
            fields |= {each.replace("_", "-") for each in reply.__struct_fields__} - {"equal"}
        assert fields <= operation.attributes.keys(), name
        assert bool(operation.admin) is netlink.needs_admin(family, name)

"""Attributes become records, or are refused with the kernel's errno and the path of what is wrong."""

from __future__ import annotations

import errno
from typing import Any

import msgspec
import pytest

from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.families import answers
from nodes.control.netdev_get import NetdevGet
from nodes.control.netlink_error import NetlinkError
from nodes.control.policy import parse
from nodes.uapi.netlink import (
    OPERATIONS,
    BindRx,
    Empty,
    IfindexOnly,
    Ntuple,
    PagePoolGet,
    QstatsGet,
    Queue,
    Rings,
    Rss,
)
from tests.nic.bench import Bench


def validate(given: object, kind: type[Any]) -> Any:
    return parse(msgspec.msgpack.encode(given), kind)


def test_the_dictionary_of_the_spec_becomes_a_record() -> None:
    given = {"ifindex": 2, "fd": 5, "queues": [{"type": "rx", "id": 7}], "rx-page-size": 65536}
    assert validate(given, BindRx) == BindRx(2, 5, (Queue(7, "rx"),), 65536)


def test_an_enumeration_may_be_given_by_number() -> None:
    assert validate({"queues": [{"type": 1, "id": 7}]}, BindRx).queues == (Queue(7, 1),)


def test_flags_are_given_by_name_or_as_a_list_of_names(bench: Bench) -> None:
    """ynl wants a list."""
    look = NetdevGet(Devices(bench.device))
    rows = look.qstats_dump(validate({"scope": "queue"}, QstatsGet))
    assert look.qstats_dump(validate({"scope": ["queue"]}, QstatsGet)) == rows
    assert len(rows) == 9
    assert len(look.qstats_dump(validate({"scope": []}, QstatsGet))) == 1
    with pytest.raises(NetlinkError) as refused:
        validate({"scope": ["device"]}, QstatsGet)
    assert refused.value.errno == errno.EINVAL


def test_an_absent_attribute_is_none() -> None:
    assert validate({}, BindRx) == BindRx(None, None, (), None)
    assert validate({"queues": [{}]}, BindRx).queues == (Queue(None, None),)


def test_every_operation_but_the_binds_has_an_answer(bench: Bench) -> None:
    devices = Devices(bench.device)
    from_table = answers(devices, Ethtool(devices))
    assert from_table.keys() == {key for key in OPERATIONS if not key[1].startswith("bind-")}


@pytest.mark.parametrize("kind", sorted({kind.__name__ for kind in OPERATIONS.values()}))
def test_every_operation_refuses_an_unknown_attribute(kind: str) -> None:
    record = next(each for each in OPERATIONS.values() if each.__name__ == kind)
    with pytest.raises(NetlinkError, match="no attribute 'colour'") as caught:
        validate({"colour": 1}, record)
    assert (caught.value.errno, caught.value.attribute) == (errno.EINVAL, "colour")


REFUSED: list[tuple[type[Any], dict[str, object], int, str]] = [
    (BindRx, {"ifindex": "2"}, errno.EINVAL, "ifindex"),
    (BindRx, {"ifindex": True}, errno.EINVAL, "ifindex"),
    (BindRx, {"ifindex": 2.0}, errno.EINVAL, "ifindex"),
    (BindRx, {"ifindex": 0}, errno.ERANGE, "ifindex"),
    (BindRx, {"ifindex": 1 << 31}, errno.ERANGE, "ifindex"),
    (BindRx, {"ifindex": (1 << 64) - 1}, errno.ERANGE, "ifindex"),
    (BindRx, {"fd": -1}, errno.ERANGE, "fd"),
    (BindRx, {"rx-page-size": 1 << 32}, errno.ERANGE, "rx-page-size"),
    (BindRx, {"rx_page_size": 4096}, errno.EINVAL, "rx_page_size"),
    (BindRx, {"queues": 3}, errno.EINVAL, "queues"),
    (BindRx, {"queues": [{"type": "xdp", "id": 1}]}, errno.EINVAL, "queues[0].type"),
    (BindRx, {"queues": [{"type": 2, "id": 1}]}, errno.ERANGE, "queues[0].type"),
    (BindRx, {"queues": [{"type": "rx", "id": 1}, {"index": 1}]}, errno.EINVAL, "queues[1].index"),
    (IfindexOnly, {"ifindex": 0}, errno.ERANGE, "ifindex"),
    (PagePoolGet, {"id": 0}, errno.ERANGE, "id"),
    (QstatsGet, {"scope": "device"}, errno.EINVAL, "scope"),
    (Rings, {"tcp-data-split": "on"}, errno.EINVAL, "tcp-data-split"),
    (Rings, {"tcp-data-split": 3}, errno.ERANGE, "tcp-data-split"),
    (Rings, {"hds-thresh": None, "rx": "64"}, errno.EINVAL, "rx"),
    (Rings, {"rx-max": 64}, errno.EINVAL, "rx-max"),
    (Rss, {"indir": [0, -1]}, errno.ERANGE, "indir[1]"),
    (Ntuple, {"flow-type": "udp4"}, errno.EINVAL, "flow-type"),
    (Ntuple, {"dst-port": 65536}, errno.ERANGE, "dst-port"),
    (Ntuple, {"queue": -2}, errno.ERANGE, "queue"),
    (Empty, {"rx": 1}, errno.EINVAL, "rx"),
]


@pytest.mark.parametrize(("record", "attributes", "number", "attribute"), REFUSED)
def test_an_attribute_of_another_type_or_range_is_refused(
    record: type[Any], attributes: dict[str, object], number: int, attribute: str
) -> None:
    with pytest.raises(NetlinkError) as caught:
        validate(attributes, record)
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]
    assert caught.value.attribute == attribute


@pytest.mark.parametrize("given", [None, 3, "ifindex", ["ifindex", 2], {1: 2}, {b"ifindex": 2}])
def test_what_is_no_dictionary_of_names_is_einval(given: object) -> None:
    with pytest.raises(NetlinkError) as caught:
        validate(given, BindRx)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("noise", [b"", b"\xc1", b"\x81", b"\x81\xa2if", b"\x81\xa1\x85\x01", b"\x91" * 9999])
def test_bytes_that_are_no_attributes_are_einval(noise: bytes) -> None:
    with pytest.raises(NetlinkError) as caught:
        parse(noise, BindRx)
    assert caught.value.errno == errno.EINVAL


def test_a_record_leaves_as_the_dictionary_of_the_spec() -> None:
    record = BindRx(2, 5, (Queue(7, "rx"),))
    assert msgspec.to_builtins(record) == {"ifindex": 2, "fd": 5, "queues": ({"id": 7, "type": "rx"},)}
    assert validate(msgspec.to_builtins(record), BindRx) == record


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        BindRx(2).ifindex = 3  # type: ignore[misc]

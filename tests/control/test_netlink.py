"""Dictionaries of the netlink specs become records, or are refused with the path of what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nodes.netlink import OPERATIONS, BindRx, Dump, Empty, Ntuple, Queue, Rings, Rss, validate


def test_the_dictionary_of_the_spec_becomes_a_record() -> None:
    given = {"ifindex": 2, "fd": 5, "queues": [{"type": "rx", "id": 7}], "rx-page-size": 65536}
    assert validate(given, BindRx) == BindRx(2, 5, (Queue(7, "rx"),), 65536)


def test_an_absent_attribute_is_none() -> None:
    assert validate({}, BindRx) == BindRx(None, None, (), None)
    assert validate({"queues": [{}]}, BindRx).queues == (Queue(None, None),)


@pytest.mark.parametrize("kind", sorted({kind.__name__ for kind in OPERATIONS.values()}))
def test_every_operation_refuses_an_unknown_attribute(kind: str) -> None:
    record = next(each for each in OPERATIONS.values() if each.__name__ == kind)
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        validate({"colour": 1}, record)


ILL_TYPED: list[tuple[type[Any], dict[str, object], str]] = [
    (BindRx, {"ifindex": "2"}, r"`\$\.ifindex`"),
    (BindRx, {"ifindex": True}, r"`\$\.ifindex`"),
    (BindRx, {"ifindex": 2.0}, r"`\$\.ifindex`"),
    (BindRx, {"ifindex": 0}, "`int` >= 1"),  # A6
    (BindRx, {"ifindex": 1 << 31}, r"`\$\.ifindex`"),
    (BindRx, {"fd": -1}, "`int` >= 0"),
    (BindRx, {"rx-page-size": 1 << 32}, r"`\$\.rx-page-size`"),
    (BindRx, {"rx_page_size": 4096}, "unknown field `rx_page_size`"),
    (BindRx, {"queues": 3}, r"`\$\.queues`"),
    (BindRx, {"queues": [{"type": "xdp", "id": 1}]}, r"`\$\.queues\[0\]\.type`"),  # A6
    (BindRx, {"queues": [{"type": "rx", "id": 1}, {"index": 1}]}, r"`\$\.queues\[1\]`"),
    (Dump, {"scope": "device"}, r"`\$\.scope`"),
    (Rings, {"tcp-data-split": "on"}, r"`\$\.tcp-data-split`"),
    (Rings, {"hds-thresh": None, "rx": "64"}, r"`\$\.rx`"),
    (Rss, {"indir": [0, -1]}, r"`\$\.indir\[1\]`"),
    (Ntuple, {"flow-type": "udp4"}, r"`\$\.flow-type`"),
    (Ntuple, {"dst-port": 65536}, r"`\$\.dst-port`"),
    (Empty, {"rx": 1}, "unknown field `rx`"),
]


@pytest.mark.parametrize(("record", "attributes", "text"), ILL_TYPED)
def test_an_attribute_of_another_type_or_range_is_refused(
    record: type[Any], attributes: dict[str, object], text: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=text):
        validate(attributes, record)


@pytest.mark.parametrize("given", [None, 3, "ifindex", ["ifindex", 2]])
def test_what_is_no_dictionary_is_refused(given: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        validate(given, BindRx)


def test_a_record_leaves_as_the_dictionary_of_the_spec() -> None:
    record = BindRx(2, 5, (Queue(7, "rx"),))
    assert msgspec.to_builtins(record) == {"ifindex": 2, "fd": 5, "queues": ({"id": 7, "type": "rx"},)}
    assert validate(msgspec.to_builtins(record), BindRx) == record


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        BindRx(2).ifindex = 3  # type: ignore[misc]

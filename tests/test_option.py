"""Options beside their fields: what is found, what a text becomes, what is refused with which sentence."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from nodes.option import Declared, Option, OptionError, check_record, declared
from nodes.quantity import parse_size


class Shared(msgspec.Struct, kw_only=True):
    buffer_bytes: Annotated[int, Option("A buffer.", flag="buffer", parse=parse_size, min=10, max=4096)] = 64
    kind: Annotated[str, Option("A kind.", choices=("plain", "rich"))] = "plain"


class Own(Shared, kw_only=True):
    plain: int = 3  # no option
    share: Annotated[float, Option("A share.", alias="portion", min=0.5, max=1)]
    count: Annotated[int | None, Option("A count.", min=0)] = None


def option(field: str) -> Declared:
    return next(each for each in declared(Own) if each.field == field)


def test_own_options_come_before_inherited_ones_and_plain_fields_not_at_all() -> None:
    assert [each.field for each in declared(Own)] == ["share", "count", "buffer_bytes", "kind"]
    assert [each.flags for each in declared(Own)] == [
        ("--share", "--portion"), ("--count",), ("--buffer",), ("--kind",),
    ]  # fmt: skip
    assert [each.kind for each in declared(Own)] == [float, int, int, str]
    assert option("share").default is msgspec.NODEFAULT


def test_bounds_are_shown_as_people_write_them() -> None:
    assert [each.bounds for each in declared(Own)] == ["0.5 to 1", "0 or more", "10 to 4096", ""]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [("share", "0.75", 0.75), ("count", "7", 7), ("buffer_bytes", "2K", 2048), ("kind", "rich", "rich")],
)
def test_a_text_becomes_the_fields_value(field: str, text: str, value: object) -> None:
    found = option(field).parse(text)
    option(field).check(found, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("share", "much", "'much' is no number; choose 0.5 to 1"),
        ("share", "nan", "nan is out of range; choose 0.5 to 1"),
        ("count", "-1", "-1 is out of range; choose 0 or more"),
        ("count", "1.5", "'1.5' is no number; choose 0 or more"),
        ("buffer_bytes", "1M", r"1M is out of range \(buffer_bytes 1048576\); choose 10 to 4096"),
        ("buffer_bytes", "much", "size 'much' is not understood"),
        ("kind", "poor", "'poor' is no choice; choose from plain, rich"),
    ],
)
def test_a_text_is_refused_with_value_and_remedy(field: str, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        option(field).check(option(field).parse(text), text)


def test_a_record_made_of_values_is_checked_field_by_field() -> None:
    check_record(Own(share=1, count=None, buffer_bytes=4096, kind="rich"))
    with pytest.raises(OptionError, match=r"^buffer_bytes: 4097 is out of range; choose 10 to 4096"):
        check_record(Own(share=1, buffer_bytes=4097))
    with pytest.raises(OptionError, match=r"^kind: 'x' is no choice"):
        check_record(Own(share=1, kind="x"))

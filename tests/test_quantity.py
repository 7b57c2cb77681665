"""Sizes and rates as people write them."""

from __future__ import annotations

import pytest

from nodes.quantity import QuantityError, parse_duration, parse_rate, parse_size


def test_a_single_size_is_no_list() -> None:
    with pytest.raises(QuantityError):
        parse_size("1M,2M")


@pytest.mark.parametrize(
    ("text", "rate"), [("2GB/s", 2e9), ("500MB/s", 5e8), ("1.5 gb/s", 1.5e9), ("9B/s", 9.0)]
)
def test_rates_are_decimal(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["2G", "2Gb", "0GB/s", "GB/s", "-1GB/s"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="rate"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "seconds"), [("20ms", 0.02), ("1.5s", 1.5), ("500 us", 0.0005)])
def test_durations_have_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["20", "0ms", "ms", "-1s", "1m", "1e3s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="duration"):
        parse_duration(text)

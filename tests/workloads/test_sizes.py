"""Sizes and rates as people write them."""

from __future__ import annotations

import pytest

from workloads.sizes import SizeError, parse_rate, parse_size, parse_sizes

K, M = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("1M", [M]),
        ("8", [8]),
        ("1M:16M:x4", [M, 4 * M, 16 * M]),
        ("1M:10M:x4", [M, 4 * M]),
        ("1M:4M:+1M", [M, 2 * M, 3 * M, 4 * M]),
        ("8,64K", [8, 64 * K]),
        ("64K,8,8", [8, 64 * K]),
        ("1.5K", [1536]),
        ("4k:4k:x2,1MiB", [4 * K, M]),
        ("64KB", [64 * K]),
    ],
)
def test_sizes_are_read_as_nccl_tests_reads_them(text: str, sizes: list[int]) -> None:
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1X",
        "-1M",
        "0",
        "1.5",
        "1M:2M",
        "1M:2M:4",
        "1M:2M:x1",
        "1M:2M:x",
        "2M:1M:x2",
        "1:1G:+1",
        "1M,,2M",
    ],
)
def test_other_sizes_are_refused_with_a_sentence_that_repeats_them(text: str) -> None:
    with pytest.raises(SizeError, match="size"):
        parse_sizes(text)


def test_a_single_size_is_no_list() -> None:
    with pytest.raises(SizeError):
        parse_size("1M,2M")


@pytest.mark.parametrize(
    ("text", "rate"), [("2GB/s", 2e9), ("500MB/s", 5e8), ("1.5 gb/s", 1.5e9), ("9B/s", 9.0)]
)
def test_rates_are_decimal(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["2G", "2Gb", "0GB/s", "GB/s", "-1GB/s"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(SizeError, match="rate"):
        parse_rate(text)

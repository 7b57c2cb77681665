"""Lists and ranges of sizes as people write them."""

from __future__ import annotations

import pytest

from nodes.quantity import QuantityError
from workloads.sizes import parse_sizes

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
        ("0", [0]),
        ("0,8", [0, 8]),
        ("0:8:+4", [0, 4, 8]),
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
        "0:4M:x2",
        "00",
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
    with pytest.raises(QuantityError, match="size"):
        parse_sizes(text)

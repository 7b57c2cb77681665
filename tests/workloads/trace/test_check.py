"""A node that cannot be done is refused by a sentence that names its rank and itself."""

from __future__ import annotations

from typing import Any

import pytest

from workloads.trace.check import TraceError, check
from workloads.trace.node import Program


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"dtype": "float99"}, "has dtype 'float99'; known are float32, float16, bfloat16, int32"),
        ({"redop": "xor"}, "has redop 'xor'; known are sum, prod, min, max, avg"),
        ({"algorithm": "star"}, ": all_reduce has no algorithm 'star'; known are ring, halving_doubling"),
        ({"size": 6}, "has 6 bytes, which are no whole elements of float32"),
        ({"size": 600, "dtype": "bfloat16"}, ": a sum over 300 ranks is not exact in bfloat16"),
        ({"kind": "reduce_all"}, ": there is no collective 'reduce_all'; known are all_reduce"),
        ({"root": 300}, "has root 300, and 300 ranks take part"),
        ({"transposed": True}, "is transposed, and only an all_to_allv can be"),
    ],
)
def test_a_collective_that_cannot_be_is_named(asked: dict[str, Any], sentence: str) -> None:
    usual = {"kind": "all_reduce", "size": 8, **asked}
    program = Program(7, 300)
    program.collective("sums", usual.pop("kind"), usual.pop("size"), **usual)
    with pytest.raises(TraceError) as refused:
        check(program.trace(), 300)
    assert str(refused.value).startswith("rank 7, node 0 (sums)")
    assert sentence in str(refused.value)


def test_what_reduces_nothing_may_have_any_number_of_ranks() -> None:
    program = Program(0, 300)
    program.collective("", "all_gather", 600, dtype="bfloat16")
    check(program.trace(), 300)

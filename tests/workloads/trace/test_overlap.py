"""Communication under computation: time in which both went on, each moment once."""

from __future__ import annotations

import random

import pytest

from workloads.trace.overlap import overlapped_s
from workloads.trace.streams import Span

S = Span


@pytest.mark.parametrize(
    ("computing", "communicating", "seconds"),
    [
        ([S(0, 4)], [S(1, 2)], 1.0),
        ([S(0, 4)], [S(3, 9)], 1.0),
        ([S(0, 4)], [S(4, 9)], 0.0),
        ([S(0, 4), S(6, 8)], [S(1, 7)], 4.0),
        ([S(0, 4)], [S(1, 3), S(2, 3.5)], 2.5),
        ([S(2, 5), S(0, 3)], [S(0, 9)], 5.0),
        ([S(0, 1), S(2, 3), S(4, 5)], [S(0.5, 2.5), S(2.75, 4.25)], 1.5),
        ([], [S(0, 1)], 0.0),
    ],
)
def test_what_both_did_counts_once(computing: list[Span], communicating: list[Span], seconds: float) -> None:
    assert overlapped_s(computing, communicating) == pytest.approx(seconds)
    assert overlapped_s(communicating, computing) == pytest.approx(seconds)


def test_it_is_what_counting_moments_gives() -> None:
    chance = random.Random(5)
    for _ in range(50):
        kinds = [
            [S(at, at + chance.randrange(1, 9)) for at in (chance.randrange(40) for _ in range(6))]
            for _ in range(2)
        ]
        moments = [
            {at for span in spans for at in range(int(span.begin_s), int(span.end_s))} for spans in kinds
        ]
        assert overlapped_s(*kinds) == len(moments[0] & moments[1])

"""How long tokens were held, in a bounded count: percentiles of tokens, not of calls."""

from __future__ import annotations

import pytest

from workloads.transports.token_returns import TokenReturns, columns, together, token_ranges


def held(*returns: tuple[int, float]) -> TokenReturns:
    """(tokens, seconds) of each range."""
    one = TokenReturns()
    for tokens, after_s in returns:
        one.returned(tokens, after_s)
    return one


def us(*returns: tuple[int, float]) -> list[float]:
    found = columns(held(*returns).held).values()
    return [each for each in found if each is not None]


def test_a_range_counts_as_the_tokens_that_it_has() -> None:
    p50, p95, p99, longest = us((96, 100e-6), (3, 1000e-6), (1, 10e-3))
    assert [p50, p95] == [pytest.approx(100, rel=0.008)] * 2
    assert p99 == pytest.approx(1000, rel=0.008)
    assert longest == pytest.approx(10_000, rel=0.008)
    assert us((1, 100e-6), (300, 1000e-6))[0] == pytest.approx(1000, rel=0.008)


def test_the_times_of_a_long_stream_take_little_memory() -> None:
    one = held(*((1, number * 1e-7) for number in range(1, 100_000)))
    assert len(one.held) < 2500
    p50, _, p99, longest = (each for each in columns(one.held).values() if each is not None)
    assert p50 == pytest.approx(5_000, rel=0.008)
    assert p99 == pytest.approx(9_900, rel=0.008)
    assert longest == pytest.approx(9_999.9, rel=0.008)


def test_connections_are_put_together_and_no_token_has_no_time() -> None:
    both = together([held((2, 1e-6)), held((1, 1e-6), (1, 3e-6))])
    assert (both.total(), len(both)) == (4, 2)
    assert set(columns(together([])).values()) == set(columns(None).values()) == {None}
    assert us((1, 0.0)) == [0.0] * 4
    assert us((1, -1e-9)) == [0.0] * 4, "never less than nothing"


def test_neighbours_go_back_as_one_range_in_the_order_of_their_coming() -> None:
    assert token_ranges([]) == []
    assert token_ranges([4]) == [(4, 1)]
    assert token_ranges([1, 2, 3, 7, 8, 5, 6, 9]) == [(1, 3), (7, 2), (5, 2), (9, 1)]
    assert token_ranges([3, 2, 1]) == [(3, 1), (2, 1), (1, 1)]

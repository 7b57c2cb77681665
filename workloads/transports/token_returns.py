"""How long an application holds what it has received: from the recvmsg that hands out a token to the DONTNEED
that gives it back.

In: when tokens came and went, a range at a time. Out: how many tokens took how long. Owns the counts. The
clock is read once a recvmsg and once a DONTNEED, never for a token. Times are kept to within 0.8 %, so that a
stream of a day takes no more memory than one of a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

_BITS = 7  # of a time that are kept, behind its first one
_PERCENTS = (50, 95, 99)

Held = Counter[int]  # tokens, by nanoseconds


class TokenReturns:
    """Of one connection, whose thread alone calls `returned`."""

    def __init__(self) -> None:
        self.held: Held = Counter()

    def returned(self, tokens: int, after_s: float) -> None:
        """So many tokens were given back so long after they had come."""
        took_ns = max(0, round(after_s * 1e9))
        dropped = max(0, took_ns.bit_length() - 1 - _BITS)
        self.held[took_ns >> dropped << dropped] += tokens


def together(each: Iterable[TokenReturns]) -> Held:
    """Of several connections."""
    total: Held = Counter()
    for one in each:
        total.update(one.held)
    return total


def columns(held: Held | None) -> dict[str, float | None]:
    """A sample's columns, in microseconds: of all tokens, the least time within which so many percent of them
    were back. None where there was no token."""
    names = [*(f"token_return_p{percent}_us" for percent in _PERCENTS), "token_return_max_us"]
    if not held:
        return dict.fromkeys(names)
    total, back, at = held.total(), 0, []
    ordered = iter(sorted(held.items()))
    took_ns = 0
    for percent in _PERCENTS:
        while 100 * back < percent * total:
            took_ns, tokens = next(ordered)
            back += tokens
        at.append(took_ns)
    return {name: each / 1e3 for name, each in zip(names, (*at, max(held)), strict=True)}


def token_ranges(tokens: Sequence[int]) -> list[tuple[int, int]]:
    """The tokens, in their order, as ranges of struct dmabuf_token: the first one, and how many follow each
    other from it on."""
    ranges: list[tuple[int, int]] = []
    if not tokens:
        return ranges
    start = following = tokens[0]
    for token in tokens:
        if token != following:
            ranges.append((start, following - start))
            start = token
        following = token + 1
    ranges.append((start, following - start))
    return ranges

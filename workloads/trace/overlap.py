"""How long a rank computed while its communication was under way: what a step does not pay for.

In: spans of time. Out: seconds; pure. Owns nothing. Spans of a kind may overlap each other; that time counts
once.
"""

from __future__ import annotations

from collections.abc import Iterable

from workloads.trace.streams import Span


def overlapped_s(computing: Iterable[Span], communicating: Iterable[Span]) -> float:
    """Time that lies in a span of either kind."""
    ours, theirs, total_s = _united(computing), _united(communicating), 0.0
    at = 0
    for span in ours:
        while at < len(theirs) and theirs[at].end_s <= span.begin_s:
            at += 1
        for other in theirs[at:]:
            if other.begin_s >= span.end_s:
                break
            total_s += min(span.end_s, other.end_s) - max(span.begin_s, other.begin_s)
    return total_s


def _united(spans: Iterable[Span]) -> list[Span]:
    """In order, none of which meet."""
    united: list[Span] = []
    for span in sorted(spans):
        if united and span.begin_s <= united[-1].end_s:
            united[-1] = Span(united[-1].begin_s, max(united[-1].end_s, span.end_s))
        else:
            united.append(span)
    return united

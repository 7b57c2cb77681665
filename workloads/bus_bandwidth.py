"""Bus-bandwidth factors: busbw / algbw of each collective, by the number of ranks.

In: a collective's name, a number of ranks. Out: a number. Owns nothing. The conventions are nccl-tests'
(doc/PERFORMANCE.md): algbw = S / t, where S is the whole array, for all_gather and reduce_scatter too. The
factor makes busbw comparable with a link's speed whatever the number of ranks.
"""

from __future__ import annotations

_OTHERS_SHARE = frozenset({"reduce_scatter", "all_gather", "all_to_all", "all_to_allv", "gather", "scatter"})
_WHOLE_ARRAY = frozenset({"broadcast", "reduce", "sendrecv"})
_NOTHING = frozenset({"barrier"})  # carries no array


def busbw_factor(collective: str, nranks: int) -> float:
    """busbw / algbw of `collective` on `nranks` ranks. Raises ValueError where no factor is known."""
    if nranks < 1:
        raise ValueError(f"{nranks} ranks cannot run {collective}; at least 1 is needed")
    if collective == "all_reduce":
        return 2 * (nranks - 1) / nranks
    if collective in _OTHERS_SHARE:
        return (nranks - 1) / nranks
    if collective in _WHOLE_ARRAY:
        return 1.0
    if collective in _NOTHING:
        return 0.0
    known = ", ".join(sorted({"all_reduce"} | _OTHERS_SHARE | _WHOLE_ARRAY | _NOTHING))
    raise ValueError(f"workload {collective!r} has no bus-bandwidth factor; known are {known}")
